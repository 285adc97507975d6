// SPDX-License-Identifier: GPL-3.0-or-later

//! Answers at the status socket of the home: a connection gets one snapshot, and is closed.
//!
//! Nothing is kept of a connection, and nothing is read from it: an answer has room in the socket's buffer, whether it is
//! read or not. So who connects can cost no more than one answer, and none of them keeps another waiting.

use std::convert::Infallible;
use std::future::pending;
use std::io::{self, Write};
use std::time::Duration;

use tokio::net::{UnixListener, UnixStream};
use tokio::task::yield_now;
use tokio::time::sleep;
use tracing::{debug, info};

use super::status_view::StatusView;
use crate::chain::chain;
use crate::home::Home;

/// The pause after a connection could not be taken, as when there are no more descriptors.
const PAUSE: Duration = Duration::from_secs(1);

/// Answers for as long as it is polled.
pub(super) async fn answer(home: &Home, view: &StatusView<'_>) -> Infallible {
    let listener = match listen(home).await {
        Ok(listener) => listener,
        Err(error) => {
            info!(
                error = chain(&error),
                "no socket in the home: `flamenco-worker status` will say little of this worker"
            );
            return pending().await;
        }
    };
    loop {
        let said = match listener.accept().await {
            Ok((stream, _)) => say(stream, view),
            Err(error) => Err(error),
        };
        if let Err(error) = said {
            debug!(error = chain(&error), "nobody was told the status");
            sleep(PAUSE).await;
        }
        // However many ask, everything else has its turn between two answers.
        yield_now().await;
    }
}

async fn listen(home: &Home) -> io::Result<UnixListener> {
    UnixListener::from_std(home.listen_for_status().await?)
}

/// Does not wait: see above.
fn say(stream: UnixStream, view: &StatusView<'_>) -> io::Result<()> {
    let mut stream = stream.into_std()?;
    let said = serde_json::to_vec(&view.snapshot())?;
    // One who has gone already is nobody's trouble.
    stream.write_all(&said).ok();
    Ok(())
}
