// SPDX-License-Identifier: GPL-3.0-or-later

//! Threads that wait for a file system in the kernel. An exec ends the other threads of a process and waits for them: with one
//! that no signal reaches it would wait for ever, and nobody would look after the render meanwhile.

use std::fs;

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
    fn the_state_comes_after_the_last_bracket() {
        assert_eq!(state("1 (a) D (b) S 1 2"), Some('S'));
        assert_eq!(state("1 (flamenco-files) D 1 2"), Some('D'));
        assert_eq!(state(""), None);
    }
}
