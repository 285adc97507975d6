// SPDX-License-Identifier: GPL-3.0-or-later

//! Files of keys and values, read with the place of everything in them, so that a mistake is shown where it is.
//!
//! ```text
//! SourceFile ─┬─ toml ─┬─► TableEntry, TreeNode (keys and values, each with its bytes) ─► Diagnostic ─╮
//!             └─ yaml ─┘                                                                               │
//!                  └────► Problem (file:line:column, the line with a caret, what to do) ◄── Location ──╯
//! ```
//!
//! What a key means is for `config` and `home` to know. The YAML is the Go worker's.

mod location;
mod problem;
pub(crate) mod toml;
mod tree;
pub(crate) mod yaml;

pub(crate) use self::location::Location;
pub(crate) use self::location::SourceFile;
pub(crate) use self::problem::Problem;
pub(crate) use self::tree::{Diagnostic, TableEntry, TreeNode, Value};
