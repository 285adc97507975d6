// SPDX-License-Identifier: GPL-3.0-or-later

//! One worker per identity on this host: a home that was copied (`cp -a`, a restored backup beside the original) has a
//! lock of its own and the same credentials, so that both would be one worker to the Manager and run each task twice.
//!
//! The claim is a socket in the abstract namespace (unix(7)), named after the worker's id: it goes with the process
//! however that ends, is in no file that could be copied or left behind, and does not care where a home is. A home that
//! is moved, restored, or a container's volume (another device, another inode) is the same worker as before, as long as
//! it is the only one. Processes in another network namespace are not seen. Anybody can take such a name: another
//! user's (but for root's) does not count, and is said.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::thread::{Builder, JoinHandle};

use nix::errno::Errno;
use nix::sys::socket::sockopt::PeerCredentials;
use nix::sys::socket::{
    AddressFamily, Backlog, Shutdown, SockFlag, SockType, UnixAddr, bind, connect, getsockopt, listen, shutdown, socket,
};
use nix::unistd::geteuid;

/// Of the thread that only accepts.
const STACK: usize = 64 << 10;

/// Held for as long as this process is the worker of that id.
#[derive(Debug)]
pub(super) struct Claim {
    socket: OwnedFd,
    /// Takes whoever asks and lets go of them, or their queue would be full one day. `None` where there can be no more
    /// threads.
    answers: Option<JoinHandle<()>>,
}

/// What came of it.
#[derive(Debug)]
pub(super) enum Claimed {
    Ours(Claim),
    /// By this process; 0 for one that has no number here.
    Held(i32),
    /// By another user's process, which proves nothing.
    Taken,
}

impl Claim {
    /// Never waits.
    pub(super) fn take(id: &str) -> io::Result<Claimed> {
        let own = stream(SockFlag::SOCK_CLOEXEC)?;
        let name = UnixAddr::new_abstract(format!("flamenco-worker/{id}").as_bytes())?;
        match bind(own.as_raw_fd(), &name) {
            Ok(()) => {
                listen(&own, Backlog::MAXCONN)?;
                let answering = UnixListener::from(own.try_clone()?);
                let answers = Builder::new()
                    .name("flamenco-claim".to_owned())
                    .stack_size(STACK)
                    .spawn(move || while answering.accept().is_ok() {});
                Ok(Claimed::Ours(Self {
                    socket: own,
                    answers: answers.ok(),
                }))
            }
            Err(Errno::EADDRINUSE) => holder(&name),
            Err(errno) => Err(errno.into()),
        }
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        // Ends the thread's wait, and then nothing has the name any more.
        if shutdown(self.socket.as_raw_fd(), Shutdown::Both).is_ok()
            && let Some(answers) = self.answers.take()
        {
            answers.join().ok();
        }
    }
}

fn holder(name: &UnixAddr) -> io::Result<Claimed> {
    let asking = stream(SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK)?;
    match connect(asking.as_raw_fd(), name) {
        Ok(()) => {}
        // It takes nobody: no worker.
        Err(Errno::EAGAIN) => return Ok(Claimed::Taken),
        Err(errno) => return Err(errno.into()),
    }
    let other = getsockopt(&asking, PeerCredentials)?;
    let counts = other.uid() == geteuid().as_raw() || other.uid() == 0;
    Ok(if counts {
        Claimed::Held(other.pid())
    } else {
        Claimed::Taken
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
        let Claimed::Ours(first) = Claim::take(&id).unwrap() else {
            panic!("nobody else has this id");
        };
        for _ in 0..5 {
            let second = Claim::take(&id).unwrap();
            assert!(
                matches!(second, Claimed::Held(pid) if pid == nix::unistd::getpid().as_raw()),
                "{second:?}"
            );
        }
        drop(first);
        assert!(matches!(Claim::take(&id).unwrap(), Claimed::Ours(_)));
    }
}
