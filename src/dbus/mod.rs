// SPDX-License-Identifier: GPL-3.0-or-later

//! A connection to a message bus (the D-Bus specification), for whoever reads a few properties of a service and wants to hear
//! when they change.
//!
//! ```text
//! address ─► Bus ─ AUTH EXTERNAL, Hello ──► the bus
//!            ├ property ── message ───────► the service      LONGEST bytes, LIMIT seconds
//!            └ signal ◄────────────────────┘                 that there was one, not what it says
//! ```
//!
//! It is our own, of the few lines that this takes: zbus makes the packaged program 0.9 MB larger, an eighth of it. The small
//! rustbus waits where the event loop would stand still, and its start reads for ever from a bus that hangs up.

mod address;
mod message;

use std::io;
use std::time::Duration;

use nix::unistd::geteuid;
use thiserror::Error;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::time::timeout;

use self::address::socket;
use self::message::{Kind, Message, MethodCall, length};

pub(crate) use self::message::Value;
#[cfg(test)]
pub(crate) use self::message::testing::Peer;

/// Where the system's bus is, unless `DBUS_SYSTEM_BUS_ADDRESS` says otherwise.
pub(crate) const SYSTEM_BUS: &str = "unix:path=/run/dbus/system_bus_socket";

/// How long a bus, or a service, has for one answer: those of a desktop need a thousandth of it.
const LIMIT: Duration = Duration::from_secs(5);

/// The longest line of the handshake; those of a bus have 40 bytes.
const LONGEST_LINE: usize = 1024;

/// The bus itself.
const BUS: Object<'_> = Object {
    service: "org.freedesktop.DBus",
    path: "/org/freedesktop/DBus",
    interface: "org.freedesktop.DBus",
};

/// Why a bus, or a service, has not said what was asked.
#[derive(Debug, Error)]
pub(crate) enum BusError {
    /// An address of none that this client can connect to.
    #[error("no address of a socket: {0:?}")]
    Address(String),
    /// The connection cannot be made, or is gone.
    #[error("no connection to the bus")]
    Connection(#[from] io::Error),
    /// The bus does not let this user in.
    #[error("the bus has refused this user: {0:?}")]
    Refused(String),
    /// There was no answer in time.
    #[error("no answer from the bus within {} s", LIMIT.as_secs())]
    Silence,
    /// What came is no message, or not of a kind that was asked for.
    #[error("not what a bus says: {0}")]
    Malformed(&'static str),
    /// The answer is that it cannot be answered.
    #[error("{text} ({name})")]
    Answer {
        /// One of the names that D-Bus or the service has for its errors.
        name: String,
        /// In words.
        text: String,
    },
}

/// An object of a service, as one of its interfaces.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Object<'a> {
    /// The name of the service at the bus.
    pub service: &'a str,
    /// The object's path.
    pub path: &'a str,
    /// The interface that is meant.
    pub interface: &'a str,
}

/// A connection to a bus, which has let us in.
#[derive(Debug)]
pub(crate) struct Bus {
    stream: UnixStream,
    /// What has come and was not read yet: less than a message.
    received: Vec<u8>,
    /// The number of the message that was sent last.
    serial: u32,
    /// A signal came while an answer was waited for.
    has_signalled: bool,
}

impl Bus {
    /// Connects to the bus at an address as in `DBUS_SYSTEM_BUS_ADDRESS`.
    ///
    /// # Errors
    /// All of [`BusError`].
    pub(crate) async fn connect(address: &str) -> Result<Self, BusError> {
        let socket = socket(address).ok_or_else(|| BusError::Address(address.to_owned()))?;
        within_limit(async {
            let mut bus = Self {
                stream: UnixStream::connect(socket).await?,
                received: Vec::new(),
                serial: 0,
                has_signalled: false,
            };
            bus.authenticate().await?;
            bus.call(BUS, "Hello", &[]).await?;
            Ok(bus)
        })
        .await
    }

    /// Hears the signals that a match rule names, from now on.
    ///
    /// # Errors
    /// All of [`BusError`].
    pub(crate) async fn listen(&mut self, rule: &str) -> Result<(), BusError> {
        within_limit(self.call(BUS, "AddMatch", &[rule])).await.map(drop)
    }

    /// The value of a property now. A service that does not run is not started for this.
    ///
    /// # Errors
    /// All of [`BusError`].
    pub(crate) async fn property(&mut self, object: Object<'_>, name: &str) -> Result<Value, BusError> {
        let of_properties = Object {
            interface: "org.freedesktop.DBus.Properties",
            ..object
        };
        let answer = within_limit(self.call(of_properties, "Get", &[object.interface, name])).await?;
        answer.value().ok_or(BusError::Malformed("a property of another type"))
    }

    /// Waits until there was a signal since the last call of this. Cancel safe.
    ///
    /// # Errors
    /// The connection is gone, or what comes is no message.
    pub(crate) async fn signal(&mut self) -> Result<(), BusError> {
        while !self.has_signalled {
            self.receive().await?;
        }
        self.has_signalled = false;
        Ok(())
    }

    async fn authenticate(&mut self) -> Result<(), BusError> {
        // The number of the user, in decimal, each digit in hexadecimal. The socket tells the bus whether it is true.
        let user: String = geteuid()
            .to_string()
            .bytes()
            .map(|digit| format!("{digit:x}"))
            .collect();
        let hello = format!("\0AUTH EXTERNAL {user}\r\n");
        self.stream.write_all(hello.as_bytes()).await?;
        let line = loop {
            if let Some(end) = self.received.windows(2).position(|two| two == b"\r\n") {
                let rest = self.received.split_off(end + 2);
                break std::mem::replace(&mut self.received, rest);
            }
            if self.received.len() > LONGEST_LINE {
                return Err(BusError::Malformed("a handshake without an end"));
            }
            self.read().await?;
        };
        let line = String::from_utf8_lossy(&line);
        if !line.starts_with("OK ") {
            return Err(BusError::Refused(line.trim_end().to_owned()));
        }
        self.stream.write_all(b"BEGIN\r\n").await?;
        Ok(())
    }

    async fn call(&mut self, object: Object<'_>, member: &str, arguments: &[&str]) -> Result<Message, BusError> {
        // 0 is no number of a message.
        self.serial = self.serial.checked_add(1).unwrap_or(1);
        let call = MethodCall {
            serial: self.serial,
            object,
            member,
            arguments,
        };
        self.stream.write_all(&call.encode()).await?;
        loop {
            let Some(answer) = self
                .receive()
                .await?
                .filter(|answer| answer.reply_to == Some(self.serial))
            else {
                continue;
            };
            return match &answer.error {
                None => Ok(answer),
                Some(name) => Err(BusError::Answer {
                    name: name.clone(),
                    text: answer.text().unwrap_or_default(),
                }),
            };
        }
    }

    /// Takes the next message; signals are noted, and what others ask of us has no answer. Cancel safe.
    async fn receive(&mut self) -> Result<Option<Message>, BusError> {
        let length = loop {
            match length(&self.received).ok_or(BusError::Malformed("no message, or one of that length"))? {
                Some(length) if self.received.len() >= length => break length,
                Some(_) | None => self.read().await?,
            }
        };
        let rest = self.received.split_off(length);
        let bytes = std::mem::replace(&mut self.received, rest);
        let message = Message::decode(&bytes).ok_or(BusError::Malformed("a message against the rules"))?;
        match message.kind {
            Kind::Signal => self.has_signalled = true,
            Kind::Answer => return Ok(Some(message)),
            Kind::Other => {}
        }
        Ok(None)
    }

    async fn read(&mut self) -> Result<(), BusError> {
        match self.stream.read_buf(&mut self.received).await? {
            0 => Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()),
            _ => Ok(()),
        }
    }
}

async fn within_limit<T>(asked: impl Future<Output = Result<T, BusError>>) -> Result<T, BusError> {
    timeout(LIMIT, asked).await.unwrap_or(Err(BusError::Silence))
}

#[cfg(test)]
mod tests;
