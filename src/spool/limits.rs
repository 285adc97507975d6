// SPDX-License-Identifier: GPL-3.0-or-later

//! How much the spool holds, and how much of it goes at once.

/// Bounds of the spool. A task's waiting log takes at most `segment_bytes * waiting_segments` on disk, and
/// as much again of what was delivered already.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Limits {
    /// A log is cut into files of this many bytes.
    pub segment_bytes: u64,
    /// So many of them wait for the Manager, at least 2; past that the second oldest is dropped and counted.
    pub waiting_segments: usize,
    /// Where the log of one task ends; what is printed after that is only counted.
    pub task_log_bytes: u64,
    /// Log of a task that waits in memory while the disk does not take it; past that it is only counted.
    pub buffer_bytes: usize,
    /// Bytes of log that may wait, of all tasks together; no new task begins above it.
    pub waiting_bytes: u64,
    /// No new task begins with less than this free: twice what one may take.
    pub free_bytes: u64,
    /// So many delivered tasks are kept for people to look at.
    pub history_tasks: usize,
    /// Bytes that those may take together; less where less is free. As much again may be damaged or set aside.
    pub history_bytes: u64,
    /// Log in one request. Many proxies stop at 1 MiB, and JSON makes some bytes longer.
    pub request_bytes: usize,
    /// This much log is sent without waiting for the next turn.
    pub early_send: u64,
}

impl Default for Limits {
    fn default() -> Self {
        const KIB: u64 = 1 << 10;
        const MIB: u64 = 1 << 20;
        Self {
            segment_bytes: 4 * MIB,
            waiting_segments: 4,
            task_log_bytes: 1024 * MIB,
            buffer_bytes: 256 << 10,
            waiting_bytes: 1024 * MIB,
            free_bytes: 64 * MIB,
            history_tasks: 50,
            history_bytes: 256 * MIB,
            request_bytes: 512 << 10,
            early_send: 64 * KIB,
        }
    }
}
