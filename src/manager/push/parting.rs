// SPDX-License-Identifier: GPL-3.0-or-later

//! The end of a connection that we give up ourselves. Done wrongly, it stops the Manager for the whole farm.
//!
//! In the Manager's Socket.IO a broadcast to a room takes a lock of all rooms and then one of each connection in it; a
//! connection that closes takes its own, and then that of all rooms. Where both meet, all later broadcasts wait for ever,
//! and with them every sign-on, sign-off and Worker Action. One stop of a worker in some hundred was enough, because the
//! sign-off is itself broadcast. A second trap lies beside: closing empties the connection's queue while another thread
//! writes from it, and waits for ever if that one takes the last text, its lock still held.
//!
//! So a connection is closed in no room (but for `/lifecycle` and `/status`, which cannot be left), with nothing on its
//! way to it, and not beside a change of ours:
//!
//! ```text
//! leave each room ─► all acknowledged ─► quiet ─► close ─► the Manager has closed, too ─► quiet ─► gone
//!                    (or push_leave)    (bounded)          (or push_leave)
//! ```

use std::time::Duration;

use tokio::time::{sleep, timeout};
use tracing::debug;

use super::conversation::Conversation;
use super::line::{LineError, Socket};
use crate::manager::HttpManager;
use crate::timings::Timings;

/// So many times [`Timings::push_leave`] it is waited for quiet at most.
const RESTLESS: u32 = 3;

/// How long a parting can take.
pub(crate) fn longest(timings: &Timings) -> Duration {
    timings.push_leave * (RESTLESS + 2) + timings.push_quiet
}

/// Leaves every room and closes. Afterwards the connection is gone at the Manager, too.
pub(super) async fn part(talk: &mut Conversation<'_>, mut socket: Socket, manager: &HttpManager, timings: &Timings) {
    talk.leave();
    let patience = timings.push_leave / 2;
    let mut left = timeout(patience, leave(talk, &mut socket)).await;
    if left.is_err() {
        talk.leave_blindly();
        left = timeout(patience, leave(talk, &mut socket)).await;
    }
    let quiet = match left {
        Ok(Ok(())) => timings.push_quiet,
        Ok(Err(LineError::Closed | LineError::Broken(_))) => return,
        Ok(Err(_)) | Err(_) => {
            debug!("the Manager does not say that we are out of its rooms: waiting for a quiet moment");
            timings.push_leave
        }
    };
    hang_up(socket, manager, quiet, timings).await;
}

/// Closes a connection that is in no room once nothing of ours has been told about, and nothing heard, for `quiet`.
pub(super) async fn hang_up(mut socket: Socket, manager: &HttpManager, quiet: Duration, timings: &Timings) {
    let longest = timings.push_leave * RESTLESS;
    if timeout(longest, silence(&mut socket, manager, quiet)).await.is_err() {
        debug!("it does not get quiet: closing the connection none the less");
    }
    socket.close(timings.push_leave).await;
    // What the Manager does after it has closed its end.
    sleep(timings.push_quiet).await;
}

/// Until we are out of every room.
async fn leave(talk: &mut Conversation<'_>, socket: &mut Socket) -> Result<(), LineError> {
    loop {
        for saying in talk.take_sayings() {
            socket.say(saying.to_string()).await?;
        }
        if talk.is_out() {
            return Ok(());
        }
        talk.hear(&socket.next().await?);
    }
}

/// Until nothing was heard and nothing of ours was under way for as long as `quiet`.
async fn silence(socket: &mut Socket, manager: &HttpManager, quiet: Duration) {
    let mut deaf = false;
    loop {
        let calm = async { tokio::join!(sleep(quiet), manager.broadcasts_nothing_for(quiet)) };
        tokio::select! {
            _ = calm => return,
            heard = socket.next(), if !deaf => deaf = heard.is_err(),
        }
    }
}
