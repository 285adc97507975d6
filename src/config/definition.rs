// SPDX-License-Identifier: GPL-3.0-or-later

//! What is known of each key of `flamenco-worker.toml`: how it is read, what it is without, and what is said
//! of it in the manual and in the file that packages bring. Those of `[timings]` are in `timings`, the names
//! in `[headers]` are the operator's own.

use super::Config;
use super::units::{share_text, size_text};
use super::values::{
    absolute, free_space, history_tasks, level, manager, memory, paths, restart_exit_code, small_integer,
    task_log_limit, task_types, worker_name,
};
use crate::document::{Diagnostic, TreeNode};

/// A key, and all that is known of it.
pub(super) struct Key {
    /// The table it is in; empty for those above the first one.
    pub(super) table: &'static str,
    pub(super) name: &'static str,
    /// For the operator, in whole sentences.
    pub(super) about: &'static str,
    /// What can be written.
    pub(super) takes: &'static str,
    /// One such value, as it is written. Only shown where there is no default.
    pub(super) example: &'static str,
    /// The value as it is written, if there is one.
    pub(super) written: fn(&Config) -> Option<String>,
    pub(super) read: fn(&mut Config, &TreeNode) -> Result<(), Diagnostic>,
}

impl Key {
    /// As an origin and a list of changes name it: `nice`, `log.level`.
    pub(super) fn full_name(&self) -> String {
        full_name(self.table, self.name)
    }
}

pub(super) fn full_name(table: &str, name: &str) -> String {
    match table {
        "" => name.to_owned(),
        table => format!("{table}.{name}"),
    }
}

/// The tables, with what is said of each.
pub(super) const TABLES: [(&str, &str); 6] = [
    (
        "tls",
        "Files for https, all PEM. They are read when connections are first made.",
    ),
    (
        "headers",
        "Sent with every request, for a proxy in front of the Manager that asks who we are. A value is never logged; \
         NAME = { file = \"/path\" } keeps it in a file of its own.",
    ),
    ("log", "What the worker says of itself, on standard error."),
    (
        "node",
        "What tasks need on this node: without it a task goes back to the Manager, and the node sleeps until it is there.",
    ),
    ("spool", "What of the tasks is kept on this node."),
    (
        "timings",
        "Every wait of the worker. The defaults suit a Manager with its own defaults; change one with a reason only.",
    ),
];

const FILE: &str = "the absolute path of a file";
const PATHS: &str = "a list of absolute paths";

macro_rules! file_key {
    ($name:ident, $example:literal, $about:literal) => {
        Key {
            table: "tls",
            name: stringify!($name),
            about: $about,
            takes: FILE,
            example: $example,
            written: |config| config.tls.$name.as_deref().map(text),
            read: |config, node| absolute(node).map(|path| config.tls.$name = Some(path)),
        }
    };
}

macro_rules! paths_key {
    ($name:ident, $about:literal) => {
        Key {
            table: "node",
            name: stringify!($name),
            about: $about,
            takes: PATHS,
            example: "",
            written: |config| Some(list(config.node.$name.iter().map(text))),
            read: |config, node| paths(node).map(|paths| config.node.$name = paths),
        }
    };
}

pub(super) const KEYS: &[Key] = &[
    Key {
        table: "",
        name: "manager",
        about: "Where the Flamenco Manager is. The one key that a new node needs.",
        takes: "a URL, or just host:port",
        example: "\"http://manager.example:8080/\"",
        written: |config| config.manager.as_ref().map(|url| text(url.as_str())),
        read: |config, node| manager(node).map(|url| config.manager = Some(url)),
    },
    Key {
        table: "",
        name: "worker_name",
        about: "The name that the Manager's page shows; the host's name unless set.",
        takes: "a text",
        example: "\"node-07\"",
        // That of a host without a name is for each host to say.
        written: |config| (!config.worker_name.is_empty()).then(|| text(&config.worker_name)),
        read: |config, node| worker_name(node).map(|name| config.worker_name = name),
    },
    Key {
        table: "",
        name: "task_types",
        about: "What kinds of task this node takes.",
        takes: "a list of task types, at least one",
        example: "",
        written: |config| Some(list(config.task_types.iter().map(text))),
        read: |config, node| task_types(node).map(|types| config.task_types = types),
    },
    Key {
        table: "",
        name: "restart_exit_code",
        about: "Offers Restart in the Manager: the worker then ends with this code, and whatever supervises it starts \
                it again. The systemd unit knows 47. 0, or no such key: no Restart.",
        takes: "1 to 255, but not 1, 2, 69, 75, 78, 101 or 130, which have a meaning of their own",
        example: "47",
        written: |config| config.restart_exit_code.map(|code| code.code().to_string()),
        read: |config, node| restart_exit_code(node).map(|code| config.restart_exit_code = code),
    },
    Key {
        table: "",
        name: "home",
        about: "Where this worker keeps its identity and what the Manager does not have yet, on a local disk, one \
                directory for each worker. FLAMENCO_HOME goes first; without both it is what systemd's StateDirectory= \
                says, then ~/.local/share/flamenco.",
        takes: "the absolute path of a directory",
        example: "\"/var/lib/flamenco-worker\"",
        written: |config| config.home.as_deref().map(text),
        read: |config, node| absolute(node).map(|home| config.home = Some(home)),
    },
    Key {
        table: "",
        name: "oom_score_adjust",
        about: "How readily the kernel ends the programs of a task when memory is short: before the worker, and before \
                whoever sits at this machine.",
        takes: "0 to 1000",
        example: "",
        written: |config| config.oom_score_adjust.map(|score| score.to_string()),
        read: |config, node| small_integer(0..1001)(node).map(|score| config.oom_score_adjust = Some(score)),
    },
    Key {
        table: "",
        name: "nice",
        about: "How readily the programs of a task let others have the processor; what the worker was started with \
                unless set.",
        takes: "-20 (never) to 19 (always)",
        example: "10",
        written: |config| config.nice.map(|nice| nice.to_string()),
        read: |config, node| small_integer(-20..20)(node).map(|nice| config.nice = Some(nice)),
    },
    Key {
        table: "",
        name: "push",
        about: "Whether to listen to what the Manager broadcasts, so that a click there is an act here, beside asking \
                now and then.",
        takes: "true or false",
        example: "",
        written: |config| Some(config.push.to_string()),
        read: |config, node| node.boolean().map(|push| config.push = push),
    },
    file_key!(
        ca_file,
        "\"/etc/farm/ca.pem\"",
        "Authorities to trust beside the system's."
    ),
    file_key!(
        client_certificate,
        "\"/etc/farm/node.pem\"",
        "The certificate that this node shows. Needs client_key."
    ),
    file_key!(
        client_key,
        "\"/etc/farm/node.key\"",
        "The key of that certificate. Needs client_certificate."
    ),
    Key {
        table: "log",
        name: "level",
        about: "How much is said. FLAMENCO_LOG goes first.",
        takes: "\"error\", \"warn\", \"info\", \"debug\" or \"trace\"",
        example: "",
        written: |config| Some(text(config.log.level.as_str().to_lowercase())),
        read: |config, node| level(node).map(|level| config.log.level = level),
    },
    paths_key!(mounted, "Where a file system must be mounted."),
    paths_key!(readable, "What must be readable."),
    paths_key!(writable, "Directories that must be writable."),
    Key {
        table: "node",
        name: "free_space",
        about: "How much must be free in the writable ones, the temporary directory and the home.",
        takes: "a size such as \"2GiB\"",
        example: "",
        written: |config| Some(text(size_text(config.node.free_space))),
        read: |config, node| free_space(node).map(|bytes| config.node.free_space = bytes),
    },
    Key {
        table: "node",
        name: "memory",
        about: "How much memory all programs of a task may use together: near it the kernel slows them down and takes \
                back what it can, and what wants more is ended. The worker itself is not held up. It takes \
                the memory controller of cgroup v2, which Delegate=yes in a unit passes on. No limit unless set.",
        takes: "a share of the machine's memory such as \"70%\", or a size such as \"48GiB\"",
        example: "\"70%\"",
        written: |config| config.node.memory.map(|share| text(share_text(share))),
        read: |config, node| memory(node).map(|share| config.node.memory = Some(share)),
    },
    Key {
        table: "node",
        name: "strikes",
        about: "After so many programs in a row that cannot be started or crash at once, the node pauses; 0: never.",
        takes: "0 to 100",
        example: "",
        written: |config| Some(config.node.strikes.to_string()),
        read: |config, node| small_integer(0..101)(node).map(|strikes| config.node.strikes = strikes.unsigned_abs()),
    },
    Key {
        table: "spool",
        name: "task_log_limit",
        about: "Where the log of one task ends; a renderer gone mad must not fill the disk.",
        takes: "a size between \"1KiB\" and \"1TiB\"",
        example: "",
        written: |config| Some(text(size_text(config.spool.task_log_limit))),
        read: |config, node| task_log_limit(node).map(|bytes| config.spool.task_log_limit = bytes),
    },
    Key {
        table: "spool",
        name: "history_tasks",
        about: "How many tasks are kept for `flamenco-worker history`.",
        takes: "0 to 10000",
        example: "",
        written: |config| Some(config.spool.history_tasks.to_string()),
        read: |config, node| history_tasks(node).map(|tasks| config.spool.history_tasks = tasks),
    },
];

pub(super) fn key(table: &str, name: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.table == table && key.name == name)
}

/// The names in a table, those of the tables too for the top.
pub(super) fn names(table: &str) -> Vec<&'static str> {
    let keys = KEYS.iter().filter(|key| key.table == table).map(|key| key.name);
    let tables = TABLES.iter().map(|(name, _)| *name).filter(|_| table.is_empty());
    keys.chain(tables).collect()
}

fn text(value: impl AsRef<std::ffi::OsStr>) -> String {
    ::toml::Value::from(value.as_ref().to_string_lossy().as_ref()).to_string()
}

fn list(written: impl Iterator<Item = String>) -> String {
    format!("[{}]", written.collect::<Vec<_>>().join(", "))
}
