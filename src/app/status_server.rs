// SPDX-License-Identifier: GPL-3.0-or-later

//! Answers at the status socket of the home: a connection gets one snapshot, and is closed.
//!
//! Nothing is kept of a connection, and nothing is read from it: an answer has room in the socket's buffer, whether it is
//! read or not. So who connects can cost no more than one answer, and none of them keeps another waiting.

use std::convert::Infallible;
use std::io::{self, Write};

use tokio::net::UnixStream;
use tokio::task::yield_now;
use tracing::debug;

use super::home_socket::HomeSocket;
use super::status_view::StatusView;
use crate::chain::chain;
use crate::home::Home;

/// Answers for as long as it is polled.
pub(super) async fn answer(home: &Home, view: &StatusView<'_>) -> Infallible {
    let bound = home.listen_for_status().await;
    let socket = HomeSocket::open(home, bound, "`flamenco-worker status` will say little of this worker").await;
    loop {
        if let Err(error) = say(socket.accept().await, view) {
            debug!(error = chain(&error), "nobody was told the status");
        }
        // However many ask, everything else has its turn between two answers.
        yield_now().await;
    }
}

/// Does not wait: see above.
fn say(stream: UnixStream, view: &StatusView<'_>) -> io::Result<()> {
    let mut stream = stream.into_std()?;
    let said = serde_json::to_vec(&view.snapshot())?;
    // One who has gone already is nobody's trouble.
    stream.write_all(&said).ok();
    Ok(())
}
