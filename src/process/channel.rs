// SPDX-License-Identifier: GPL-3.0-or-later

//! A socket between the worker and a program that is spoken with while it runs. It travels once, before anything else:
//!
//! ```text
//! worker ── byte, and with it perhaps the descriptor (SCM_RIGHTS) ──► guard ── inherited, its number in CHANNEL ──► program
//! ```
//!
//! Every other descriptor is kept from programs (see `guard::setup`).

#![expect(unsafe_code, reason = "a descriptor that recvmsg brings has no owner yet")]

use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use nix::cmsg_space;
use nix::errno::Errno;
use nix::sys::socket::{ControlMessage, ControlMessageOwned, MsgFlags, recvmsg, sendmsg};

/// The variable in which a program finds the number of the descriptor.
pub(super) const CHANNEL: &str = "FLAMENCO_CHANNEL";

/// A descriptor comes with it.
const WITH: u8 = b'+';
/// None does.
const WITHOUT: u8 = b'-';

/// Sends the program's end of a channel to a guard, or says that it has none. The socket is fresh: nothing waits.
///
/// # Errors
/// The kernel's own: there are too many descriptors under way.
pub(super) fn send(socket: &impl AsRawFd, channel: Option<BorrowedFd<'_>>) -> io::Result<()> {
    let fds: Vec<RawFd> = channel.iter().map(AsRawFd::as_raw_fd).collect();
    let rights = [ControlMessage::ScmRights(&fds)];
    let (byte, control) = match channel {
        Some(_) => (WITH, &rights[..]),
        None => (WITHOUT, &[][..]),
    };
    sendmsg::<()>(
        socket.as_raw_fd(),
        &[IoSlice::new(&[byte])],
        control,
        MsgFlags::MSG_NOSIGNAL,
        None,
    )?;
    Ok(())
}

/// Takes what [`send`] sent, and waits for it. No program inherits the descriptor by itself.
///
/// # Errors
/// `UnexpectedEof` when the worker is gone.
pub(super) fn receive(socket: &impl AsRawFd) -> io::Result<Option<OwnedFd>> {
    let mut byte = [0];
    let mut space = cmsg_space!(RawFd);
    let mut buffers = [IoSliceMut::new(&mut byte)];
    let received = loop {
        let flags = MsgFlags::MSG_CMSG_CLOEXEC;
        match recvmsg::<()>(socket.as_raw_fd(), &mut buffers, Some(&mut space), flags) {
            Err(Errno::EINTR) => {}
            other => break other?,
        }
    };
    if received.bytes == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    let mut fds = received.cmsgs()?.flat_map(|message| {
        let ControlMessageOwned::ScmRights(fds) = message else {
            return Vec::new();
        };
        fds
    });
    match (fds.next(), byte) {
        // SAFETY: the kernel has just made it, for us alone.
        (Some(fd), _) => Ok(Some(unsafe { OwnedFd::from_raw_fd(fd) })),
        (None, [WITHOUT]) => Ok(None),
        (None, _) => Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "the channel of the program did not arrive",
        )),
    }
}
