// SPDX-License-Identifier: GPL-3.0-or-later

//! Threads that wait for a file system in the kernel. An exec ends the other threads of a process and waits for them: with one
//! that no signal reaches it would wait for ever, and nobody would look after the render meanwhile.

use std::fs;
use std::time::Duration;

use tokio::time::Instant;

/// A disk that is used by many answers within that.
const PATIENCE: Duration = Duration::from_secs(1);
/// The pause between two looks.
const PAUSE: Duration = Duration::from_millis(5);

/// Whether threads of this process go on to sleep where no signal reaches them. Blocks as long as some do, within its patience.
pub(super) fn hangs_at_a_disk() -> bool {
    is_so_for(PATIENCE, waits_for_a_disk)
}

/// Whether something is so at each look, for this time.
fn is_so_for(time: Duration, mut is_so: impl FnMut() -> bool) -> bool {
    let began = Instant::now();
    while is_so() {
        if began.elapsed() >= time {
            return true;
        }
        #[expect(clippy::disallowed_methods, reason = "the event loop has ended")]
        std::thread::sleep(PAUSE);
    }
    false
}

/// Whether a thread of this process sleeps where a signal may not reach it: `D` in `/proc/self/task/N/stat`
/// (proc_pid_stat(5)). For a moment that is so with each access to a disk.
pub(crate) fn waits_for_a_disk() -> bool {
    let threads = fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    let stats = threads.filter_map(|thread| fs::read_to_string(thread.path().join("stat")).ok());
    stats.into_iter().any(|stat| state(&stat) == Some('D'))
}

/// The name, in brackets, may have any characters.
fn state(stat: &str) -> Option<char> {
    stat.rsplit_once(") ")?.1.chars().next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_passes_by_is_waited_for_and_what_lasts_is_not() {
        let mut looks = 0;
        let passes = || {
            looks += 1;
            looks < 3
        };
        assert!(!is_so_for(Duration::from_secs(3600), passes));
        assert_eq!(looks, 3);
        assert!(is_so_for(Duration::ZERO, || true));
    }

    #[test]
    fn the_state_comes_after_the_last_bracket() {
        assert_eq!(state("1 (a) D (b) S 1 2"), Some('S'));
        assert_eq!(state("1 (flamenco-files) D 1 2"), Some('D'));
        assert_eq!(state(""), None);
    }
}
