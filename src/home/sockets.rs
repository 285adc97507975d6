// SPDX-License-Identifier: GPL-3.0-or-later

//! The sockets in the home at which the worker says what it does, and is told what to do.
//!
//! ```text
//! status ── connects ──► flamenco-worker.socket (mode 0600) ──► the event loop: one answer, and the connection is closed
//! reload ── connects ──► flamenco-worker.reload
//! pause, resume ── one line ──► flamenco-worker.pause
//! ```
//!
//! A socket, and not a file that is written as things change: nothing is written while nobody asks, an answer is of this
//! moment, the kernel says when there is no worker to answer, and a worker that hangs does not answer.
//!
//! An address has room for 107 bytes (unix(7)), and a home may be deeper: who connects goes through a descriptor of the
//! folder. Who listens does so only where it has to: the kernel lists the addresses of sockets, and by that the home is found
//! ([`homes_of_sockets`]). What an earlier worker left is replaced: who listens has the lock of the home.

use std::ffi::OsStr;
use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::libc;
use nix::sys::socket::sockopt::PeerCredentials;
use nix::sys::socket::{AddressFamily, Backlog, SockFlag, SockType, UnixAddr, bind, getsockopt, listen, socket};
use nix::sys::stat::{Mode, fchmod};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::open::Home;
use crate::blocking::run_blocking;
use crate::files::{self, SocketListener};
use crate::handover::HandedFd;

/// Where the worker is asked for its status.
const STATUS: &str = "flamenco-worker.socket";

/// Where the worker is asked to reload.
const RELOAD: &str = "flamenco-worker.reload";

/// Where the worker is paused, and resumed.
const PAUSE: &str = "flamenco-worker.pause";

/// How many may wait to be answered. More than that are not kept waiting, but told to come back.
const WAITING: i32 = 64;

/// Far more than a worker says of itself.
const LONGEST: u64 = 64 << 10;

/// What came of asking a worker.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum StatusAnswer {
    /// What it said.
    Said(Vec<u8>),
    /// A process listens and has not answered in time. Its number is 0 where it has none here.
    Silence {
        /// Of the process.
        pid: i32,
    },
    /// Nobody listens.
    Nobody,
}

/// The sockets at which a worker listens, as they travel: whoever connects meanwhile waits, and is answered.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct HandedSockets {
    #[serde(default)]
    status: Option<HandedFd>,
    #[serde(default)]
    reload: Option<HandedFd>,
    #[serde(default)]
    pause: Option<HandedFd>,
}

impl HandedSockets {
    pub(super) fn descriptors(&self) -> impl Iterator<Item = &HandedFd> {
        self.status.iter().chain(&self.reload).chain(&self.pause)
    }
}

impl Home {
    /// Listens at the status socket. It is bound in a thread: the home may hang, and nothing waits for it.
    ///
    /// # Errors
    /// Whatever the file system says; some have no sockets. A worker can go on without it.
    pub(crate) async fn listen_for_status(&self) -> io::Result<UnixListener> {
        let bound = self.sockets.borrow().status.clone();
        let (listener, kept) = self.listen(bound, STATUS).await?;
        self.sockets.borrow_mut().status = Some(kept);
        Ok(listener)
    }

    /// Listens at the socket of those who want the worker reloaded, as [`listen_for_status`](Self::listen_for_status).
    ///
    /// # Errors
    /// As there.
    pub(crate) async fn listen_for_reload(&self) -> io::Result<UnixListener> {
        let bound = self.sockets.borrow().reload.clone();
        let (listener, kept) = self.listen(bound, RELOAD).await?;
        self.sockets.borrow_mut().reload = Some(kept);
        Ok(listener)
    }

    /// Listens at the socket of those who pause the worker, as [`listen_for_status`](Self::listen_for_status).
    ///
    /// # Errors
    /// As there.
    pub(crate) async fn listen_for_pauses(&self) -> io::Result<UnixListener> {
        let bound = self.sockets.borrow().pause.clone();
        let (listener, kept) = self.listen(bound, PAUSE).await?;
        self.sockets.borrow_mut().pause = Some(kept);
        Ok(listener)
    }

    async fn listen(&self, bound: Option<HandedFd>, name: &'static str) -> io::Result<(UnixListener, HandedFd)> {
        let listener = match bound {
            Some(bound) => bound.into_owned()?.into(),
            None => {
                let dir = self.dir.clone();
                run_blocking(move || listen_in(&dir, name)).await?
            }
        };
        let kept = HandedFd::of(&listener)?;
        Ok((listener, kept))
    }

    /// Tasks are not heard at the sockets from now on.
    pub(crate) fn close_to_tasks(&self) {
        self.closed.set(true);
    }

    /// Whether tasks are not heard at the sockets.
    pub(crate) fn is_closed_to_tasks(&self) -> bool {
        self.closed.get()
    }

    /// Removes the sockets, while the lock of the home is held: they may be the successor's after that.
    ///
    /// # Errors
    /// Whatever the file system says. What is left is in nobody's way.
    pub(crate) fn remove_sockets(&self) -> io::Result<()> {
        let paths = [STATUS, RELOAD, PAUSE].map(|name| self.dir.join(name));
        self.files
            .run(move || paths.iter().try_for_each(|path| files::remove_if_there(path)))
    }
}

/// Connects to the socket at which the worker of the home `dir` is asked to reload.
///
/// # Errors
/// `PermissionDenied` when it is another user's, and whatever else the system says.
pub(crate) fn ask_to_reload(dir: &Path, patience: Duration) -> io::Result<SocketListener> {
    connect_to(dir, RELOAD, patience)
}

/// Connects to the socket at which the worker of the home `dir` is paused, as [`ask_to_reload`].
///
/// # Errors
/// As there.
pub(crate) fn ask_to_pause(dir: &Path, patience: Duration) -> io::Result<SocketListener> {
    connect_to(dir, PAUSE, patience)
}

fn connect_to(dir: &Path, name: &str, patience: Duration) -> io::Result<SocketListener> {
    match open_folder(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(SocketListener::Nobody),
        opened => files::connect_within(&path_below(&opened?, name), patience),
    }
}

/// Asks the worker of the home `dir` for its status, for as long as `patience`. Blocks.
///
/// # Errors
/// `PermissionDenied` when the socket is another user's, and whatever else the system says.
pub(crate) fn ask_for_status(dir: &Path, patience: Duration) -> io::Result<StatusAnswer> {
    let deadline = Instant::now() + patience;
    let folder = match open_folder(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(StatusAnswer::Nobody),
        opened => opened?,
    };
    let mut asking = match files::connect_within(&path_below(&folder, STATUS), patience)? {
        SocketListener::Connected(stream) => stream,
        SocketListener::Busy => return Ok(StatusAnswer::Silence { pid: 0 }),
        SocketListener::Nobody => return Ok(StatusAnswer::Nobody),
    };
    let pid = getsockopt(&asking, PeerCredentials).map_or(0, |peer| peer.pid());
    match read_until(&mut asking, deadline) {
        // It ended just now.
        Ok(said) if said.is_empty() => Ok(StatusAnswer::Nobody),
        Err(error) if error.kind() == io::ErrorKind::ConnectionReset => Ok(StatusAnswer::Nobody),
        Ok(said) => Ok(StatusAnswer::Said(said)),
        Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
            Ok(StatusAnswer::Silence { pid })
        }
        Err(error) => Err(error),
    }
}

/// All that is said until the other side closes.
fn read_until(stream: &mut UnixStream, deadline: Instant) -> io::Result<Vec<u8>> {
    let mut said = Vec::new();
    let mut piece = [0; 4096];
    while (said.len() as u64) < LONGEST {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        stream.set_read_timeout(Some(left))?;
        match stream.read(&mut piece) {
            Ok(0) => return Ok(said),
            Ok(length) => said.extend_from_slice(&piece[..length]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Err(io::ErrorKind::FileTooLarge.into())
}

/// The folders of all status sockets of this machine, by the kernel's list of sockets (proc_pid_net(5)). Anybody may have
/// made one of that name.
pub(super) fn homes_of_sockets(list: &[u8]) -> Vec<PathBuf> {
    let addresses = list.split(|byte| *byte == b'\n').filter_map(|line| {
        // Number, count, protocol, flags, type, state, inode; the address may have blanks in it.
        let at = line.iter().position(|byte| *byte == b'/')?;
        Some(Path::new(OsStr::from_bytes(&line[at..])))
    });
    let mut homes: Vec<_> = addresses
        .filter(|address| address.ends_with(STATUS))
        .filter_map(|address| address.parent().map(Path::to_owned))
        .collect();
    homes.sort();
    homes.dedup();
    homes
}

fn listen_in(dir: &Path, name: &str) -> io::Result<UnixListener> {
    let folder = open_folder(dir)?;
    let path = path_below(&folder, name);
    files::remove_if_there(&path)?;
    let address = UnixAddr::new(&dir.join(name)).or_else(|_| UnixAddr::new(&path))?;
    let socket = stream(SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK)?;
    // The file gets the mode of the socket, so that it is never open to others.
    fchmod(&socket, Mode::S_IRUSR | Mode::S_IWUSR)?;
    bind(socket.as_raw_fd(), &address)?;
    listen(&socket, Backlog::new(WAITING)?)?;
    Ok(socket.into())
}

fn open_folder(dir: &Path) -> io::Result<File> {
    let flags = libc::O_PATH | libc::O_DIRECTORY;
    OpenOptions::new().read(true).custom_flags(flags).open(dir)
}

fn path_below(folder: &File, name: &str) -> PathBuf {
    Path::new("/proc/self/fd")
        .join(folder.as_raw_fd().to_string())
        .join(name)
}

fn stream(flags: SockFlag) -> io::Result<OwnedFd> {
    Ok(socket(AddressFamily::Unix, SockType::Stream, flags, None)?)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Write;
    use std::os::unix::fs::PermissionsExt;

    use nix::sys::socket::connect;

    use super::*;

    const SHORT: Duration = Duration::from_millis(100);

    #[test]
    fn j10_a_home_of_any_depth_is_asked_and_what_a_killed_worker_left_is_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let home = dir.path().join("deep".repeat(50)).join("deeper".repeat(40));
        assert_eq!(ask_for_status(&home, SHORT).unwrap(), StatusAnswer::Nobody);
        fs::create_dir_all(&home).unwrap();
        assert_eq!(ask_for_status(&home, SHORT).unwrap(), StatusAnswer::Nobody);
        drop(listen_in(&home, STATUS).unwrap());
        assert_eq!(ask_for_status(&home, SHORT).unwrap(), StatusAnswer::Nobody);
        let listener = listen_in(&home, STATUS).unwrap();
        let mode = fs::metadata(home.join(STATUS)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let asked = std::thread::spawn(move || ask_for_status(&home, Duration::from_secs(30)).unwrap());
        listener.set_nonblocking(false).unwrap();
        listener.accept().unwrap().0.write_all(b"fine").unwrap();
        assert_eq!(asked.join().unwrap(), StatusAnswer::Said(b"fine".to_vec()));
    }

    #[test]
    fn j11_one_who_does_not_answer_is_told_from_nobody_also_with_a_full_queue() {
        let dir = tempfile::tempdir().unwrap();
        let _listener = listen_in(dir.path(), STATUS).unwrap();
        let pid = nix::unistd::getpid().as_raw();
        assert_eq!(
            ask_for_status(dir.path(), SHORT).unwrap(),
            StatusAnswer::Silence { pid }
        );
        let path = dir.path().join(STATUS);
        let mut queue = Vec::new();
        while queue.len() < 2 * WAITING as usize {
            let one = stream(SockFlag::SOCK_NONBLOCK).unwrap();
            if connect(one.as_raw_fd(), &UnixAddr::new(&path).unwrap()).is_err() {
                break;
            }
            queue.push(one);
        }
        assert!(queue.len() < 2 * WAITING as usize);
        assert_eq!(
            ask_for_status(dir.path(), SHORT).unwrap(),
            StatusAnswer::Silence { pid: 0 }
        );
    }

    #[test]
    fn what_never_ends_is_not_read_to_its_end() {
        let dir = tempfile::tempdir().unwrap();
        let listener = listen_in(dir.path(), STATUS).unwrap();
        listener.set_nonblocking(false).unwrap();
        let talks = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            while stream.write_all(&[b'x'; 1024]).is_ok() {}
        });
        assert!(ask_for_status(dir.path(), Duration::from_secs(30)).is_err());
        talks.join().unwrap();
    }
}
