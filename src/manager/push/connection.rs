// SPDX-License-Identifier: GPL-3.0-or-later

//! The websocket to the Manager, and what can go wrong with it.

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

use crate::manager::ConnectionOptions;
use crate::manager::client::AGENT;
use crate::manager::dial::{connect, lookup};
use crate::manager_url::ManagerUrl;

/// The largest text that is accepted, in bytes. Events are 200-350 bytes; a task's name of 140 kB was seen, and its activity
/// is free text. A larger text ends the connection rather than filling our memory.
const MAX_TEXT: usize = 1 << 20;
/// The size of the read buffer, in bytes. The default of 128 KiB would be held for as long as the connection lasts.
const READ_BUFFER: usize = 8 << 10;
/// The most that waits to be written, in bytes. We send little; most of it could be answers to pings, and of those only the
/// last is owed.
const WRITE_BUFFER: usize = 16 << 10;
/// So many bytes are taken within a second. A thousand workers that wake at once cause a twentieth of it; the rest of a
/// flood waits at the other side.
const MAX_BYTES_PER_SECOND: usize = 8 << 20;
/// What a frame counts towards that limit besides its text, in bytes.
const FRAME_COST: usize = 256;

/// Where the Manager's Socket.IO is, and how to connect to it.
#[derive(Debug, Clone)]
pub(super) struct Endpoint {
    manager: ManagerUrl,
    url: Url,
    options: ConnectionOptions,
}

/// Why there is no connection, or no longer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PushError {
    /// It is not known yet where the Manager is.
    #[error("no Manager has been found yet")]
    NotFound,
    /// No TCP or TLS connection could be made.
    #[error("cannot connect")]
    Unreachable(#[source] io::Error),
    /// The other side was silent for this long.
    #[error("no answer within {0:?}")]
    TimedOut(Duration),
    /// The other side answered the upgrade with this HTTP status: something on the way does not support websockets, or it is
    /// no Manager.
    #[error("the upgrade was answered with {0}")]
    Refused(u16),
    /// The other side speaks websocket, but is no Manager.
    #[error("the first packet is none of the Manager's")]
    Stranger,
    /// A text was longer than the limit.
    #[error("a text of more than {MAX_TEXT} bytes came")]
    TooLarge,
    /// Reading or writing failed.
    #[error("the connection broke")]
    Broken(#[source] Box<WebSocketError>),
    /// What came, or what was to be sent, is against the rules of websockets. The connection itself still stands.
    #[error("the connection is not used as a websocket is")]
    AgainstTheRules(#[source] Box<WebSocketError>),
    /// The other side ended the connection.
    #[error("the other side closed the connection")]
    Closed,
    /// A ping was sent and not answered in time.
    #[error("a ping was not answered")]
    Silent,
}

impl PushError {
    /// Whether the connection still stands: the other side has not closed it, and does not know that we give it up.
    pub(super) fn is_open(&self) -> bool {
        match self {
            Self::Silent | Self::TooLarge | Self::TimedOut(_) | Self::AgainstTheRules(_) => true,
            Self::NotFound
            | Self::Unreachable(_)
            | Self::Refused(_)
            | Self::Stranger
            | Self::Broken(_)
            | Self::Closed => false,
        }
    }
}

/// A stream of bytes, over TLS or not.
pub(super) trait ByteStream: AsyncRead + AsyncWrite + Unpin {}
impl<T: AsyncRead + AsyncWrite + Unpin> ByteStream for T {}

/// An open connection.
pub(super) struct Connection {
    stream: WebSocketStream<Box<dyn ByteStream>>,
    /// The time limit of each write.
    write_timeout: Duration,
    rate: ReadRate,
    /// What came cannot be read, and neither can what follows. Writing still works.
    is_unreadable: bool,
}

impl Endpoint {
    /// The Socket.IO of `manager`.
    pub(super) fn new(manager: ManagerUrl, options: ConnectionOptions) -> Self {
        let base = manager.url();
        let mut url = base.clone();
        url.set_path(&format!("{}socket.io/", base.path()));
        url.set_query(Some("EIO=3&transport=websocket"));
        let scheme = if base.scheme() == "https" { "wss" } else { "ws" };
        // A change between two schemes of the same kind cannot fail. With the old scheme the upgrade would be refused.
        url.set_scheme(scheme).ok();
        Self { manager, url, options }
    }

    /// Connects and upgrades within `limit`, which is then the time limit of each write.
    ///
    /// # Errors
    /// Returns why there is no connection.
    pub(super) async fn open(&self, limit: Duration) -> Result<Connection, PushError> {
        let stream = timeout(limit, self.upgrade())
            .await
            .map_err(|_| PushError::TimedOut(limit))??;
        Ok(Connection::new(stream, limit))
    }

    /// The Manager closes a connection whose HTTP header is not complete after a second. So TCP and TLS come first, and then
    /// the whole header at once.
    async fn upgrade(&self) -> Result<WebSocketStream<Box<dyn ByteStream>>, PushError> {
        let stream = self.connect().await.map_err(PushError::Unreachable)?;
        let mut request = self.url.as_str().into_client_request().map_err(push_error)?;
        let headers = request.headers_mut();
        headers.extend(self.options.headers.clone());
        headers.insert(USER_AGENT, HeaderValue::from_static(AGENT));
        let upgraded = tokio_tungstenite::client_async_with_config(request, stream, Some(websocket_config())).await;
        upgraded.map(|(stream, _)| stream).map_err(push_error)
    }

    async fn connect(&self) -> io::Result<Box<dyn ByteStream>> {
        let tcp = connect(&lookup(&self.manager).await?).await?;
        tcp.set_nodelay(true)?;
        let Some(tls) = &self.options.tls else {
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

impl Connection {
    /// Each write may take `write_timeout`.
    pub(super) fn new(stream: WebSocketStream<Box<dyn ByteStream>>, write_timeout: Duration) -> Self {
        Self {
            stream,
            write_timeout,
            rate: ReadRate::new(),
            is_unreadable: false,
        }
    }

    /// Returns the next text. Pings of the websocket are answered on the way, and other frames are ignored. After something
    /// that cannot be read this waits for ever. Cancel safe.
    ///
    /// # Errors
    /// Returns why there is no next text.
    pub(super) async fn next(&mut self) -> Result<Utf8Bytes, PushError> {
        if self.is_unreadable {
            return pending().await;
        }
        loop {
            self.rate.wait().await;
            let message = self.stream.next().await;
            if let Some(Ok(message)) = &message {
                self.rate.count(message.len());
            }
            match message {
                Some(Ok(Message::Text(text))) => return Ok(text),
                Some(Ok(Message::Close(_))) | None => return Err(PushError::Closed),
                Some(Ok(Message::Binary(_) | Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => {}
                Some(Err(error)) => {
                    let error = push_error(error);
                    self.is_unreadable = error.is_open();
                    return Err(error);
                }
            }
        }
    }

    /// Sends a close frame, and waits at most `limit` until the other side has closed the connection too.
    pub(super) async fn close(&mut self, limit: Duration) {
        let closed = async {
            if self.stream.close(None).await.is_ok() {
                while self.next().await.is_ok() || !self.stream.is_terminated() {}
            }
        };
        if timeout(limit, closed).await.is_err() {
            debug!("the other side does not close the connection");
        }
    }

    /// Queues a text to be written. A text that is not queued, because the time is up or this is cancelled, is never
    /// written.
    ///
    /// # Errors
    /// Returns why the text was not queued.
    pub(super) async fn queue(&mut self, text: String) -> Result<(), PushError> {
        timeout(self.write_timeout, self.stream.feed(Message::text(text)))
            .await
            .map_err(|_| PushError::TimedOut(self.write_timeout))?
            .map_err(push_error)
    }

    /// Writes what was queued.
    ///
    /// # Errors
    /// Returns why it could not be written.
    pub(super) async fn flush(&mut self) -> Result<(), PushError> {
        timeout(self.write_timeout, self.stream.flush())
            .await
            .map_err(|_| PushError::TimedOut(self.write_timeout))?
            .map_err(push_error)
    }
}

/// Bounds the memory that a connection takes.
pub(super) fn websocket_config() -> WebSocketConfig {
    WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER)
        .write_buffer_size(0)
        .max_write_buffer_size(WRITE_BUFFER)
        .max_message_size(Some(MAX_TEXT))
        .max_frame_size(Some(MAX_TEXT))
}

/// Limits how much is read in a second.
struct ReadRate {
    since: Instant,
    bytes: usize,
}

impl ReadRate {
    fn new() -> Self {
        Self {
            since: Instant::now(),
            bytes: 0,
        }
    }

    /// Waits until more may be read.
    async fn wait(&mut self) {
        let over = self.since + Duration::from_secs(1);
        if self.bytes >= MAX_BYTES_PER_SECOND {
            sleep_until(over).await;
        }
        if Instant::now() >= over {
            *self = Self::new();
        }
    }

    fn count(&mut self, bytes: usize) {
        self.bytes += bytes + FRAME_COST;
    }
}

fn push_error(error: WebSocketError) -> PushError {
    match error {
        WebSocketError::Http(answer) => PushError::Refused(answer.status().as_u16()),
        WebSocketError::Capacity(_) => PushError::TooLarge,
        WebSocketError::ConnectionClosed
        | WebSocketError::AlreadyClosed
        | WebSocketError::Protocol(ProtocolError::ResetWithoutClosingHandshake | ProtocolError::SendAfterClosing) => {
            PushError::Closed
        }
        WebSocketError::Io(_) | WebSocketError::Tls(_) => PushError::Broken(Box::new(error)),
        WebSocketError::Protocol(_)
        | WebSocketError::WriteBufferFull(_)
        | WebSocketError::Utf8(_)
        | WebSocketError::AttackAttempt
        | WebSocketError::Url(_)
        | WebSocketError::HttpFormat(_) => PushError::AgainstTheRules(Box::new(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn c23_the_socket_is_below_the_managers_url() {
        let url = |base: &str| {
            Endpoint::new(ManagerUrl::parse(base).unwrap(), ConnectionOptions::default())
                .url
                .to_string()
        };
        assert_eq!(
            url("http://m:8080/"),
            "ws://m:8080/socket.io/?EIO=3&transport=websocket"
        );
        assert_eq!(
            url("https://m/farm/"),
            "wss://m/farm/socket.io/?EIO=3&transport=websocket"
        );
        assert_eq!(url("http://[::1]/"), "ws://[::1]/socket.io/?EIO=3&transport=websocket");
    }
}
