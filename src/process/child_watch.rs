// SPDX-License-Identifier: GPL-3.0-or-later

//! Who would notice that its child is stopped: a process that waits for just that, as shells with job control do.

use std::fs;

use nix::libc;

use super::procfs::ProcessStat;

/// Whether a process waits for a child of it to be stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum ChildWatch {
    No,
    /// It runs, or is about to, and may be on its way into that call, or out of it.
    Perhaps,
    Yes,
}

impl ChildWatch {
    /// Whether a thread of this process is in waitpid with WUNTRACED, or in waitid with WSTOPPED (proc_pid_syscall(5)).
    /// Where the kernel does not show that, each may be.
    pub(super) fn of(process: &ProcessStat) -> Self {
        if process.is_one_running_thread() {
            return Self::Perhaps;
        }
        let calls = process.thread_directories().into_iter();
        calls
            .map(|thread| fs::read_to_string(thread.join("syscall")))
            .map(|call| call.map_or(Self::Perhaps, |call| Self::by_call(&call)))
            .max()
            .unwrap_or(Self::No)
    }

    /// The number and the arguments of a system call, as the kernel shows them.
    fn by_call(call: &str) -> Self {
        let mut words = call.split_ascii_whitespace();
        let Some(number) = words.next().and_then(|number| number.parse::<libc::c_long>().ok()) else {
            return Self::Perhaps;
        };
        let options = match number {
            libc::SYS_wait4 => words.nth(2),
            libc::SYS_waitid => words.nth(3),
            _ => return Self::No,
        };
        let options = options.and_then(|word| i64::from_str_radix(word.trim_start_matches("0x"), 16).ok());
        // Both have the same value.
        if options.is_none_or(|options| options & i64::from(libc::WUNTRACED) != 0) {
            Self::Yes
        } else {
            Self::No
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn m4_who_waits_for_a_child_to_be_stopped_is_known_by_the_call() {
        let wait4 = |options| {
            format!(
                "{} 0xffffffffffffffff 0x7ffd1 0x{options:x} 0x0 0x0 0x0 0x7ffd2 0x7f3\n",
                libc::SYS_wait4
            )
        };
        let waitid = |options| {
            format!(
                "{} 0x0 0x0 0x7ffd1 0x{options:x} 0x0 0x0 0x7ffd2 0x7f3\n",
                libc::SYS_waitid
            )
        };
        let (exited, stopped) = (libc::WEXITED, libc::WEXITED | libc::WSTOPPED);
        let watch = |call: &str| ChildWatch::by_call(call);
        assert_eq!(watch(&wait4(libc::WUNTRACED)), ChildWatch::Yes);
        assert_eq!(watch(&waitid(stopped)), ChildWatch::Yes);
        for no in [
            &wait4(0),
            &waitid(exited),
            "-1 0x7ffd2 0x7f3\n",
            "0 0x0 0x2 0x2 0x2 0x2 0x2 0x7ffd2 0x7f3\n",
        ] {
            assert_eq!(watch(no), ChildWatch::No, "{no}");
        }
        assert_eq!(watch("running\n"), ChildWatch::Perhaps);
    }
}
