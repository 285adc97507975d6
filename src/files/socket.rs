// SPDX-License-Identifier: GPL-3.0-or-later

//! Finds out who listens at a socket in the file system. Where a listener has been stopped its queue may be full, and a plain
//! `connect` waits for as long as that lasts.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::socket::sockopt::SendTimeout;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, UnixAddr, connect, setsockopt, socket};
use nix::sys::time::{TimeVal, TimeValLike};

/// Who listens.
#[derive(Debug)]
pub(crate) enum SocketListener {
    /// One who has taken the connection, or will.
    Connected(UnixStream),
    /// One with a full queue.
    Busy,
    /// Nobody, or there is no such socket.
    Nobody,
}

/// Connects to a socket, for as long as `patience`. Blocks.
///
/// # Errors
/// `PermissionDenied` when the socket is another user's, and whatever else the system says.
pub(crate) fn connect_within(path: &Path, patience: Duration) -> io::Result<SocketListener> {
    let stream: OwnedFd = socket(AddressFamily::Unix, SockType::Stream, SockFlag::SOCK_CLOEXEC, None)?;
    // For connect(2) as well (socket(7)). Zero would be for ever.
    let limit = i64::try_from(patience.as_millis()).unwrap_or(i64::MAX).max(1);
    setsockopt(&stream, SendTimeout, &TimeVal::milliseconds(limit))?;
    match connect(stream.as_raw_fd(), &UnixAddr::new(path)?) {
        Ok(()) => Ok(SocketListener::Connected(stream.into())),
        Err(Errno::EAGAIN) => Ok(SocketListener::Busy),
        Err(Errno::ENOENT | Errno::ECONNREFUSED) => Ok(SocketListener::Nobody),
        Err(errno) => Err(errno.into()),
    }
}
