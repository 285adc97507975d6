// SPDX-License-Identifier: GPL-3.0-or-later

//! A bus for tests, which speaks the protocol by hand and has one service: of it the properties, by their names.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::convert::Infallible;

use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Notify;

use super::{FIXED, MARK, Message, Reader, Value, Writer, length};

/// The bus.
#[derive(Debug)]
pub(crate) struct Peer {
    folder: TempDir,
    listener: RefCell<Option<UnixListener>>,
    properties: RefCell<BTreeMap<String, Value>>,
    signal: Notify,
    /// How often a property was asked for.
    pub(crate) asked: std::cell::Cell<usize>,
}

impl Peer {
    pub(crate) fn new() -> Self {
        let peer = Self {
            folder: TempDir::new().unwrap(),
            listener: RefCell::default(),
            properties: RefCell::default(),
            signal: Notify::new(),
            asked: std::cell::Cell::default(),
        };
        peer.begin();
        peer
    }

    /// Can be connected to (again).
    pub(crate) fn begin(&self) {
        let path = self.folder.path().join("bus");
        std::fs::remove_file(&path).ok();
        *self.listener.borrow_mut() = Some(UnixListener::bind(path).unwrap());
    }

    pub(crate) fn address(&self) -> String {
        format!("unix:path={}/bus", self.folder.path().display())
    }

    /// From now on a property has this value; `None`: it cannot be had.
    pub(crate) fn set(&self, property: &str, value: impl Into<Option<Value>>) {
        let mut properties = self.properties.borrow_mut();
        match value.into() {
            Some(value) => drop(properties.insert(property.to_owned(), value)),
            None => drop(properties.remove(property)),
        }
    }

    /// Tells that something has changed.
    pub(crate) fn signal(&self) {
        self.signal.notify_one();
    }

    /// Serves one connection after another, for as long as it is polled.
    pub(crate) async fn serve(&self) -> Infallible {
        loop {
            let listener = self.listener.take().unwrap();
            let (stream, _) = listener.accept().await.unwrap();
            *self.listener.borrow_mut() = Some(listener);
            self.attend(stream).await;
        }
    }

    async fn attend(&self, stream: UnixStream) -> Option<()> {
        let mut stream = BufReader::new(stream);
        let_in(&mut stream).await?;
        let mut received = Vec::new();
        loop {
            while let Some(Some(end)) = length(&received).map(|it| it.filter(|end| received.len() >= *end)) {
                let rest = received.split_off(end);
                let call = std::mem::replace(&mut received, rest);
                // In two pieces, as a stream may have it.
                let answer = self.answer(&call);
                let (first, second) = answer.split_at(answer.len() / 2);
                stream.write_all(first).await.ok()?;
                tokio::task::yield_now().await;
                stream.write_all(second).await.ok()?;
            }
            tokio::select! {
                read = stream.read_buf(&mut received) => (read.ok()? > 0).then_some(())?,
                () = self.signal.notified() => stream.write_all(&message(4, None, None, None)).await.ok()?,
            }
        }
    }

    fn answer(&self, bytes: &[u8]) -> Vec<u8> {
        let call = Message::decode(bytes).unwrap();
        let serial = Reader { bytes, at: 8 }.number();
        let mut body = Reader {
            bytes: &call.body,
            at: 0,
        };
        if call.signature != "ss" {
            return message(2, serial, None, None);
        }
        self.asked.set(self.asked.get() + 1);
        let (_, name) = (body.text().unwrap(), body.text().unwrap());
        match self.properties.borrow().get(name) {
            Some(value) => message(2, serial, None, Some(value)),
            None => message(3, serial, Some("org.freedesktop.DBus.Error.UnknownObject"), None),
        }
    }
}

/// The handshake.
async fn let_in(stream: &mut BufReader<UnixStream>) -> Option<()> {
    let mut line = String::new();
    stream.read_line(&mut line).await.ok()?;
    assert!(line.starts_with("\0AUTH EXTERNAL 3"), "{line:?}");
    stream.write_all(b"OK 0123456789abcdef\r\n").await.ok()?;
    line.clear();
    stream.read_line(&mut line).await.ok()?;
    assert_eq!(line, "BEGIN\r\n");
    Some(())
}

/// A message of a kind, with what it answers and the name of the error that it is.
pub(in crate::dbus) fn message(kind: u8, reply_to: Option<u32>, error: Option<&str>, value: Option<&Value>) -> Vec<u8> {
    let mut body = Writer::default();
    let signature = match (value, error) {
        (Some(value), _) => {
            variant(&mut body, value);
            "v"
        }
        (None, Some(_)) => {
            body.text("in words");
            "s"
        }
        (None, None) => "",
    };
    let mut all = Writer::default();
    all.0.extend([MARK, kind, 0, 1]);
    all.length(body.0.len());
    all.number(7);
    all.number(0);
    if let Some(reply_to) = reply_to {
        all.0.push(5);
        all.signature("u");
        all.number(reply_to);
    }
    for (number, kind, text) in [
        (4, "s", error.unwrap_or_default()),
        (7, "s", ":1.1"),
        (8, "g", signature),
    ] {
        if !text.is_empty() {
            all.align(8);
            all.0.push(number);
            all.signature(kind);
            if kind == "g" {
                all.signature(text)
            } else {
                all.text(text)
            }
        }
    }
    let fields = u32::try_from(all.0.len() - FIXED).unwrap();
    all.0[12..FIXED].copy_from_slice(&fields.to_ne_bytes());
    all.align(8);
    all.0.extend(body.0);
    all.0
}

fn variant(body: &mut Writer, value: &Value) {
    match value {
        Value::Text(text) => {
            body.signature("s");
            body.text(text);
        }
        Value::Flag(flag) => {
            body.signature("b");
            body.number(u32::from(*flag));
        }
        Value::Named(name, path) => {
            body.signature("(so)");
            body.align(8);
            body.text(name);
            body.text(path);
        }
    }
}
