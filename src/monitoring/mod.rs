// SPDX-License-Identifier: GPL-3.0-or-later

//! Answers those who watch this worker over HTTP: a Prometheus, the probe of a container, a person.
//!
//! ```text
//! MonitoringServer ─► Listener (an address or a socket; tried again for ever) ─► Connections ─► Page ─► HttpAnswer
//! ```
//!
//! Nobody here is known or trusted, and the worker's own work goes first: a request has to come soon and be short, there are few
//! connections at a time, and each is for one request. What is answered is only read, never done.
//!
//! The HTTP server that comes with our HTTP client was tried: it looks at the clock for each answer, and panics before 1970 and
//! beyond the year 9999, which would end a render.

mod connections;
mod exchange;
mod listener;
mod socket_file;

use std::convert::Infallible;
use std::time::Duration;

use tokio::task::yield_now;
use tokio::time::sleep;
use tracing::{debug, info, warn};

use self::connections::{Connections, Turn};
use self::exchange::exchange;
use self::listener::{Binding, Listener, Peer};
use crate::chain::chain;
use crate::config::ListenAddress;

pub(crate) use self::exchange::{HttpAnswer, Page};

/// Answers at one address for as long as it is polled.
#[derive(Debug)]
pub(crate) struct MonitoringServer {
    /// Where to listen.
    pub address: ListenAddress,
    /// How long to wait before it is tried again, where that cannot be done.
    pub first_pause: Duration,
    /// That pause doubles up to this.
    pub longest_pause: Duration,
}

impl MonitoringServer {
    /// Answers each request with what `answer` says. No failure here keeps the worker from its work.
    pub(crate) async fn run(self, answer: impl Fn(Page) -> HttpAnswer) -> Infallible {
        let listener = self.listen().await;
        let turn = Turn::default();
        let mut connections = Connections::new(&turn);
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                never = connections.run() => match never {},
            };
            match accepted {
                Ok(Peer::Tcp(stream)) => connections.add(exchange(stream, &turn, &answer)),
                Ok(Peer::Unix(stream)) => connections.add(exchange(stream, &turn, &answer)),
                // Out of files, mostly: the connection waits.
                Err(error) => {
                    debug!(error = chain(&error), "cannot take a connection for monitoring");
                    tokio::select! {
                        () = sleep(self.first_pause) => {}
                        never = connections.run() => match never {},
                    }
                }
            }
            // However many connect, everything else has its turn between two of them.
            yield_now().await;
        }
    }

    /// Tries for as long as it takes: the address may come up later, and whoever has it may go.
    async fn listen(&self) -> Listener {
        let mut pause = self.first_pause;
        let mut said = None;
        let mut binding = Binding::to(&self.address);
        loop {
            let error = match binding.bind().await {
                Ok(listener) => {
                    let at = listener.address(&self.address);
                    info!(address = at, "metrics are served at {at}");
                    return listener;
                }
                Err(error) => chain(&error),
            };
            if said.as_ref() != Some(&error) {
                warn!(
                    address = %self.address,
                    "metrics are not served: cannot listen on {}: {error}; trying on, and the worker works without",
                    self.address
                );
                said = Some(error);
            }
            sleep(pause).await;
            pause = (pause * 2).min(self.longest_pause);
        }
    }
}
