// SPDX-License-Identifier: GPL-3.0-or-later

//! What a running task says: log, steps, pictures, one outcome.
//!
//! ```text
//! task, command ── TaskReporter ──► spool (log, activity, steps, outcome) ──► Manager
//!                      └────────── Pictures ─► desk ─ a process of ours ────► Manager ("last rendered")
//! ```
//!
//! Nothing here waits for the Manager: a slow one must not slow a renderer down.

mod complaint;
mod desk;
mod picture;
mod task_log;
mod task_reporter;
mod unseen;

pub use desk::{PictureDesk, Pictures};
pub use picture::{PICTURE_ROLE, picture_main};
pub use task_log::TaskLog;
pub use task_reporter::TaskReporter;
pub use unseen::UnseenEnd;
