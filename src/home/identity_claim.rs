// SPDX-License-Identifier: GPL-3.0-or-later

//! One worker per identity on this host: a home that was copied (`cp -a`, a restored backup beside the original) has a
//! lock of its own and the same credentials, so that both would be one worker to the Manager and run each task twice.
//!
//! The claim is a socket in the abstract namespace (unix(7)), named after the worker's id: it goes with the process
//! however that ends, is in no file that could be copied or left behind, and does not care where a home is. A home that
//! is moved, restored, or a container's volume (another device, another inode) is the same worker as before, as long as
//! it is the only one. Processes in another network namespace are not seen. Any process can take such a name: one of
//! another user (but for root) does not count, and is logged.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::thread::{Builder, JoinHandle};

use nix::errno::Errno;
use nix::sys::signal::SigSet;
use nix::sys::socket::sockopt::PeerCredentials;
use nix::sys::socket::{
    AddressFamily, Backlog, Shutdown, SockFlag, SockType, UnixAddr, bind, connect, getsockopt, listen, shutdown, socket,
};
use nix::unistd::geteuid;

/// Of the thread that only accepts.
const STACK: usize = 64 << 10;

/// Held for as long as this process is the worker of that id.
#[derive(Debug)]
pub(super) struct IdentityClaim {
    socket: OwnedFd,
    /// Accepts connections and closes them, or their queue would be full one day. `None` where there can be no more
    /// threads.
    answers: Option<JoinHandle<()>>,
}

/// What came of an attempt to take a claim.
#[derive(Debug)]
pub(super) enum ClaimAttempt {
    Ours(IdentityClaim),
    /// The claim is held by the process with this number; 0 for one that has no number here.
    Held(i32),
    /// The name is held by another user's process, which proves nothing.
    Taken,
}

impl IdentityClaim {
    /// Tries to take the claim of a worker's id. Never waits.
    pub(super) fn take(id: &str) -> io::Result<ClaimAttempt> {
        let own = stream(SockFlag::SOCK_CLOEXEC)?;
        let name = UnixAddr::new_abstract(format!("flamenco-worker/{id}").as_bytes())?;
        match bind(own.as_raw_fd(), &name) {
            Ok(()) => {
                listen(&own, Backlog::MAXCONN)?;
                let answering = UnixListener::from(own.try_clone()?);
                let answers = Builder::new()
                    .name("flamenco-claim".to_owned())
                    .stack_size(STACK)
                    .spawn(move || {
                        // They are for the event loop: see `files/thread`.
                        SigSet::all().thread_block().ok();
                        while answering.accept().is_ok() {}
                    });
                Ok(ClaimAttempt::Ours(Self {
                    socket: own,
                    answers: answers.ok(),
                }))
            }
            Err(Errno::EADDRINUSE) => holder(&name),
            Err(errno) => Err(errno.into()),
        }
    }
}

impl Drop for IdentityClaim {
    fn drop(&mut self) {
        // Ends the thread's wait, and then nothing has the name any more.
        if shutdown(self.socket.as_raw_fd(), Shutdown::Both).is_ok()
            && let Some(answers) = self.answers.take()
        {
            answers.join().ok();
        }
    }
}

fn holder(name: &UnixAddr) -> io::Result<ClaimAttempt> {
    let asking = stream(SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK)?;
    match connect(asking.as_raw_fd(), name) {
        Ok(()) => {}
        // It accepts no connections, so it is no worker.
        Err(Errno::EAGAIN) => return Ok(ClaimAttempt::Taken),
        Err(errno) => return Err(errno.into()),
    }
    let other = getsockopt(&asking, PeerCredentials)?;
    let counts = other.uid() == geteuid().as_raw() || other.uid() == 0;
    Ok(if counts {
        ClaimAttempt::Held(other.pid())
    } else {
        ClaimAttempt::Taken
    })
}

fn stream(flags: SockFlag) -> io::Result<OwnedFd> {
    Ok(socket(AddressFamily::Unix, SockType::Stream, flags, None)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn i24_an_identity_is_held_once_and_goes_with_its_holder() {
        let id = format!("test-{}", std::process::id());
        let ClaimAttempt::Ours(first) = IdentityClaim::take(&id).unwrap() else {
            panic!("nobody else has this id");
        };
        for _ in 0..5 {
            let second = IdentityClaim::take(&id).unwrap();
            assert!(
                matches!(second, ClaimAttempt::Held(pid) if pid == nix::unistd::getpid().as_raw()),
                "{second:?}"
            );
        }
        drop(first);
        assert!(matches!(IdentityClaim::take(&id).unwrap(), ClaimAttempt::Ours(_)));
    }
}
