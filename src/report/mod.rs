// SPDX-License-Identifier: GPL-3.0-or-later

//! Reports of running tasks: log, steps, pictures, one outcome.
//!
//! ```text
//! task, command ── TaskReporter ──► spool (log, activity, steps, outcome) ──► Manager
//!                      └── PreviewQueue ─► PreviewSender ─ a process of ours ─► Manager ("last rendered")
//! ```
//!
//! Nothing here waits for the Manager: a slow one must not slow a renderer down.

mod error_line;
mod orphaned_run;
mod preview;
mod preview_process;
mod program_end;
mod task_log;
mod task_reporter;
mod task_totals;

pub(crate) use orphaned_run::OrphanedRunEnd;
pub(crate) use preview::{HandedPicture, PreviewQueue, PreviewSender};
pub(crate) use preview_process::{PREVIEW_ROLE, preview_main};
pub(crate) use task_log::TaskLog;
pub(crate) use task_reporter::{HandedReport, TaskReporter};
pub(crate) use task_totals::{TaskTotals, size};
