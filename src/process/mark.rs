// SPDX-License-Identifier: GPL-3.0-or-later

//! The mark that every program of a worker carries, by which the next life of this worker knows it again.
//!
//! A program carries it twice, because it can shed either. The first is a variable in its environment: people can read
//! it, but it is lost when the program clears its environment, and hidden when the program becomes another user's. The
//! second is a resource limit that the kernel keeps, hands down to children through exec, shows to everybody
//! (`/proc/PID/limits`), and has not looked at since Linux 2.4: `RLIMIT_LOCKS` (getrlimit(2)). Its soft limit is a number
//! made of the mark. Only a program that sheds both, and outlives worker and guard, is lost to us; where it has a control
//! group of its own, not even that one.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;

use nix::libc::{RLIM_INFINITY, rlim_t};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::unistd::geteuid;

/// The environment variable that carries the mark.
pub(crate) const MARK: &str = "FLAMENCO_WORKER_MARK";
/// The name of the resource limit in `/proc/PID/limits` (proc_pid_limits(5)).
const LIMIT: &str = "Max file locks";

/// The mark as a resource limit: its 64-bit FNV-1a hash, in the upper half where no limit that a person sets is ever
/// found, and never the infinite one.
pub(super) fn as_limit(mark: &OsStr) -> rlim_t {
    let hash = mark.as_bytes().iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    });
    (hash | 1 << 62) & !(1 << 63)
}

/// Sets the limit for this process and all that come of it. Where the hard limit is lower,
/// it is in use for something else, and only the variable carries the mark.
pub(super) fn carry(limit: rlim_t) {
    if let Ok((_, hard)) = getrlimit(Resource::RLIMIT_LOCKS)
        && (hard == RLIM_INFINITY || limit <= hard)
    {
        setrlimit(Resource::RLIMIT_LOCKS, limit, hard).ok();
    }
}

/// Whether this process was started with the mark, or by one that was.
///
/// The mark is no secret: any user can compute it and take on the limit, which the kernel shows to everybody. So the
/// limit says nothing of another user's process, unless we are root, whom no process of another user can withstand. The
/// kernel shows the environment to a process's own user and to root only.
pub(super) fn bears_mark(pid: i32, mark: &str) -> bool {
    has_variable(&read(pid, "environ"), mark)
        || (has_limit(&read(pid, "limits"), as_limit(OsStr::new(mark))) && is_in_our_power(pid))
}

/// Whether our own child bears the mark. Whatever user it has become, it did not come from another one, so the limit
/// counts.
pub(super) fn child_bears_mark(pid: i32, mark: &str) -> bool {
    has_variable(&read(pid, "environ"), mark) || has_limit(&read(pid, "limits"), as_limit(OsStr::new(mark)))
}

fn read(pid: i32, file: &str) -> Vec<u8> {
    fs::read(format!("/proc/{pid}/{file}")).unwrap_or_default()
}

fn is_in_our_power(pid: i32) -> bool {
    let ours = geteuid();
    ours.is_root() || has_user(&read(pid, "status"), ours.as_raw())
}

/// Whether `user` is the real, effective, saved or file system user of a process (proc_pid_status(5)): a program that
/// turns into root keeps the real one.
fn has_user(status: &[u8], user: u32) -> bool {
    let text = String::from_utf8_lossy(status);
    let users = text.lines().find_map(|line| line.strip_prefix("Uid:"));
    users.is_some_and(|users| users.split_whitespace().any(|word| word.parse() == Ok(user)))
}

fn has_variable(environment: &[u8], mark: &str) -> bool {
    let entry = format!("{MARK}={mark}");
    environment.split(|byte| *byte == 0).any(|one| one == entry.as_bytes())
}

fn has_limit(limits: &[u8], limit: rlim_t) -> bool {
    let text = String::from_utf8_lossy(limits);
    let soft = text
        .lines()
        .find_map(|line| line.strip_prefix(LIMIT)?.split_whitespace().next());
    soft.and_then(|soft| soft.parse::<rlim_t>().ok()) == Some(limit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn b3_the_variable_is_a_whole_entry() {
        let environ = b"PATH=/bin\0FLAMENCO_WORKER_MARK=home-1\0X=FLAMENCO_WORKER_MARK=home-2\0";
        assert!(has_variable(environ, "home-1"));
        assert!(!has_variable(environ, "home"));
        assert!(!has_variable(environ, "home-2"));
        assert!(!has_variable(b"", "home-1"));
    }

    #[test]
    fn i14_a_process_is_its_users_by_each_of_its_four_ids() {
        let status = b"Name:\tx\nUid:\t1000\t0\t0\t7\nGid:\t5\t5\t5\t5\n";
        for user in [1000, 0, 7] {
            assert!(has_user(status, user), "{user}");
        }
        assert!(!has_user(status, 5));
        assert!(!has_user(b"", 0));
    }

    #[test]
    fn b3_the_limit_is_this_homes_own_and_nobody_elses() {
        let limits = |soft: &str| {
            format!(
                "Limit                     Soft Limit           Hard Limit           Units     \n\
                 Max address space         {soft}            unlimited            bytes     \n\
                 Max file locks            {soft}            unlimited            locks     \n"
            )
        };
        let ours = as_limit(OsStr::new("801-2f"));
        assert!(has_limit(limits(&ours.to_string()).as_bytes(), ours));
        assert!(!has_limit(limits("unlimited").as_bytes(), ours));
        assert!(!has_limit(
            limits(&as_limit(OsStr::new("801-2e")).to_string()).as_bytes(),
            ours
        ));
        assert!(!has_limit(b"", ours));
        assert!((1 << 62..1 << 63).contains(&ours));
    }
}
