// SPDX-License-Identifier: GPL-3.0-or-later

//! The websocket to the Manager, and what can be wrong with it.

use std::future::pending;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::FusedStream;
use futures_util::{SinkExt, StreamExt};
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_rustls::TlsConnector;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::error::{Error as WebSocketError, ProtocolError};
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::http::header::USER_AGENT;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Message, Utf8Bytes};
use tracing::debug;
use url::{Host, Url};

use crate::manager::Reach;
use crate::manager::dial::{connect, lookup};
use crate::manager::reach::AGENT;

/// Events are 200-350 bytes; a task's name of 140 kB was seen, and its activity is free text. A larger one ends the
/// connection, not our memory.
const LARGEST: usize = 1 << 20;
/// What is read at once; the 128 KiB that are usual would be kept for good.
const READ_BUFFER: usize = 8 << 10;

/// What waits to be written. We say little; answers to pings are what could be more, and of those only the last is owed.
const UNWRITTEN: usize = 16 << 10;

/// Bytes that are taken within a second. A thousand workers that wake at once are a twentieth of it; the rest of a flood
/// waits at the other side.
const INTAKE: usize = 8 << 20;
/// What a frame counts beside its text.
const FRAME: usize = 256;

/// Where the Manager's Socket.IO is.
#[derive(Debug, Clone)]
pub struct Line {
    url: Url,
    reach: Reach,
}

/// Why there is no connection, or no longer.
#[derive(Debug, thiserror::Error)]
pub enum LineError {
    #[error("cannot connect")]
    Unreachable(#[source] io::Error),
    #[error("no answer within {0:?}")]
    TimedOut(Duration),
    /// Something on the way does not know of websockets, or is no Manager.
    #[error("the upgrade was answered with {0}")]
    Refused(u16),
    #[error("the first packet is none of the Manager's")]
    Stranger,
    #[error("a text of more than {LARGEST} bytes came")]
    TooLarge,
    #[error("the connection broke")]
    Broken(#[source] Box<WebSocketError>),
    /// What came, or what was to be said, is against the rules; the connection itself stands.
    #[error("the connection is not used as a websocket is")]
    AgainstTheRules(#[source] Box<WebSocketError>),
    #[error("the other side closed the connection")]
    Closed,
    #[error("a ping was not answered")]
    Silent,
}

impl LineError {
    /// Whether the connection stands all the same: the other side has not closed it, and does not know that we give it up.
    pub(super) fn is_open(&self) -> bool {
        match self {
            Self::Silent | Self::TooLarge | Self::TimedOut(_) | Self::AgainstTheRules(_) => true,
            Self::Unreachable(_) | Self::Refused(_) | Self::Stranger | Self::Broken(_) | Self::Closed => false,
        }
    }
}

/// A stream, over TLS or not.
pub(super) trait Stream: AsyncRead + AsyncWrite + Unpin {}
impl<T: AsyncRead + AsyncWrite + Unpin> Stream for T {}

/// An open connection.
pub(super) struct Socket {
    stream: WebSocketStream<Box<dyn Stream>>,
    patience: Duration,
    intake: Intake,
    /// What came cannot be read, and neither can what follows; it can still be written.
    deaf: bool,
}

impl Line {
    /// `base` is the Manager's URL and ends in a slash.
    pub(super) fn new(base: &Url, reach: Reach) -> Self {
        let mut url = base.clone();
        url.set_path(&format!("{}socket.io/", base.path()));
        url.set_query(Some("EIO=3&transport=websocket"));
        let scheme = if base.scheme() == "https" { "wss" } else { "ws" };
        // Between two schemes of the same kind this cannot fail; and were it not done, the connection would be refused.
        url.set_scheme(scheme).ok();
        Self { url, reach }
    }

    /// Connects and upgrades, within `patience`, which is then the limit of each write.
    pub(super) async fn open(&self, patience: Duration) -> Result<Socket, LineError> {
        let stream = timeout(patience, self.upgrade())
            .await
            .map_err(|_| LineError::TimedOut(patience))??;
        Ok(Socket::new(stream, patience))
    }

    /// The Manager closes a connection whose header is not there after a second: TCP and TLS first, then all of it at once.
    async fn upgrade(&self) -> Result<WebSocketStream<Box<dyn Stream>>, LineError> {
        let stream = self.connect().await.map_err(LineError::Unreachable)?;
        let mut request = self.url.as_str().into_client_request().map_err(broken)?;
        let headers = request.headers_mut();
        headers.extend(self.reach.headers.clone());
        headers.insert(USER_AGENT, HeaderValue::from_static(AGENT));
        let upgraded = tokio_tungstenite::client_async_with_config(request, stream, Some(bounds())).await;
        upgraded.map(|(stream, _)| stream).map_err(broken)
    }

    async fn connect(&self) -> io::Result<Box<dyn Stream>> {
        let port = self.url.port_or_known_default().unwrap_or(80);
        let tcp = connect(&lookup(self.url.host_str().unwrap_or_default(), port).await?).await?;
        tcp.set_nodelay(true)?;
        let Some(tls) = &self.reach.tls else {
            return Ok(Box::new(tcp));
        };
        let name = match self.url.host() {
            Some(Host::Domain(name)) => ServerName::try_from(name.to_owned()).map_err(io::Error::other)?,
            Some(Host::Ipv4(address)) => address.into(),
            Some(Host::Ipv6(address)) => address.into(),
            None => return Err(io::ErrorKind::InvalidInput.into()),
        };
        Ok(Box::new(TlsConnector::from(Arc::clone(tls)).connect(name, tcp).await?))
    }
}

impl Socket {
    /// `patience` is the limit of each write.
    pub(super) fn new(stream: WebSocketStream<Box<dyn Stream>>, patience: Duration) -> Self {
        Self {
            stream,
            patience,
            intake: Intake::new(),
            deaf: false,
        }
    }

    /// The next text. Pings of the websocket are answered on the way; what is no text is nothing to us. After one that
    /// cannot be read there is none.
    pub(super) async fn next(&mut self) -> Result<Utf8Bytes, LineError> {
        if self.deaf {
            return pending().await;
        }
        loop {
            self.intake.allows().await;
            let message = self.stream.next().await;
            if let Some(Ok(message)) = &message {
                self.intake.takes(message.len());
            }
            match message {
                Some(Ok(Message::Text(text))) => return Ok(text),
                Some(Ok(Message::Close(_))) | None => return Err(LineError::Closed),
                Some(Ok(Message::Binary(_) | Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => {}
                Some(Err(error)) => {
                    let error = broken(error);
                    self.deaf = error.is_open();
                    return Err(error);
                }
            }
        }
    }

    /// Says that it ends, and waits for as long as `patience` until the other side has ended it, too.
    pub(super) async fn close(&mut self, patience: Duration) {
        let closed = async {
            if self.stream.close(None).await.is_ok() {
                while self.next().await.is_ok() || !self.stream.is_terminated() {}
            }
        };
        if timeout(patience, closed).await.is_err() {
            debug!("the other side does not close the connection");
        }
    }

    /// Takes a text to be written. One that is not taken, in time or before this is cancelled, is never written.
    pub(super) async fn take(&mut self, text: String) -> Result<(), LineError> {
        timeout(self.patience, self.stream.feed(Message::text(text)))
            .await
            .map_err(|_| LineError::TimedOut(self.patience))?
            .map_err(broken)
    }

    /// Writes what was taken.
    pub(super) async fn flush(&mut self) -> Result<(), LineError> {
        timeout(self.patience, self.stream.flush())
            .await
            .map_err(|_| LineError::TimedOut(self.patience))?
            .map_err(broken)
    }
}

/// What is kept of what comes and of what is to be written.
pub(super) fn bounds() -> WebSocketConfig {
    WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER)
        .write_buffer_size(0)
        .max_write_buffer_size(UNWRITTEN)
        .max_message_size(Some(LARGEST))
        .max_frame_size(Some(LARGEST))
}

/// How much came lately.
struct Intake {
    since: Instant,
    bytes: usize,
}

impl Intake {
    fn new() -> Self {
        Self {
            since: Instant::now(),
            bytes: 0,
        }
    }

    /// Waits until more may come.
    async fn allows(&mut self) {
        let over = self.since + Duration::from_secs(1);
        if self.bytes >= INTAKE {
            sleep_until(over).await;
        }
        if Instant::now() >= over {
            *self = Self::new();
        }
    }

    fn takes(&mut self, bytes: usize) {
        self.bytes += bytes + FRAME;
    }
}

fn broken(error: WebSocketError) -> LineError {
    match error {
        WebSocketError::Http(answer) => LineError::Refused(answer.status().as_u16()),
        WebSocketError::Capacity(_) => LineError::TooLarge,
        WebSocketError::ConnectionClosed
        | WebSocketError::AlreadyClosed
        | WebSocketError::Protocol(ProtocolError::ResetWithoutClosingHandshake | ProtocolError::SendAfterClosing) => {
            LineError::Closed
        }
        WebSocketError::Io(_) | WebSocketError::Tls(_) => LineError::Broken(Box::new(error)),
        WebSocketError::Protocol(_)
        | WebSocketError::WriteBufferFull(_)
        | WebSocketError::Utf8(_)
        | WebSocketError::AttackAttempt
        | WebSocketError::Url(_)
        | WebSocketError::HttpFormat(_) => LineError::AgainstTheRules(Box::new(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn c23_the_socket_is_below_the_managers_url() {
        let line = |base: &str| Line::new(&Url::parse(base).unwrap(), Reach::default()).url.to_string();
        assert_eq!(
            line("http://m:8080/"),
            "ws://m:8080/socket.io/?EIO=3&transport=websocket"
        );
        assert_eq!(
            line("https://m/farm/?x#y"),
            "wss://m/farm/socket.io/?EIO=3&transport=websocket#y"
        );
        assert_eq!(line("http://[::1]/"), "ws://[::1]/socket.io/?EIO=3&transport=websocket");
    }
}
