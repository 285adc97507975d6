// SPDX-License-Identifier: GPL-3.0-or-later

//! How the values of the keys are read and written: each reader takes a [`TreeNode`] and says what is wrong with it.

use std::ffi::OsStr;
use std::fmt::Display;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ::toml::Value as Toml;
use tracing::Level;

use super::listen_address::ListenAddress;
use super::table::Format;
use crate::departure::RestartCode;
use crate::document::{Diagnostic, TreeNode, Value};
use crate::manager_url::{ManagerUrl, ManagerUrlError};
use crate::pause::{PausePolicy, PresenceSource};
use crate::sandbox::{Network, Preset};
use crate::timings::SHORTEST;
use crate::units::{MemoryLimit, duration, duration_text, memory_limit, memory_limit_text, size, size_text};

/// The longest [`PERIOD`].
const DAY: Duration = Duration::from_secs(86_400);

const LEVELS: &str = "\"error\", \"warn\", \"info\", \"debug\" or \"trace\"";

pub(super) const MANAGER: Format<Option<ManagerUrl>> = Format {
    takes: "a URL, or just host:port",
    read: |node| manager(node).map(Some),
    write: |url| url.as_ref().map(|url| quoted(url.to_string())),
};

pub(super) const WORKER_NAME: Format<String> = Format {
    takes: "a text",
    read: |node| Ok(node.text()?.trim().to_owned()),
    write: |name| Some(quoted(name)),
};

pub(super) const TASK_TYPES: Format<Vec<String>> = Format {
    takes: "a list of task types, at least one",
    read: task_types,
    write: |types| Some(list(types)),
};

pub(super) const RESTART_EXIT_CODE: Format<Option<RestartCode>> = Format {
    takes: "1 to 255, but not 1, 2, 69, 75, 78, 101 or 130, which have a meaning of their own",
    read: restart_exit_code,
    write: |code| code.map(|code| code.code().to_string()),
};

pub(super) const DIRECTORY: Format<Option<PathBuf>> = Format {
    takes: "the absolute path of a directory",
    ..FILE
};

pub(super) const FILE: Format<Option<PathBuf>> = Format {
    takes: "the absolute path of a file",
    read: |node| absolute(node).map(Some),
    write: |path| path.as_ref().map(quoted),
};

pub(super) const PATHS: Format<Vec<PathBuf>> = Format {
    takes: "a list of absolute paths",
    read: |node| node.list()?.iter().map(absolute).collect(),
    write: |paths| Some(list(paths)),
};

pub(super) const BOOLEAN: Format<bool> = Format {
    takes: "true or false",
    read: TreeNode::boolean,
    write: written,
};

pub(super) const LEVEL: Format<Level> = Format {
    takes: LEVELS,
    read: level,
    write: |level| Some(quoted(level.as_str().to_lowercase())),
};

pub(super) const LISTEN_ADDRESS: Format<Option<ListenAddress>> = Format {
    takes: "an address with a port, or \"unix:\" and the absolute path of a socket",
    read: |node| {
        let read = ListenAddress::parse(node.text()?);
        read.map(Some).map_err(|error| node.diagnostic(error.to_string()))
    },
    write: |address| address.as_ref().map(|address| quoted(address.to_string())),
};

/// In bytes.
pub(super) const FREE_SPACE: Format<u64> = Format {
    takes: "a size such as \"2GiB\"",
    read: |node| size(&node.text_or_number()?).map_err(|what| node.diagnostic(what)),
    write: |bytes| Some(quoted(size_text(*bytes))),
};

pub(super) const MEMORY: Format<Option<MemoryLimit>> = Format {
    takes: "a share of the machine's memory such as \"70%\", or a size such as \"48GiB\"",
    read: |node| {
        memory_limit(&node.text_or_number()?)
            .map(Some)
            .map_err(|what| node.diagnostic(what))
    },
    write: |limit| limit.map(|limit| quoted(memory_limit_text(limit))),
};

pub(super) const MEMORY_SHARE: Format<MemoryLimit> = Format {
    takes: MEMORY.takes,
    read: |node| memory_limit(&node.text_or_number()?).map_err(|what| node.diagnostic(what)),
    write: |limit| Some(quoted(memory_limit_text(*limit))),
};

/// A time, up to a day.
pub(super) const PERIOD: Format<Duration> = Format {
    takes: "a time such as \"20s\", up to \"1d\"",
    read: period,
    write: |time| Some(quoted(duration_text(*time))),
};

pub(super) const PAUSE_POLICY: Format<PausePolicy> = Format {
    takes: "\"freeze\", \"requeue\" or \"sleep\"",
    read: |node| one_of(node, &PausePolicy::ALL, PAUSE_POLICY.takes),
    write: |policy| name_of(policy, &PausePolicy::ALL).map(quoted),
};

pub(super) const PRESENCE_SOURCES: Format<Vec<PresenceSource>> = Format {
    takes: "a list of \"input\", \"terminal\" and \"session\"",
    read: |node| {
        let each = node.list()?.iter();
        each.map(|node| one_of(node, &PresenceSource::ALL, "\"input\", \"terminal\" or \"session\""))
            .collect()
    },
    write: |sources| {
        let names = sources
            .iter()
            .filter_map(|source| name_of(source, &PresenceSource::ALL));
        Some(list(&names.collect::<Vec<_>>()))
    },
};

/// Absolute paths, where an empty list is something else than none.
pub(super) const SOME_PATHS: Format<Option<Vec<PathBuf>>> = Format {
    takes: PATHS.takes,
    read: |node| (PATHS.read)(node).map(Some),
    write: |paths| paths.as_ref().and_then(PATHS.write),
};

pub(super) const PROGRAMS: Format<Option<Vec<String>>> = Format {
    takes: "a list of absolute paths, patterns with * and ?, and names without a slash",
    read: |node| node.list()?.iter().map(program).collect::<Result<_, _>>().map(Some),
    write: |programs| programs.as_ref().map(|programs| list(programs)),
};

pub(super) const NETWORK: Format<Network> = Format {
    takes: "\"any\", \"none\", or a list of ports",
    read: network,
    write: |network| {
        Some(match network {
            Network::Any => quoted("any"),
            Network::None => quoted("none"),
            Network::Ports(ports) => format!("{ports:?}"),
        })
    },
};

pub(super) const PRESETS: Format<Vec<Preset>> = Format {
    takes: "a list of \"blender\", \"nvidia\", \"amd\" and \"intel\"",
    read: |node| {
        let each = node.list()?.iter();
        each.map(|node| one_of(node, &Preset::ALL, "\"blender\", \"nvidia\", \"amd\" or \"intel\""))
            .collect()
    },
    write: |presets| {
        let names = presets.iter().filter_map(|preset| name_of(preset, &Preset::ALL));
        Some(list(&names.collect::<Vec<_>>()))
    },
};

/// In bytes.
pub(super) const TASK_LOG_LIMIT: Format<u64> = Format {
    takes: "a size between \"1KiB\" and \"1TiB\"",
    read: task_log_limit,
    ..FREE_SPACE
};

/// Whether a text has nothing in it.
pub(super) fn blank(node: &TreeNode) -> bool {
    node.text().is_ok_and(|text| text.trim().is_empty())
}

fn manager(node: &TreeNode) -> Result<ManagerUrl, Diagnostic> {
    ManagerUrl::parse(node.text()?).map_err(|error| Diagnostic {
        hide: error == ManagerUrlError::Credentials,
        ..node.diagnostic(format!("cannot be used: {error}"))
    })
}

/// A path or pattern from the root, or a name on PATH.
fn program(node: &TreeNode) -> Result<String, Diagnostic> {
    let text = node.text()?;
    if text.is_empty() || text.contains('/') && !text.starts_with('/') {
        return Err(node.diagnostic("must be an absolute path or pattern, or a name without a slash"));
    }
    if let Err(error) = glob::Pattern::new(text) {
        return Err(node.diagnostic(format!("is no pattern: {}", error.msg)));
    }
    Ok(text.to_owned())
}

fn network(node: &TreeNode) -> Result<Network, Diagnostic> {
    if let Value::List(ports) = &node.value {
        let ports = ports.iter().map(|port| integer(port, 1..=65_535));
        return ports.collect::<Result<_, _>>().map(Network::Ports);
    }
    match node.text()? {
        "any" => Ok(Network::Any),
        "none" => Ok(Network::None),
        _ => Err(node.diagnostic(format!("must be {}", NETWORK.takes))),
    }
}

/// The one of `all` that has this name.
fn one_of<T: Copy>(node: &TreeNode, all: &[(&str, T)], takes: &str) -> Result<T, Diagnostic> {
    let text = node.text()?;
    let named = all.iter().find(|(name, _)| *name == text);
    named
        .map(|(_, one)| *one)
        .ok_or_else(|| node.diagnostic(format!("must be {takes}")))
}

fn name_of<T: PartialEq>(one: &T, all: &[(&'static str, T)]) -> Option<&'static str> {
    all.iter().find(|(_, other)| other == one).map(|(name, _)| *name)
}

fn task_types(node: &TreeNode) -> Result<Vec<String>, Diagnostic> {
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

fn period(node: &TreeNode) -> Result<Duration, Diagnostic> {
    let time = duration(node.text()?).map_err(|what| node.diagnostic(what))?;
    match (SHORTEST..=DAY).contains(&time) {
        true => Ok(time),
        false => Err(node.diagnostic("must be between \"1ms\" and \"1d\"")),
    }
}

fn restart_exit_code(node: &TreeNode) -> Result<Option<RestartCode>, Diagnostic> {
    let code = node.integer(i64::MIN..=i64::MAX)?;
    RestartCode::parse(code).map_err(|error| node.diagnostic(format!("cannot be used: {error}")))
}

fn absolute(node: &TreeNode) -> Result<PathBuf, Diagnostic> {
    let path = Path::new(node.text()?);
    if !path.is_absolute() {
        return Err(node.diagnostic("must be an absolute path, one that starts with a slash"));
    }
    Ok(path.to_owned())
}

fn level(node: &TreeNode) -> Result<Level, Diagnostic> {
    match node.text()? {
        "error" => Ok(Level::ERROR),
        "warn" => Ok(Level::WARN),
        "info" => Ok(Level::INFO),
        "debug" => Ok(Level::DEBUG),
        "trace" => Ok(Level::TRACE),
        other => Err(node.diagnostic(format!("must be {LEVELS}, not {other:?}"))),
    }
}

fn task_log_limit(node: &TreeNode) -> Result<u64, Diagnostic> {
    let text = node.text_or_number()?;
    let bytes = size(&text).map_err(|what| node.diagnostic(what))?;
    // Less is no log, more is no limit.
    if !(1 << 10..=1 << 40).contains(&bytes) {
        return Err(node.diagnostic(format!("must be between 1KiB and 1TiB, not {text}")));
    }
    Ok(bytes)
}

/// A whole number within `range`.
///
/// # Errors
/// Anything else.
pub(super) fn integer<T: TryFrom<i64>>(node: &TreeNode, range: RangeInclusive<i64>) -> Result<T, Diagnostic>
where
    T::Error: Display,
{
    let number = node.integer(range)?;
    T::try_from(number).map_err(|error| node.diagnostic(error.to_string()))
}

/// A number or a truth value in TOML.
pub(super) fn written(value: &impl Display) -> Option<String> {
    Some(value.to_string())
}

/// A number or a truth value in TOML; `None` where it is not set.
pub(super) fn written_if_set(value: &Option<impl Display>) -> Option<String> {
    value.as_ref().map(ToString::to_string)
}

/// A text in TOML.
fn quoted(value: impl AsRef<OsStr>) -> String {
    Toml::from(value.as_ref().to_string_lossy().as_ref()).to_string()
}

/// A list of texts in TOML.
fn list(values: &[impl AsRef<OsStr>]) -> String {
    let written: Vec<_> = values.iter().map(quoted).collect();
    format!("[{}]", written.join(", "))
}
