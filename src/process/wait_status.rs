// SPDX-License-Identifier: GPL-3.0-or-later

//! What the status that `waitpid` gives says of a program's end (wait(2)).

use nix::libc;

use super::finished::Exit;

/// Whether a program died of SIGHUP, SIGINT or SIGTERM, or ended with what a shell or FFmpeg (255) makes of those.
pub(super) fn seems_asked_to_end(status: i32) -> bool {
    const POLITE: [i32; 3] = [libc::SIGHUP, libc::SIGINT, libc::SIGTERM];
    const FFMPEG: i32 = 255;
    match exit_of(status, false) {
        Exit::Signal { signal, .. } => POLITE.contains(&signal),
        Exit::Code(code) => code == FFMPEG || POLITE.contains(&(code - 128)),
        Exit::Success | Exit::Aborted(_) | Exit::Lost => false,
    }
}

/// Whether a program ended so by itself: it came to its end, or crashed. A program that was killed may have been ended by
/// what killed the worker, and a worker that is gone breaks the pipe of its program's output.
pub(super) fn is_own_doing(status: i32) -> bool {
    const CRASHES: [i32; 7] = [
        libc::SIGABRT,
        libc::SIGBUS,
        libc::SIGFPE,
        libc::SIGILL,
        libc::SIGSEGV,
        libc::SIGSYS,
        libc::SIGTRAP,
    ];
    const OTHERS: [i32; 2] = [libc::SIGKILL, libc::SIGPIPE];
    match exit_of(status, false) {
        Exit::Success => true,
        Exit::Code(code) => !seems_asked_to_end(status) && !OTHERS.contains(&(code - 128)),
        Exit::Signal { signal, .. } => CRASHES.contains(&signal),
        Exit::Aborted(_) | Exit::Lost => false,
    }
}

/// The exit that a status stands for; `oom` when the kernel killed for want of memory meanwhile.
pub(super) fn exit_of(status: i32, oom: bool) -> Exit {
    if libc::WIFSIGNALED(status) {
        let signal = libc::WTERMSIG(status);
        return Exit::Signal {
            signal,
            oom: oom && signal == libc::SIGKILL,
        };
    }
    match libc::WEXITSTATUS(status) {
        0 => Exit::Success,
        code => Exit::Code(code),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exit_is_what_the_kernel_says() {
        assert_eq!(exit_of(0, true), Exit::Success);
        assert_eq!(exit_of(255 << 8, true), Exit::Code(255));
        assert_eq!(exit_of(11 | 0x80, true), Exit::Signal { signal: 11, oom: false });
        assert_eq!(exit_of(9, true), Exit::Signal { signal: 9, oom: true });
        assert_eq!(exit_of(9, false), Exit::Signal { signal: 9, oom: false });
        assert_eq!(exit_of(64, false), Exit::Signal { signal: 64, oom: false });
    }

    #[test]
    fn i21_an_end_that_the_worker_s_killer_may_have_made_is_no_programs_own() {
        for status in [0, 1 << 8, 139 << 8, 6, 11 | 0x80] {
            assert!(is_own_doing(status), "{status}");
        }
        for status in [9, 13, 15, 64, 137 << 8, 141 << 8, 143 << 8, 255 << 8] {
            assert!(!is_own_doing(status), "{status}");
        }
    }

    #[test]
    fn e6_an_end_that_somebody_else_asked_for_is_known_by_its_status() {
        for status in [1, 2, 15, 129 << 8, 130 << 8, 143 << 8, 255 << 8] {
            assert!(seems_asked_to_end(status), "{status}");
        }
        for status in [0, 9, 11, 1 << 8, 137 << 8, 139 << 8] {
            assert!(!seems_asked_to_end(status), "{status}");
        }
    }
}
