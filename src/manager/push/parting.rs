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

use tokio::time::error::Elapsed;
use tokio::time::{sleep, timeout};
use tracing::debug;

use super::conversation::Conversation;
use super::line::{LineError, Socket};
use crate::manager::HttpManager;
use crate::timings::Timings;

/// So many times [`Timings::push_leave`] it is waited for quiet at most.
const RESTLESS: u32 = 3;

/// How we stand to the rooms after leaving them.
#[derive(Debug, PartialEq, Eq)]
enum Left {
    /// We are in none.
    Acknowledged,
    /// There is no connection any more.
    Disconnected,
    /// All was said that could be, and not all of it acknowledged.
    Unheard,
}

/// How long a parting can take.
pub(crate) fn longest(timings: &Timings) -> Duration {
    timings.push_leave * (RESTLESS + 2) + timings.push_quiet
}

/// Leaves every room and closes. Afterwards the connection is gone at the Manager, too.
pub(super) async fn part(talk: &mut Conversation<'_>, mut socket: Socket, manager: &HttpManager, timings: &Timings) {
    let quiet = match leave(talk, &mut socket, timings.push_leave / 2).await {
        Left::Acknowledged => timings.push_quiet,
        Left::Disconnected => return,
        Left::Unheard => {
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

/// Says what is to be said. What is not said when this fails or is cancelled remains to be said.
pub(super) async fn say(talk: &mut Conversation<'_>, socket: &mut Socket) -> Result<(), LineError> {
    while let Some(saying) = talk.next_saying() {
        socket.take(saying.to_string()).await?;
        talk.said();
    }
    socket.flush().await
}

/// Leaves every room. After `patience` those are left, too, of which the Manager has not said that we are in them, within
/// as much again.
async fn leave(talk: &mut Conversation<'_>, socket: &mut Socket, patience: Duration) -> Left {
    talk.leave();
    let first = timeout(patience, until_out(talk, socket)).await;
    if let Some(left) = Left::after(&first) {
        return left;
    }
    talk.leave_blindly();
    let second = timeout(patience, until_out(talk, socket)).await;
    Left::after(&second).unwrap_or(Left::Unheard)
}

/// Until we are out of every room.
async fn until_out(talk: &mut Conversation<'_>, socket: &mut Socket) -> Result<(), LineError> {
    loop {
        say(talk, socket).await?;
        if talk.is_out() {
            return Ok(());
        }
        talk.hear(&socket.next().await?);
    }
}

impl Left {
    /// Nothing while a second try may do better.
    fn after(tried: &Result<Result<(), LineError>, Elapsed>) -> Option<Self> {
        match tried {
            Ok(Ok(())) => Some(Self::Acknowledged),
            Ok(Err(error)) if !error.is_open() => Some(Self::Disconnected),
            Ok(Err(_)) | Err(_) => None,
        }
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

#[cfg(test)]
mod tests {
    use futures_util::StreamExt;
    use tokio::io::{AsyncWriteExt, DuplexStream, duplex};
    use tokio::time::Instant;
    use tokio_tungstenite::WebSocketStream;
    use tokio_tungstenite::tungstenite::protocol::Role;

    use super::*;
    use crate::manager::push::crowd::Crowd;
    use crate::manager::push::line::{Stream, bounds};
    use crate::manager::push::{Ear, Interest, Source, hints};
    use crate::protocol::Handshake;

    const PATIENCE: Duration = Duration::from_millis(500);

    /// Our end of a connection that holds so many bytes until they are read, and the Manager's.
    async fn connection(holds: usize) -> (Socket, DuplexStream) {
        let (ours, theirs) = duplex(holds);
        let ours: Box<dyn Stream> = Box::new(ours);
        let stream = WebSocketStream::from_raw_socket(ours, Role::Client, Some(bounds())).await;
        (Socket::new(stream, Duration::from_secs(5)), theirs)
    }

    /// A worker that is in the two rooms of an idle one.
    fn inside<'a>(crowd: &'a mut Crowd, source: &'a Source, timings: &'a Timings) -> Conversation<'a> {
        let ear = Ear::new("w".into(), Interest::Work);
        let mut talk = Conversation::new(ear, crowd, source, timings);
        talk.open(&Handshake {
            ping_interval: Some(30_000),
        });
        for id in [1, 2] {
            talk.said();
            talk.hear(&format!("43{id}[\"ok\"]"));
        }
        talk
    }

    /// What the Manager reads while nothing new has come for longer than we have patience.
    async fn read(theirs: DuplexStream) -> Vec<String> {
        let mut there = WebSocketStream::from_raw_socket(theirs, Role::Server, None).await;
        let mut texts = Vec::new();
        while let Ok(Some(Ok(message))) = timeout(PATIENCE * 3, there.next()).await {
            texts.push(message.to_string());
        }
        texts
    }

    const LEFT: [&str; 2] = [
        r#"423["/subscription",{"op":"unsubscribe","type":"allWorkers"}]"#,
        r#"424["/subscription",{"op":"unsubscribe","type":"allJobs"}]"#,
    ];

    #[tokio::test(start_paused = true)]
    async fn i1_what_a_blocked_connection_did_not_take_is_said_later() {
        let (timings, mut crowd) = (Timings::default(), Crowd::new(Instant::now()));
        let (_hints, source) = hints(&timings);
        let mut talk = inside(&mut crowd, &source, &timings);
        let (mut socket, theirs) = connection(16).await;
        talk.leave();
        assert!(timeout(PATIENCE, until_out(&mut talk, &mut socket)).await.is_err());
        let (left, texts) = tokio::join!(leave(&mut talk, &mut socket, PATIENCE), read(theirs));
        assert_eq!(left, Left::Unheard);
        assert_eq!(texts, LEFT);
    }

    #[tokio::test(start_paused = true)]
    async fn i1_a_frame_against_the_rules_leaves_the_connection_and_every_room_is_left() {
        for odd in [&[0x83, 0][..], &[0x81, 1, 0xff], &[0xf1, 0]] {
            let (timings, mut crowd) = (Timings::default(), Crowd::new(Instant::now()));
            let (_hints, source) = hints(&timings);
            let mut talk = inside(&mut crowd, &source, &timings);
            let (mut socket, mut theirs) = connection(4096).await;
            theirs.write_all(odd).await.unwrap();
            let error = socket.next().await.unwrap_err();
            assert!(error.is_open(), "{odd:?}: {error}");
            let (left, texts) = tokio::join!(leave(&mut talk, &mut socket, PATIENCE), read(theirs));
            assert_eq!(left, Left::Unheard);
            assert_eq!(texts, LEFT);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn i1_a_connection_that_the_manager_ended_is_over() {
        let (mut socket, theirs) = connection(4096).await;
        drop(theirs);
        let error = socket.next().await.unwrap_err();
        assert!(!error.is_open(), "{error}");
    }
}
