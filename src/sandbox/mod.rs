// SPDX-License-Identifier: GPL-3.0-or-later

//! What a task may do on this node, in the last place that can say no: Landlock, a small filter of system calls, and no
//! capabilities. It knows nothing of tasks, but for what their policy is made of.
//!
//! ```text
//! [sandbox] ─► SandboxRules ─► Sandbox ── admit(program) ─► Confinement (a value, which travels to a guard)
//!                                                              │ prepare: opens what the rules name; may hang, as files do
//!                                                              ▼
//!                                       Prepared ── restrict ─► the calling thread, and all that it starts, for ever
//! ```
//!
//! A process of ours that reads what tasks have made has less: `open_files_only`.
//!
//! A kernel that knows only a part of it enforces that part; `kernel` says which.

mod automounts;
mod capabilities;
mod confinement;
mod everything_but;
mod exceptions;
mod held;
mod kernel;
mod landlock;
mod open_files_only;
mod opened;
mod policy;
mod presets;
mod programs;
mod refusals;
mod rules;
mod seen;
mod system_calls;
mod words;

pub(crate) use self::confinement::{Confinement, Paths, confine};
pub(crate) use self::everything_but::Around;
pub(crate) use self::held::{HeldElsewhere, HeldError, HeldTo, run_held, run_held_within};
pub(crate) use self::kernel::KernelSupport;
pub(crate) use self::open_files_only::confine_to_open_files;
pub(crate) use self::policy::{NotAdmitted, OwnFiles, Sandbox};
pub(crate) use self::rules::{Network, Preset, SandboxRules};
