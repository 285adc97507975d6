// SPDX-License-Identifier: GPL-3.0-or-later

//! A socket of the home, at which others on this machine ask something of this worker.

use std::future::pending;
use std::io;
use std::os::unix::net::UnixListener as StdUnixListener;
use std::time::Duration;

use tokio::net::{UnixListener, UnixStream};
use tokio::time::sleep;
use tracing::{debug, info};

use crate::chain::chain;
use crate::home::Home;
use crate::process;

/// The pause after a connection could not be taken, as when there are no more descriptors.
const PAUSE: Duration = Duration::from_secs(1);

/// Who asks there is heard.
#[derive(Debug)]
pub(super) struct HomeSocket {
    listener: UnixListener,
    /// No task is heard.
    is_closed_to_tasks: bool,
}

impl HomeSocket {
    /// Listens at a socket of `home`. Where there can be none that is said once, with what is missing `without` it, and this
    /// never returns.
    pub(super) async fn open(home: &Home, bound: io::Result<StdUnixListener>, without: &str) -> Self {
        match bound.and_then(UnixListener::from_std) {
            Ok(listener) => Self {
                listener,
                is_closed_to_tasks: home.is_closed_to_tasks(),
            },
            Err(error) => {
                info!(error = chain(&error), "no socket in the home: {without}");
                pending().await
            }
        }
    }

    /// The next one who asks.
    pub(super) async fn accept(&self) -> UnixStream {
        loop {
            match self.listener.accept().await {
                Ok((stream, _)) if self.is_closed_to_tasks && is_a_tasks(&stream) => {
                    // A task can do that for ever: it shall not fill the log.
                    debug!("a task has asked something at a socket of the home, and was not heard");
                }
                Ok((stream, _)) => return stream,
                Err(error) => {
                    debug!(error = chain(&error), "nobody is heard at a socket of the home");
                    sleep(PAUSE).await;
                }
            }
        }
    }
}

/// Whether a task connects. One who has gone cannot be told from it.
fn is_a_tasks(stream: &UnixStream) -> bool {
    let pid = stream.peer_cred().ok().and_then(|peer| peer.pid());
    // One of another namespace, which is none of ours, has no number here.
    pid.is_some_and(|pid| pid != 0 && process::is_of_a_task(pid))
}
