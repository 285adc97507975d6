// SPDX-License-Identifier: GPL-3.0-or-later

//! A socket between the worker and a program that is spoken with while it runs. It travels once, before anything else:
//!
//! ```text
//! worker ── byte, and with it perhaps the descriptor (SCM_RIGHTS) ──► guard ── inherited, its number in CHANNEL ──► program
//!           and perhaps that of a ruleset, to which the guard holds the program, and which it does not inherit
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

/// Which descriptors come: bits beside those of a digit.
const DIGIT: u8 = b'0';
const CHANNEL_COMES: u8 = 1;
const RULESET_COMES: u8 = 2;

/// The descriptors of a start, in this order.
#[derive(Debug, Default)]
pub(super) struct Received {
    /// The program's end of a channel.
    pub(super) channel: Option<OwnedFd>,
    /// A ruleset that the program is held to.
    pub(super) ruleset: Option<OwnedFd>,
}

/// Sends to a guard what its program needs: its end of a channel, and a ruleset. The socket is fresh: nothing waits.
///
/// # Errors
/// The kernel's own: there are too many descriptors under way.
pub(super) fn send(
    socket: &impl AsRawFd,
    channel: Option<BorrowedFd<'_>>,
    ruleset: Option<BorrowedFd<'_>>,
) -> io::Result<()> {
    let fds: Vec<RawFd> = channel.iter().chain(&ruleset).map(AsRawFd::as_raw_fd).collect();
    let rights = [ControlMessage::ScmRights(&fds)];
    let comes = u8::from(channel.is_some()) * CHANNEL_COMES + u8::from(ruleset.is_some()) * RULESET_COMES;
    sendmsg::<()>(
        socket.as_raw_fd(),
        &[IoSlice::new(&[DIGIT + comes])],
        if fds.is_empty() { &[] } else { &rights },
        MsgFlags::MSG_NOSIGNAL,
        None,
    )?;
    Ok(())
}

/// Takes what [`send`] sent, and waits for it. No program inherits a descriptor by itself.
///
/// # Errors
/// `UnexpectedEof` when the worker is gone.
pub(super) fn receive(socket: &impl AsRawFd) -> io::Result<Received> {
    let mut byte = [0];
    let mut space = cmsg_space!([RawFd; 2]);
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
    let mut fds = Vec::new();
    for message in received.cmsgs()? {
        if let ControlMessageOwned::ScmRights(some) = message {
            // SAFETY: the kernel has just made them, for us alone.
            fds.extend(some.into_iter().map(|fd| unsafe { OwnedFd::from_raw_fd(fd) }));
        }
    }
    let [comes] = byte;
    let mut fds = fds.into_iter();
    let mut next = |bit: u8| match comes.wrapping_sub(DIGIT) & bit {
        0 => Ok(None),
        // A program without what it is held to is not started.
        _ => fds.next().map(Some).ok_or_else(|| {
            io::Error::new(
                io::ErrorKind::InvalidData,
                "a descriptor for the program did not arrive",
            )
        }),
    };
    Ok(Received {
        channel: next(CHANNEL_COMES)?,
        ruleset: next(RULESET_COMES)?,
    })
}
