// SPDX-License-Identifier: GPL-3.0-or-later

//! The values of the keys: each reader takes a [`TreeNode`] and says what is wrong with it.

use std::ops::Range;
use std::path::{Path, PathBuf};

use tracing::Level;
use url::Url;

use super::Share;
use super::units::{share, size};
use crate::cli::{ManagerUrlError, manager_url};
use crate::departure::RestartCode;
use crate::document::{Diagnostic, TreeNode};

const LEVELS: &str = "\"error\", \"warn\", \"info\", \"debug\" or \"trace\"";

pub(super) fn blank(node: &TreeNode) -> bool {
    node.text().is_ok_and(|text| text.trim().is_empty())
}

pub(super) fn manager(node: &TreeNode) -> Result<Url, Diagnostic> {
    manager_url(node.text()?).map_err(|error| Diagnostic {
        hide: error == ManagerUrlError::Credentials,
        ..node.diagnostic(format!("cannot be used: {error}"))
    })
}

pub(super) fn worker_name(node: &TreeNode) -> Result<String, Diagnostic> {
    Ok(node.text()?.trim().to_owned())
}

pub(super) fn task_types(node: &TreeNode) -> Result<Vec<String>, Diagnostic> {
    let mut types: Vec<String> = Vec::new();
    for node in node.list()? {
        // The Manager does both at the sign-on, but not at the registration.
        let task_type = node.text()?.trim().to_lowercase();
        if task_type.is_empty() {
            return Err(node.diagnostic("has an empty entry"));
        }
        if task_type.contains(',') {
            return Err(
                node.diagnostic("must have one entry for each type, the Manager takes a comma for the next one")
            );
        }
        if !types.contains(&task_type) {
            types.push(task_type);
        }
    }
    if types.is_empty() {
        return Err(node.diagnostic("must have at least one type, a worker without any gets no task"));
    }
    Ok(types)
}

pub(super) fn restart_exit_code(node: &TreeNode) -> Result<Option<RestartCode>, Diagnostic> {
    let code = node.integer(i64::MIN..i64::MAX)?;
    RestartCode::parse(code).map_err(|error| node.diagnostic(format!("cannot be used: {error}")))
}

pub(super) fn paths(node: &TreeNode) -> Result<Vec<PathBuf>, Diagnostic> {
    node.list()?.iter().map(absolute).collect()
}

pub(super) fn absolute(node: &TreeNode) -> Result<PathBuf, Diagnostic> {
    let path = Path::new(node.text()?);
    if !path.is_absolute() {
        return Err(node.diagnostic("must be an absolute path, one that starts with a slash"));
    }
    Ok(path.to_owned())
}

pub(super) fn small_integer(range: Range<i64>) -> impl FnOnce(&TreeNode) -> Result<i32, Diagnostic> {
    move |node| {
        let number = node.integer(range)?;
        i32::try_from(number).map_err(|error| node.diagnostic(error.to_string()))
    }
}

pub(super) fn level(node: &TreeNode) -> Result<Level, Diagnostic> {
    match node.text()? {
        "error" => Ok(Level::ERROR),
        "warn" => Ok(Level::WARN),
        "info" => Ok(Level::INFO),
        "debug" => Ok(Level::DEBUG),
        "trace" => Ok(Level::TRACE),
        other => Err(node.diagnostic(format!("must be {LEVELS}, not {other:?}"))),
    }
}

/// In bytes.
pub(super) fn free_space(node: &TreeNode) -> Result<u64, Diagnostic> {
    size(&node.text_or_number()?).map_err(|what| node.diagnostic(what))
}

pub(super) fn memory(node: &TreeNode) -> Result<Share, Diagnostic> {
    share(&node.text_or_number()?).map_err(|what| node.diagnostic(what))
}

pub(super) fn task_log_limit(node: &TreeNode) -> Result<u64, Diagnostic> {
    let text = node.text_or_number()?;
    let bytes = size(&text).map_err(|what| node.diagnostic(what))?;
    // Less is no log, more is no limit.
    if !(1 << 10..=1 << 40).contains(&bytes) {
        return Err(node.diagnostic(format!("must be between 1KiB and 1TiB, not {text}")));
    }
    Ok(bytes)
}

pub(super) fn history_tasks(node: &TreeNode) -> Result<usize, Diagnostic> {
    let tasks = node.integer(0..10_001)?;
    usize::try_from(tasks).map_err(|error| node.diagnostic(error.to_string()))
}
