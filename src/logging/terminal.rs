// SPDX-License-Identifier: GPL-3.0-or-later

//! What a terminal is asked before something is written to it.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use nix::fcntl::{OFlag, open};
use nix::sys::stat::Mode;
use nix::sys::termios::{LocalFlags, tcgetattr};
use nix::unistd::{getpgrp, tcgetpgrp};
use terminal_size::terminal_size_of;

/// Columns of a terminal that does not know how wide it is.
const COLUMNS: u16 = 80;

/// Opens the terminal once more, so that writes to it never wait. That cannot be had on the descriptor that we were given:
/// whether it waits belongs to the open file, which is shared with the shell and with every program that we start. And a
/// poll does not tell how much is taken: at the end of the 19 kB that Linux keeps of a terminal which nobody reads, one
/// that polled writable kept a write of 80 bytes for ever. Another user's (after `su`), or one without `/proc`, can still be
/// opened as that which controls us. `None`: it does not.
pub(super) fn open_again(terminal: BorrowedFd<'_>) -> Option<OwnedFd> {
    let flags = OFlag::O_WRONLY | OFlag::O_NONBLOCK | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
    let open = |path: &str| open(path, flags, Mode::empty()).ok();
    open(&format!("/proc/self/fd/{}", terminal.as_raw_fd())).or_else(|| {
        let controls_us = tcgetpgrp(terminal).is_ok();
        controls_us.then(|| open("/dev/tty")).flatten()
    })
}

/// How wide it is now.
pub(super) fn columns(terminal: impl AsFd) -> usize {
    terminal_size_of(terminal).map_or(COLUMNS, |(width, _)| width.0).into()
}

/// Whether a shell has another job in front: what is on the last line of the screen is that job's, or the shell's prompt.
/// In a terminal that does not control us there are no jobs.
pub(super) fn is_in_background(terminal: impl AsFd) -> bool {
    tcgetpgrp(terminal).is_ok_and(|front| front != getpgrp())
}

/// Whether a write would stop this process, its task and all: `stty tostop` asks that of jobs in the background.
pub(super) fn stops_writers(terminal: impl AsFd) -> bool {
    is_in_background(&terminal)
        && tcgetattr(&terminal).is_ok_and(|settings| settings.local_flags.contains(LocalFlags::TOSTOP))
}
