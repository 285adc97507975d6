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

/// The pause after a connection could not be taken, as when there are no more descriptors.
const PAUSE: Duration = Duration::from_secs(1);

/// Who asks there is heard.
#[derive(Debug)]
pub(super) struct HomeSocket(UnixListener);

impl HomeSocket {
    /// Listens. Where the home can have no socket that is said once, with what is missing `without` it, and this never
    /// returns.
    pub(super) async fn open(bound: io::Result<StdUnixListener>, without: &str) -> Self {
        match bound.and_then(UnixListener::from_std) {
            Ok(listener) => Self(listener),
            Err(error) => {
                info!(error = chain(&error), "no socket in the home: {without}");
                pending().await
            }
        }
    }

    /// The next one who asks.
    pub(super) async fn accept(&self) -> UnixStream {
        loop {
            match self.0.accept().await {
                Ok((stream, _)) => return stream,
                Err(error) => {
                    debug!(error = chain(&error), "nobody is heard at a socket of the home");
                    sleep(PAUSE).await;
                }
            }
        }
    }
}
