// SPDX-License-Identifier: GPL-3.0-or-later

//! The log of one task: appended at one end, sent and forgotten at the other.
//!
//! ```text
//!  line ─► buffer ─► log-000007 (being written)
//!                    log-000006
//!                    gap-000003 (3 to 5 were dropped; says how much that was)
//!  sender ◄───────── log-000002 (sent up to a byte)
//! ```
//!
//! A segment holds whole lines only. Waiting ones are bounded: past that the second oldest is dropped, so
//! that the start of what waits and the newest stay. Every line printed is either kept or counted, once.

mod chunk;
mod handed;
mod parts;
mod scan;
mod segmented;
mod spans;
#[cfg(test)]
mod tests;

pub(super) use chunk::LogChunk;
pub(super) use handed::HandedLog;
pub(super) use scan::scan;
pub(super) use segmented::SegmentedLog;
pub(crate) use spans::LogSpan;
pub(super) use spans::spans;
