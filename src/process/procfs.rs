// SPDX-License-Identifier: GPL-3.0-or-later

//! What the kernel says about processes, and the one way to signal a process that may be gone by now.
//!
//! ```text
//! walk, predecessors ─► ChildLookup, ProcessStat ─► /proc        ProcessHandle ─► pidfd: never hits a reused number
//! ```
//!
//! Everything here is a snapshot: a process can end, fork or be adopted between two lines. Callers
//! repeat until nothing changes, and take `waitpid`'s ECHILD, not an empty walk, as proof.

#![expect(
    unsafe_code,
    reason = "pidfd_open, pidfd_send_signal and waitpid have no (complete) safe wrapper"
)]

use std::collections::HashMap;
use std::fs;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::errno::Errno;
use nix::libc;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid};
use nix::time::{ClockId, clock_gettime};
use nix::unistd::Pid;

/// The fields of `/proc/PID/stat` that we need (proc_pid_stat(5)).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ProcessStat {
    pub(super) pid: i32,
    /// The kernel's short name, at most 15 bytes.
    pub(super) name: String,
    pub(super) parent: i32,
    pub(super) group: i32,
    /// The device of its controlling terminal.
    pub(super) terminal: Option<u64>,
    /// When the process began, in clock ticks since boot. With the pid it names a process for good.
    pub(super) start: u64,
    /// Processor time in hundredths of a second (USER_HZ, a part of the kernel's interface), rounded down.
    pub(super) ticks: u64,
    /// The processor time of its children that ended and were waited for, in the same unit.
    pub(super) childrens_ticks: u64,
    state: u8,
    threads: u32,
}

impl ProcessStat {
    /// Reads the stat file. Returns `None` when there is no such process, or `/proc` hides it from us (`hidepid`).
    pub(super) fn read(pid: i32) -> Option<Self> {
        Self::parse(&fs::read(format!("/proc/{pid}/stat")).ok()?)
    }

    fn parse(line: &[u8]) -> Option<Self> {
        // The name stands in parentheses and may itself contain anything, `) R 1` included.
        let open = line.iter().position(|byte| *byte == b'(')?;
        let close = line.iter().rposition(|byte| *byte == b')')?;
        let pid = std::str::from_utf8(line.get(..open)?).ok()?.trim().parse().ok()?;
        let name = String::from_utf8_lossy(line.get(open + 1..close)?).into_owned();
        let rest = std::str::from_utf8(line.get(close + 1..)?).ok()?;
        let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
        let ticks =
            |user: usize| Some(fields.get(user)?.parse::<u64>().ok()? + fields.get(user + 1)?.parse::<u64>().ok()?);
        Some(Self {
            pid,
            name,
            ticks: ticks(11)?,
            childrens_ticks: ticks(13)?,
            state: *fields.first()?.as_bytes().first()?,
            parent: fields.get(1)?.parse().ok()?,
            group: fields.get(2)?.parse().ok()?,
            // 0: none. The bits are those of `st_rdev`, for devices of the kernel's first 4096 kinds.
            terminal: fields.get(4)?.parse().ok().filter(|device| *device != 0),
            threads: fields.get(17)?.parse().ok()?,
            start: fields.get(19)?.parse().ok()?,
        })
    }

    /// Whether the process has ended and only waits to be reaped. A process whose first thread has ended looks like a
    /// zombie while its other threads run on; the count of threads tells them apart.
    pub(super) fn is_dead(&self) -> bool {
        matches!(self.state, b'Z' | b'X') && self.threads <= 1
    }

    /// Whether a signal has stopped the process, until SIGCONT.
    pub(super) fn is_stopped(&self) -> bool {
        self.state == b'T'
    }

    /// Whether none of its threads runs, once it was sent SIGSTOP, before a SIGCONT or its tracer lets it: one whose threads
    /// still are on their way to that can notice what happens to others. One that hangs in the kernel (D) stops before
    /// it does anything else; after a vfork that may be when its child goes on.
    pub(super) fn stands_still(&self) -> bool {
        let still = |state: u8| matches!(state, b'T' | b't' | b'D' | b'Z' | b'X');
        if self.threads <= 1 {
            return still(self.state);
        }
        let threads = list_threads(self.pid).into_iter();
        threads
            .filter_map(|thread| Self::parse(&fs::read(thread.join("stat")).ok()?))
            .all(|thread| still(thread.state))
    }

    /// Whether it has one thread, and that runs or is about to.
    pub(super) fn is_one_running_thread(&self) -> bool {
        self.state == b'R' && self.threads <= 1
    }

    /// Where `/proc` shows each of its threads. Of a process with one that is known without a look, which costs as much as
    /// what is read there.
    pub(super) fn thread_directories(&self) -> Vec<PathBuf> {
        if self.threads > 1 {
            return list_threads(self.pid);
        }
        vec![PathBuf::from(format!("/proc/{pid}/task/{pid}", pid = self.pid))]
    }

    /// Whether the process is stopped for the one that traces it.
    pub(super) fn is_held_by_tracer(&self) -> bool {
        self.state == b't'
    }
}

/// The bytes that a process, and its children that ended, have handed to write(2) and the like, for any file; 0 where the
/// kernel does not count them, or does not tell us (proc_pid_io(5)).
pub(super) fn written(pid: i32) -> u64 {
    let counts = fs::read_to_string(format!("/proc/{pid}/io")).unwrap_or_default();
    let written = counts.lines().find_map(|line| line.strip_prefix("wchar: "));
    written.and_then(|count| count.trim().parse().ok()).unwrap_or(0)
}

/// The bytes of memory that a process has resident, and the most it had since [`forget_peak`]; 0 when it is gone
/// (proc_pid_status(5)).
pub(super) fn memory(pid: i32) -> (u64, u64) {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let kilobytes = |name: &str| {
        let value = status.lines().find_map(|line| line.strip_prefix(name));
        let number = value.and_then(|value| value.trim().strip_suffix(" kB")?.parse::<u64>().ok());
        number.unwrap_or(0).saturating_mul(1024)
    };
    (kilobytes("VmRSS:"), kilobytes("VmHWM:"))
}

/// Has the kernel count the most memory of a process anew from now on. Where it refuses, the peak is that of all its life
/// (proc_pid_clear_refs(5)).
pub(super) fn forget_peak(pid: i32) {
    fs::write(format!("/proc/{pid}/clear_refs"), "5").ok();
}

/// Every process below `root`, the dead excepted. A pid is followed only where the process itself names the parent under
/// which it was listed, or `root`, which is its subreaper: by then it may be a stranger's.
pub(super) fn descendants(root: i32) -> Vec<ProcessStat> {
    let lookup = ChildLookup::new();
    let mut open: Vec<(i32, i32)> = lookup.children(root).into_iter().map(|pid| (pid, root)).collect();
    let mut found = Vec::new();
    while let Some((pid, parent)) = open.pop() {
        let Some(stat) = ProcessStat::read(pid).filter(|stat| stat.parent == parent || stat.parent == root) else {
            continue;
        };
        open.extend(lookup.children_of(&stat).into_iter().map(|child| (child, pid)));
        if !stat.is_dead() {
            found.push(stat);
        }
    }
    found
}

/// A way to find the children of a process.
pub(super) enum ChildLookup {
    /// The kernel lists them in `/proc/PID/task/TID/children`, which is read at the moment of the question.
    Kernel,
    /// The kernel lacks CONFIG_PROC_CHILDREN: the parents of all processes were read once.
    Snapshot(HashMap<i32, Vec<i32>>),
}

impl ChildLookup {
    /// Takes the way that this kernel offers. It is for one walk only: a snapshot grows old at once.
    pub(super) fn new() -> Self {
        let own = std::process::id();
        if fs::exists(format!("/proc/self/task/{own}/children")).unwrap_or(false) {
            return Self::Kernel;
        }
        Self::from_parents()
    }

    fn from_parents() -> Self {
        let mut seen: HashMap<i32, Vec<i32>> = HashMap::new();
        for stat in everybody().into_iter().filter_map(ProcessStat::read) {
            seen.entry(stat.parent).or_default().push(stat.pid);
        }
        Self::Snapshot(seen)
    }

    /// The children of all threads of a process, zombies included.
    pub(super) fn children(&self, pid: i32) -> Vec<i32> {
        self.children_by(pid, || list_threads(pid))
    }

    /// The same of one that was looked at: of a thread that began since, they are not among them.
    pub(super) fn children_of(&self, stat: &ProcessStat) -> Vec<i32> {
        self.children_by(stat.pid, || stat.thread_directories())
    }

    fn children_by(&self, pid: i32, threads: impl Fn() -> Vec<PathBuf>) -> Vec<i32> {
        match self {
            Self::Kernel => threads().iter().flat_map(|thread| children_now(thread)).collect(),
            Self::Snapshot(seen) => seen.get(&pid).cloned().unwrap_or_default(),
        }
    }
}

fn list_threads(pid: i32) -> Vec<PathBuf> {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten();
    threads.flatten().map(|thread| thread.path()).collect()
}

fn children_now(thread: &Path) -> Vec<i32> {
    let list = fs::read_to_string(thread.join("children")).unwrap_or_default();
    let words = list.split_ascii_whitespace();
    words.filter_map(|word| word.parse().ok()).collect()
}

/// Every process that `/proc` shows us.
pub(super) fn everybody() -> Vec<i32> {
    let Ok(entries) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .collect()
}

/// A hold on one process. A signal that is sent through it reaches this process or none.
#[derive(Debug)]
pub(super) struct ProcessHandle {
    pid: i32,
    /// `None` before Linux 5.3, or under a seccomp filter that does not know pidfds: then the pid must do.
    pidfd: Option<OwnedFd>,
}

impl ProcessHandle {
    /// Opens a handle. Returns `None` when there is no such process. Read [`ProcessStat`] *after* this to know which
    /// process it holds.
    pub(super) fn open(pid: i32) -> Option<Self> {
        // SAFETY: pidfd_open takes two integers and returns a new descriptor (close-on-exec) or -1.
        let answer = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
        match i32::try_from(answer) {
            Ok(fd) if fd >= 0 => {
                // SAFETY: the descriptor is new and nobody else's.
                let pidfd = unsafe { OwnedFd::from_raw_fd(fd) };
                Some(Self {
                    pid,
                    pidfd: Some(pidfd),
                })
            }
            Ok(_) if Errno::last() == Errno::ESRCH => None,
            Ok(_) | Err(_) => Some(Self { pid, pidfd: None }),
        }
    }

    /// Sends a signal.
    ///
    /// # Errors
    /// `ESRCH` when the process is gone, `EPERM` when it is another user's.
    pub(super) fn send(&self, signal: Signal) -> Result<(), Errno> {
        let Some(pidfd) = &self.pidfd else {
            return kill(Pid::from_raw(self.pid), signal);
        };
        let (fd, number) = (pidfd.as_raw_fd(), signal as i32);
        let info: *const libc::siginfo_t = std::ptr::null();
        // SAFETY: the descriptor is open; a null siginfo asks for what kill(2) would send.
        let answer = unsafe { libc::syscall(libc::SYS_pidfd_send_signal, fd, number, info, 0) };
        Errno::result(answer).map(drop)
    }
}

/// Whether a child of ours, which was not reaped, is stopped by a signal. `/proc` is not asked.
pub(super) fn child_is_stopped(pid: i32) -> bool {
    let flags = WaitPidFlag::WSTOPPED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
    matches!(waitid(Id::Pid(Pid::from_raw(pid)), flags), Ok(WaitStatus::Stopped(..)))
}

/// Whether the process that had this pid and began at `start` lives.
pub(super) fn lives(pid: i32, start: u64) -> bool {
    ProcessStat::read(pid).is_some_and(|stat| stat.start == start && !stat.is_dead())
}

/// How many children are reaped in one turn. `waitpid` passes by all that live to find one that does not: among a
/// thousand stopped ones it was seen to be slower than others died, and never to come to an end.
const TURN: usize = 512;

/// What reaping children came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reaped {
    /// There may be more ended children: ask again after everybody else's turn.
    MaybeMore,
    /// There are children, and none has ended.
    NobodyYet,
    /// There is no child: the proof that nothing lives below a subreaper.
    NoChild,
}

/// Reaps ended children of every kind (`__WALL`) without waiting. `take` gets the pid of each and its status as
/// `waitpid` gives it (wait(2)). This is the raw call, because the wrapper refuses the status of a process that died of
/// a real-time signal.
pub(super) fn reap_some(take: &mut dyn FnMut(i32, i32)) -> Reaped {
    for _ in 0..TURN {
        let mut status = 0;
        // SAFETY: `status` outlives the call.
        match unsafe { libc::waitpid(-1, &raw mut status, libc::WNOHANG | libc::__WALL) } {
            0 => return Reaped::NobodyYet,
            -1 if Errno::last() == Errno::EINTR => {}
            -1 => return Reaped::NoChild,
            pid => take(pid, status),
        }
    }
    Reaped::MaybeMore
}

/// The monotonic clock, as the time since an arbitrary start.
pub(super) fn now() -> Duration {
    clock_gettime(ClockId::CLOCK_MONOTONIC).map_or(Duration::ZERO, Duration::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_forge_the_fields_behind_it() {
        let line = b"42 (a) R 1 (b) S 7 42 40 0 -1 4194304 0 0 0 0 1 2 3 4 20 0 3 0 9876 1 2 3\n";
        let stat = ProcessStat::parse(line).unwrap();
        assert_eq!((stat.pid, stat.name.as_str()), (42, "a) R 1 (b"));
        assert_eq!((stat.parent, stat.group, stat.threads, stat.start), (7, 42, 3, 9876));
        assert_eq!((stat.ticks, stat.childrens_ticks), (3, 7));
    }

    #[test]
    fn a_first_thread_that_ended_is_not_a_dead_process() {
        let line = |state, threads| format!("1 (x) {state} 0 1 1 0 -1 0 0 0 0 0 0 0 0 0 20 0 {threads} 0 5 0 0");
        let dead = |state, threads| ProcessStat::parse(line(state, threads).as_bytes()).unwrap().is_dead();
        assert!(dead('Z', 1));
        assert!(!dead('Z', 2));
        assert!(!dead('T', 1));
    }

    #[test]
    fn half_a_line_is_no_process() {
        for cut in ["", "42", "42 (", "42 (a) ", "42 (a) R", "42 (a) R 1 2"] {
            assert_eq!(ProcessStat::parse(cut.as_bytes()), None, "{cut:?}");
        }
    }

    #[test]
    fn both_ways_to_find_children_agree_on_our_parent() {
        let own = ProcessStat::read(i32::try_from(std::process::id()).unwrap()).unwrap();
        assert!(ChildLookup::from_parents().children(own.parent).contains(&own.pid));
        assert!(ChildLookup::Kernel.children(own.parent).contains(&own.pid));
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "a child of a thread of this test")]
    fn a_child_is_found_below_the_thread_that_began_it() {
        let (started, begin) = std::sync::mpsc::channel();
        let (end, ended) = std::sync::mpsc::channel::<()>();
        let thread = std::thread::spawn(move || {
            let mut child = std::process::Command::new("sleep").arg("1000").spawn().unwrap();
            started.send(i32::try_from(child.id()).unwrap()).unwrap();
            ended.recv().unwrap_err();
            child.kill().unwrap();
            child.wait().unwrap();
        });
        let child = begin.recv().unwrap();
        let own = ProcessStat::read(i32::try_from(std::process::id()).unwrap()).unwrap();
        let of_one_thread = children_now(Path::new(&format!("/proc/{pid}/task/{pid}", pid = own.pid)));
        let found = ChildLookup::Kernel.children_of(&own);
        drop(end);
        thread.join().unwrap();
        assert!(
            found.contains(&child) && !of_one_thread.contains(&child),
            "{found:?}, {of_one_thread:?}"
        );
    }
}
