// SPDX-License-Identifier: GPL-3.0-or-later
//! One client's connection, from the upgrade to its end: one half reads, one writes, and a bell cuts both short.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use futures_util::{
    SinkExt, StreamExt,
    stream::{SplitSink, SplitStream},
};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{
        Error, Message, Utf8Bytes,
        error::ProtocolError,
        protocol::{CloseFrame, Role, WebSocketConfig, frame::coding::CloseCode},
    },
};

use super::{
    Bells, Next,
    packet::{self, Reaction},
    room::{Subscription, Wish},
};
use crate::shared::Shared;

/// A client that does not read is dropped after so long.
const WRITE_TIME: Duration = Duration::from_mins(1);

/// Bytes. Clients say little, and the library's own 128 KiB each are much for a thousand of them.
const READ_BUFFER: usize = 4096;

type Socket = WebSocketStream<TokioIo<Upgraded>>;

/// How a connection ended, as far as it matters to the others.
pub(crate) enum Ended {
    Alone,
    /// The Manager's process went with it.
    WithManager,
}

/// How one half of a conversation ended.
enum Over {
    Dropped,
    /// By the client.
    Parted,
    /// A close frame with 1002 and this reason goes first.
    Protocol(String),
    Killed,
}

/// A client's place; given up when dropped.
struct Seat<'a> {
    shared: &'a Shared,
    number: u64,
    peer: SocketAddr,
    bells: Arc<Bells>,
}

/// Serves an upgraded connection to its end. `idle` is how long a client may stay without a data message.
pub(crate) async fn talk(shared: &Shared, upgraded: Upgraded, peer: SocketAddr, idle: Duration) -> Ended {
    let config = WebSocketConfig::default().read_buffer_size(READ_BUFFER);
    let socket = Socket::from_raw_socket(TokioIo::new(upgraded), Role::Server, Some(config)).await;
    let (mut sink, stream) = socket.split();
    let (number, bells) = shared.change(|inner| inner.push.join(peer));
    let seat = Seat {
        shared,
        number,
        peer,
        bells,
    };
    let over = tokio::select! {
        over = seat.read(stream, idle) => over,
        over = seat.write(&mut sink) => over,
        () = seat.bells.hang_up.notified() => Over::Dropped,
    };
    match over {
        Over::Dropped => Ended::Alone,
        Over::Parted => {
            let now = shared.since_start();
            shared.change(|inner| inner.push.client_parts(number, now));
            Ended::Alone
        }
        Over::Killed => Ended::WithManager,
        Over::Protocol(reason) => {
            let frame = CloseFrame {
                code: CloseCode::Protocol,
                reason: reason.into(),
            };
            // Client may be gone.
            timeout(WRITE_TIME, sink.send(Message::Close(Some(frame)))).await.ok();
            Ended::Alone
        }
    }
}

impl Seat<'_> {
    /// Until it ends. Only whole data messages move the deadline: pings of websocket and half a message do not.
    async fn read(&self, mut stream: SplitStream<Socket>, idle: Duration) -> Over {
        let mut deadline = Instant::now() + idle;
        loop {
            let text = match timeout_at(deadline, stream.next()).await {
                Ok(Some(Ok(Message::Text(text)))) => text,
                // A close frame is answered while the end is waited for.
                Ok(Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Close(_) | Message::Frame(_)))) => continue,
                Ok(Some(Err(Error::Protocol(problem)))) => return protocol_error(&problem),
                Ok(Some(Err(_)) | None) => return Over::Parted,
                Ok(Some(Ok(Message::Binary(_)))) | Err(_) => return Over::Dropped,
            };
            match self.react(&text) {
                Some(over) => return over,
                None => deadline = Instant::now() + idle,
            }
        }
    }

    fn react(&self, text: &str) -> Option<Over> {
        let reaction = packet::react(text);
        self.shared.change(|inner| {
            inner.push.note(self.number, text);
            match reaction {
                Reaction::Nothing => {}
                Reaction::Pong => inner.push.pong(self.number),
                Reaction::Subscribe(wish, ack) => inner.push.subscribe(self.number, wish, ack),
                Reaction::HangUp => return Some(Over::Dropped),
                Reaction::KillManager => {
                    inner.push.kill(self.peer, text);
                    return Some(Over::Killed);
                }
            }
            None
        })
    }

    async fn write(&self, sink: &mut SplitSink<Socket, Message>) -> Over {
        loop {
            match self.shared.change(|inner| inner.push.next(self.number)) {
                Next::HangUp => return Over::Dropped,
                Next::Wait => self.bells.something_waits.notified().await,
                Next::Write(texts) => match timeout(WRITE_TIME, send(sink, texts)).await {
                    Ok(Ok(())) => {}
                    Ok(Err(_)) => return Over::Parted,
                    Err(_) => return Over::Dropped,
                },
            }
        }
    }
}

async fn send(sink: &mut SplitSink<Socket, Message>, texts: Vec<Utf8Bytes>) -> Result<(), Error> {
    for text in texts {
        sink.feed(Message::Text(text)).await?;
    }
    sink.flush().await
}

impl super::Push {
    fn pong(&mut self, number: u64) {
        if self.options.answers_pings {
            self.reply(number, Utf8Bytes::from_static("3"));
        }
    }

    fn subscribe(&mut self, number: u64, wish: Subscription, ack: Option<i64>) {
        if self.wedged {
            return;
        }
        let answer = match wish.rooms() {
            Err(why) => why,
            Ok((wish, rooms)) => {
                for room in rooms {
                    match wish {
                        Wish::Enter => self.enter(number, room),
                        Wish::Exit => self.exit(number, &room),
                    }
                }
                "ok"
            }
        };
        if let Some(ack) = ack
            && self.options.acknowledges
        {
            self.reply(number, packet::ack(ack, answer));
        }
    }
}

impl Drop for Seat<'_> {
    fn drop(&mut self) {
        self.shared.change(|inner| inner.push.leave(self.number));
    }
}

/// In the words of the Manager's library, for those a client may well cause.
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "a long list of another library, most of it about handshakes"
)]
fn protocol_error(problem: &ProtocolError) -> Over {
    let words = match problem {
        ProtocolError::UnmaskedFrameFromClient => "bad MASK".to_owned(),
        ProtocolError::NonZeroReservedBits => "RSV1 set".to_owned(),
        ProtocolError::FragmentedControlFrame => "FIN not set on control".to_owned(),
        ProtocolError::ControlFrameTooBig => "len > 125 for control".to_owned(),
        ProtocolError::UnexpectedContinueFrame => "continuation after FIN".to_owned(),
        ProtocolError::ExpectedFragment(_) => "data before FIN".to_owned(),
        ProtocolError::InvalidOpcode(code)
        | ProtocolError::UnknownControlFrameType(code)
        | ProtocolError::UnknownDataFrameType(code) => format!("bad opcode {code}"),
        // Without a close frame.
        ProtocolError::ResetWithoutClosingHandshake => return Over::Parted,
        _ => return Over::Dropped,
    };
    Over::Protocol(words)
}
