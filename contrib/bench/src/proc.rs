// SPDX-License-Identifier: GPL-3.0-or-later

//! What the kernel says of a process, and of the machine. Zero where it says nothing: the process has gone.

use std::fs;
use std::time::Duration;

/// A field of `/proc/PID/status` (`VmRSS`, `VmHWM`), in KiB.
pub(crate) fn status(pid: u32, field: &str) -> u64 {
    kibibytes(&format!("/proc/{pid}/status"), field)
}

/// The process' share of the memory it uses: its own, and of what is shared its part. In KiB.
pub(crate) fn proportional(pid: u32) -> u64 {
    kibibytes(&format!("/proc/{pid}/smaps_rollup"), "Pss")
}

/// What the machine could still give to programs, in KiB.
pub(crate) fn available() -> u64 {
    kibibytes("/proc/meminfo", "MemAvailable")
}

/// All the machine has, in KiB.
pub(crate) fn total() -> u64 {
    kibibytes("/proc/meminfo", "MemTotal")
}

fn kibibytes(file: &str, field: &str) -> u64 {
    let text = fs::read_to_string(file).unwrap_or_default();
    let value = text
        .lines()
        .find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
    value
        .and_then(|value| value.split_whitespace().next()?.parse().ok())
        .unwrap_or(0)
}

/// Time on a CPU so far, of all its threads, from the scheduler's own count.
pub(crate) fn cpu(pid: u32) -> Duration {
    let threads = fs::read_dir(format!("/proc/{pid}/task"))
        .into_iter()
        .flatten()
        .flatten();
    let nanoseconds = threads.filter_map(|thread| {
        let text = fs::read_to_string(thread.path().join("schedstat")).ok()?;
        text.split_whitespace().next()?.parse::<u64>().ok()
    });
    Duration::from_nanos(nanoseconds.sum())
}
