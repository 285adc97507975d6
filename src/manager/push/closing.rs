// SPDX-License-Identifier: GPL-3.0-or-later

//! Closes a connection that we give up ourselves. Done wrongly, this stops the Manager for the whole farm.
//!
//! In the Manager's Socket.IO a broadcast to a room takes the lock of all rooms and then the lock of each connection in the
//! room; a connection that closes takes its own lock and then the lock of all rooms. Where both meet, all later broadcasts
//! wait for ever, and with them every sign-on, sign-off and Worker Action. One stop of a worker in some hundred was enough,
//! because the sign-off is itself broadcast. There is a second trap: closing empties the connection's queue while another
//! thread writes from it, and waits for ever, with its lock held, if that thread takes the last text.
//!
//! So a connection is closed while it is in no room (but for `/lifecycle` and `/status`, which cannot be left), while
//! nothing is on its way to it, and not beside a change that this worker makes:
//!
//! ```text
//! leave each room ─► all acknowledged ─► quiet ─► close ─► the Manager has closed, too ─► quiet ─► gone
//!                    (or push_leave)    (bounded)          (or push_leave)
//! ```

use std::time::Duration;

use tokio::time::error::Elapsed;
use tokio::time::{sleep, timeout};
use tracing::debug;

use super::connection::{Connection, PushError};
use super::connection_state::ConnectionState;
use crate::manager::HttpManager;
use crate::timings::Timings;

/// A quiet moment is waited for at most this many times [`Timings::push_leave`].
const MAX_QUIET_WAITS: u32 = 3;

/// What is known about the rooms after leaving them.
#[derive(Debug, PartialEq, Eq)]
enum LeaveResult {
    /// The Manager has acknowledged that the connection is in no room.
    Acknowledged,
    /// The connection no longer exists.
    Disconnected,
    /// Everything that could be sent was sent, but not everything was acknowledged.
    Unacknowledged,
}

/// The longest time that closing a connection can take.
pub(crate) fn longest_close(timings: &Timings) -> Duration {
    timings.push_leave * (MAX_QUIET_WAITS + 2) + timings.push_quiet
}

/// Leaves every room and closes the connection. Afterwards the connection is gone at the Manager too.
pub(super) async fn leave_and_close(
    state: &mut ConnectionState<'_>,
    mut connection: Connection,
    manager: &HttpManager,
    timings: &Timings,
) {
    let quiet = match leave(state, &mut connection, timings.push_leave / 2).await {
        LeaveResult::Acknowledged => timings.push_quiet,
        LeaveResult::Disconnected => return,
        LeaveResult::Unacknowledged => {
            debug!("the Manager does not say that we are out of its rooms: waiting for a quiet moment");
            timings.push_leave
        }
    };
    close_when_quiet(connection, manager, quiet, timings).await;
}

/// Closes a connection that is in no room, once nothing was received and no change of this worker's was under way for
/// `quiet`.
pub(super) async fn close_when_quiet(
    mut connection: Connection,
    manager: &HttpManager,
    quiet: Duration,
    timings: &Timings,
) {
    let longest = timings.push_leave * MAX_QUIET_WAITS;
    let is_quiet = timeout(longest, wait_until_quiet(&mut connection, manager, quiet)).await;
    if is_quiet.is_err() {
        debug!("it does not get quiet: closing the connection none the less");
    }
    connection.close(timings.push_leave).await;
    // The Manager still cleans up after it has closed its end.
    sleep(timings.push_quiet).await;
}

/// Sends the packets that are due. A packet that is not sent, because this fails or is cancelled, remains due.
///
/// # Errors
/// Returns why a packet could not be sent.
pub(super) async fn send_packets(
    state: &mut ConnectionState<'_>,
    connection: &mut Connection,
) -> Result<(), PushError> {
    while let Some(packet) = state.next_packet() {
        connection.queue(packet.to_string()).await?;
        state.packet_sent();
    }
    connection.flush().await
}

/// Leaves every room. After `limit` this leaves, within as much time again, also the rooms whose entering the Manager has
/// not acknowledged.
async fn leave(state: &mut ConnectionState<'_>, connection: &mut Connection, limit: Duration) -> LeaveResult {
    state.leave_rooms();
    let first = timeout(limit, wait_until_left(state, connection)).await;
    if let Some(result) = LeaveResult::of(&first) {
        return result;
    }
    state.leave_unacknowledged_rooms();
    let second = timeout(limit, wait_until_left(state, connection)).await;
    LeaveResult::of(&second).unwrap_or(LeaveResult::Unacknowledged)
}

async fn wait_until_left(state: &mut ConnectionState<'_>, connection: &mut Connection) -> Result<(), PushError> {
    loop {
        send_packets(state, connection).await?;
        if state.has_left_rooms() {
            return Ok(());
        }
        state.receive(&connection.next().await?);
    }
}

impl LeaveResult {
    /// Returns `None` when a second attempt may do better.
    fn of(attempt: &Result<Result<(), PushError>, Elapsed>) -> Option<Self> {
        match attempt {
            Ok(Ok(())) => Some(Self::Acknowledged),
            Ok(Err(error)) if !error.is_open() => Some(Self::Disconnected),
            Ok(Err(_)) | Err(_) => None,
        }
    }
}

/// Waits until nothing was received and no change of this worker's was under way for `quiet`.
async fn wait_until_quiet(connection: &mut Connection, manager: &HttpManager, quiet: Duration) {
    let mut is_broken = false;
    loop {
        let nothing_happens = async { tokio::join!(sleep(quiet), manager.wait_for_no_broadcasts(quiet)) };
        tokio::select! {
            _ = nothing_happens => return,
            received = connection.next(), if !is_broken => is_broken = received.is_err(),
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
    use crate::manager::push::connection::{ByteStream, websocket_config};
    use crate::manager::push::farm_load::FarmLoad;
    use crate::manager::push::{EventFilter, HintSender, Interest, hint_channel};
    use crate::protocol::Handshake;

    const LIMIT: Duration = Duration::from_millis(500);

    /// The worker's end of a connection that holds so many bytes until they are read, and the Manager's end.
    async fn open_connection(capacity: usize) -> (Connection, DuplexStream) {
        let (ours, theirs) = duplex(capacity);
        let ours: Box<dyn ByteStream> = Box::new(ours);
        let stream = WebSocketStream::from_raw_socket(ours, Role::Client, Some(websocket_config())).await;
        (Connection::new(stream, Duration::from_secs(5)), theirs)
    }

    /// A connection that is in the two rooms of an idle worker.
    fn inside<'a>(farm: &'a mut FarmLoad, hints: &'a HintSender, timings: &'a Timings) -> ConnectionState<'a> {
        let filter = EventFilter::new("w".into(), Interest::Work);
        let mut state = ConnectionState::new(filter, farm, hints, timings);
        state.open(&Handshake {
            ping_interval: Some(30_000),
        });
        for id in [1, 2] {
            state.packet_sent();
            state.receive(&format!("43{id}[\"ok\"]"));
        }
        state
    }

    /// What the Manager reads until nothing new has come for longer than the limits of the other side.
    async fn read(theirs: DuplexStream) -> Vec<String> {
        let mut there = WebSocketStream::from_raw_socket(theirs, Role::Server, None).await;
        let mut texts = Vec::new();
        while let Ok(Some(Ok(message))) = timeout(LIMIT * 3, there.next()).await {
            texts.push(message.to_string());
        }
        texts
    }

    const UNSUBSCRIBED: [&str; 2] = [
        r#"423["/subscription",{"op":"unsubscribe","type":"allWorkers"}]"#,
        r#"424["/subscription",{"op":"unsubscribe","type":"allJobs"}]"#,
    ];

    #[tokio::test(start_paused = true)]
    async fn i1_what_a_blocked_connection_did_not_take_is_sent_later() {
        let (timings, mut farm) = (Timings::default(), FarmLoad::new(Instant::now()));
        let (_receiver, hints) = hint_channel(&timings);
        let mut state = inside(&mut farm, &hints, &timings);
        let (mut connection, theirs) = open_connection(16).await;
        state.leave_rooms();
        assert!(
            timeout(LIMIT, wait_until_left(&mut state, &mut connection))
                .await
                .is_err()
        );
        let (result, texts) = tokio::join!(leave(&mut state, &mut connection, LIMIT), read(theirs));
        assert_eq!(result, LeaveResult::Unacknowledged);
        assert_eq!(texts, UNSUBSCRIBED);
    }

    #[tokio::test(start_paused = true)]
    async fn i1_a_frame_against_the_rules_leaves_the_connection_and_every_room_is_left() {
        for odd in [&[0x83, 0][..], &[0x81, 1, 0xff], &[0xf1, 0]] {
            let (timings, mut farm) = (Timings::default(), FarmLoad::new(Instant::now()));
            let (_receiver, hints) = hint_channel(&timings);
            let mut state = inside(&mut farm, &hints, &timings);
            let (mut connection, mut theirs) = open_connection(4096).await;
            theirs.write_all(odd).await.unwrap();
            let error = connection.next().await.unwrap_err();
            assert!(error.is_open(), "{odd:?}: {error}");
            let (result, texts) = tokio::join!(leave(&mut state, &mut connection, LIMIT), read(theirs));
            assert_eq!(result, LeaveResult::Unacknowledged);
            assert_eq!(texts, UNSUBSCRIBED);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn i1_a_connection_that_the_manager_ended_is_over() {
        let (mut connection, theirs) = open_connection(4096).await;
        drop(theirs);
        let error = connection.next().await.unwrap_err();
        assert!(!error.is_open(), "{error}");
    }
}
