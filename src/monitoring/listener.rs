// SPDX-License-Identifier: GPL-3.0-or-later

//! What connections come in at.

use std::io;
use std::os::unix::net::UnixListener as StdUnixListener;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::time::sleep;

use super::socket_file::{self, SocketFile};
use crate::blocking::RepeatedWork;
use crate::config::ListenAddress;

/// How long the folder of a socket may take: its file system may hang.
const FOLDER: Duration = Duration::from_secs(5);

/// What connections come in at.
#[derive(Debug)]
pub(super) enum Listener {
    Tcp(TcpListener),
    /// The file is removed with it.
    Unix {
        listener: UnixListener,
        _file: SocketFile,
    },
}

/// Tries to listen at one address.
#[derive(Debug)]
pub(super) struct Binding<'a> {
    address: &'a ListenAddress,
    making: RepeatedWork<io::Result<(StdUnixListener, SocketFile)>>,
}

/// A connection.
#[derive(Debug)]
pub(super) enum Peer {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl<'a> Binding<'a> {
    /// Not tried yet.
    pub(super) fn to(address: &'a ListenAddress) -> Self {
        Self {
            address,
            making: RepeatedWork::new(),
        }
    }

    /// Begins to listen.
    ///
    /// # Errors
    /// When the address is not this machine's, the port or the socket is in use, or may not be had. It can be tried again.
    pub(super) async fn bind(&mut self) -> io::Result<Listener> {
        match self.address {
            ListenAddress::Tcp(address) => Ok(Listener::Tcp(TcpListener::bind(address).await?)),
            ListenAddress::Unix(path) => {
                let path = path.clone();
                let made = self.making.run_within(sleep(FOLDER), move || socket_file::make(&path));
                let late = || Err(io::Error::new(io::ErrorKind::TimedOut, "its folder does not answer"));
                let (listener, file) = made.await.unwrap_or_else(late)?;
                let listener = UnixListener::from_std(listener)?;
                Ok(Listener::Unix { listener, _file: file })
            }
        }
    }
}

impl Listener {
    /// The next connection. Cancel safe.
    ///
    /// # Errors
    /// When there is one, and it cannot be taken now.
    pub(super) async fn accept(&self) -> io::Result<Peer> {
        match self {
            Self::Tcp(listener) => Ok(Peer::Tcp(listener.accept().await?.0)),
            Self::Unix { listener, .. } => Ok(Peer::Unix(listener.accept().await?.0)),
        }
    }

    /// Where that is, for people; `asked` has no port where any would do.
    pub(super) fn address(&self, asked: &ListenAddress) -> String {
        match self {
            Self::Tcp(listener) => match listener.local_addr() {
                Ok(address) => format!("http://{address}/metrics"),
                Err(_) => asked.to_string(),
            },
            Self::Unix { .. } => asked.to_string(),
        }
    }
}
