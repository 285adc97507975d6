// SPDX-License-Identifier: GPL-3.0-or-later

//! The keys of `flamenco-worker.toml`. A new one is a row here and nothing else, or a row in `timings`: the field, the
//! reader of the file, `check-config` and the manual are made of the rows.
//!
//! What is written above a row is what the operator reads, in the manual and in the file that packages bring.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use reqwest::header::HeaderMap;
use tracing::Level;

use super::formats::{
    BOOLEAN, DIRECTORY, FILE, FREE_SPACE, LEVEL, LISTEN_ADDRESS, MANAGER, MEMORY, MEMORY_SHARE, NETWORK, PATHS,
    PAUSE_POLICY, PERIOD, PRESENCE_SOURCES, PRESETS, PROGRAMS, RESTART_EXIT_CODE, SOME_PATHS, TASK_LOG_LIMIT,
    TASK_TYPES, WORKER_NAME, integer, written, written_if_set,
};
use super::table::{ConfigSection, Format, Key, Setting, Table, table};
use super::{ListenAddress, MemoryLimit, SettingOrigin, headers};
use crate::departure::RestartCode;
use crate::manager_url::ManagerUrl;
use crate::pause::{PausePolicy, PresenceSource};
use crate::sandbox::{Network, Preset};
use crate::timings::Timings;

/// All tables, in the order of the manual.
pub(super) const TABLES: [Table; 10] = [
    Table {
        about: "",
        ..Config::TABLE
    },
    TlsSettings::TABLE,
    headers::TABLE,
    LogSettings::TABLE,
    NodeNeeds::TABLE,
    WarmSettings::TABLE,
    PresenceSettings::TABLE,
    SandboxSettings::TABLE,
    SpoolLimits::TABLE,
    Table {
        name: "timings",
        about: "Every wait of the worker. The defaults suit a Manager with its own defaults; change one with a reason only.",
        keys: || Timings::KEYS.iter().map(Key::Timing).collect(),
    },
];

/// The table of this name.
pub(super) fn table_named(name: &str) -> Option<&'static Table> {
    const { &TABLES }.iter().find(|table| table.name == name)
}

/// The task types that the Go worker offers by default.
const DEFAULT_TASK_TYPES: [&str; 4] = ["blender", "ffmpeg", "file-management", "misc"];

table! {
    /// Everything an operator can decide, each with a default.
    config => Config {
        /// Where the Flamenco Manager is. Without it the worker searches its networks for one, as the Go worker does, and
        /// trusts whoever answers. A link-local address has its interface: http://[fe80::1%eth0]:8080/.
        manager: Option<ManagerUrl> = None, MANAGER, such as "\"http://manager.example:8080/\"";
        // It is never empty in a configuration that was loaded.
        /// The name that the Manager's page shows; the host's name unless set.
        worker_name: String = String::new(), WORKER_NAME, such as "\"node-07\"";
        // They are lower case, trimmed, without commas.
        /// What kinds of task this node takes.
        task_types: Vec<String> = DEFAULT_TASK_TYPES.map(str::to_owned).to_vec(), TASK_TYPES;
        /// Offers Restart in the Manager: the worker then ends with this code, and whatever supervises it starts it again.
        /// The systemd unit knows 47. 0, or no such key: no Restart.
        restart_exit_code: Option<RestartCode> = None, RESTART_EXIT_CODE, such as "47";
        // What it is without is for the room `home` to know.
        /// Where this worker keeps its identity and what the Manager does not have yet, on a local disk, one directory for
        /// each worker. FLAMENCO_HOME goes first; without both it is what systemd's StateDirectory= says, then
        /// ~/.local/share/flamenco.
        home: Option<PathBuf> = None, DIRECTORY, such as "\"/var/lib/flamenco-worker\"";
        // The default is well above a desktop's programs, which systemd gives 100 to 200 (systemd.exec(5),
        // OOMScoreAdjust=).
        /// How readily the kernel ends the programs of a task when memory is short: before the worker, and before whoever
        /// sits at this machine.
        oom_score_adjust: Option<i32> = Some(500), Format {
            takes: "0 to 1000",
            read: |node| integer(node, 0..=1000).map(Some),
            write: written_if_set,
        };
        /// How readily the programs of a task let others have the processor; what the worker was started with unless set.
        nice: Option<i32> = None, Format {
            takes: "-20 (never) to 19 (always)",
            read: |node| integer(node, -20..=19).map(Some),
            write: written_if_set,
        }, such as "10";
        /// Whether to listen to what the Manager broadcasts, so that a click there is an act here, beside asking now and
        /// then.
        push: bool = true, BOOLEAN;
        /// Where Prometheus finds /metrics, and the probe of a container /healthz and /livez: "127.0.0.1:9464" is for this
        /// machine alone, "0.0.0.0:9464" for the whole network, since nobody is asked who they are; "unix:/run/..." is for this
        /// worker's user and group. Nothing listens unless set.
        metrics: Option<ListenAddress> = None, LISTEN_ADDRESS, such as "\"127.0.0.1:9464\"";
    } beside {
        /// The file that was read, if there was one.
        pub file: Option<PathBuf>;
        /// The table `[tls]`.
        pub tls: TlsSettings;
        /// Sent with every request to the Manager. Values are marked as sensitive, so that no `Debug` shows one.
        pub headers: HeaderMap;
        /// The table `[log]`.
        pub log: LogSettings;
        /// The table `[node]`.
        pub node: NodeNeeds;
        /// The table `[warm]`.
        pub warm: WarmSettings;
        /// The table `[presence]`.
        pub presence: PresenceSettings;
        /// The table `[sandbox]`.
        pub sandbox: SandboxSettings;
        /// The table `[spool]`.
        pub spool: SpoolLimits;
        /// The table `[timings]`.
        pub timings: Timings;
        /// Files that hold what is secret, beside the configuration itself.
        pub secret_files: Vec<PathBuf>;
        /// Where each value that is no default comes from, by the full name of its key.
        pub(super) origins: BTreeMap<String, SettingOrigin>;
    }
}

table! {
    /// Files for https, all PEM. They are read when connections are first made.
    config.tls => TlsSettings {
        /// Authorities to trust beside the system's.
        ca_file: Option<PathBuf> = None, FILE, such as "\"/etc/farm/ca.pem\"";
        // The reader sees to it that the two are set together or not at all.
        /// The certificate that this node shows. Needs client_key.
        client_certificate: Option<PathBuf> = None, FILE, such as "\"/etc/farm/node.pem\"";
        /// The key of that certificate. Needs client_certificate.
        client_key: Option<PathBuf> = None, FILE, such as "\"/etc/farm/node.key\"";
    }
}

table! {
    /// What the worker says of itself, on standard error.
    config.log => LogSettings {
        // It is that of this program; libraries are a good deal quieter.
        /// How much is said. FLAMENCO_LOG goes first.
        level: Level = Level::INFO, LEVEL;
    } beside {
        /// `$FLAMENCO_LOG` when it is more than a level; checked.
        pub filter: Option<String>;
    }
}

table! {
    /// What tasks need on this node: without it a task goes back to the Manager, and the node sleeps until it is there.
    config.node => NodeNeeds {
        /// Where a file system must be mounted.
        mounted: Vec<PathBuf> = Vec::new(), PATHS;
        /// What must be readable.
        readable: Vec<PathBuf> = Vec::new(), PATHS;
        /// Directories that must be writable.
        writable: Vec<PathBuf> = Vec::new(), PATHS;
        // In bytes; 0 asks for nothing.
        /// How much must be free in the writable ones, the temporary directory and the home.
        free_space: u64 = 0, FREE_SPACE;
        /// How much memory all programs of a task may use together: near it the kernel slows them down and takes back what
        /// it can, and what wants more is ended. The worker itself is not held up. It takes the memory controller of
        /// cgroup v2, which Delegate=yes in a unit passes on. No limit unless set.
        memory: Option<MemoryLimit> = None, MEMORY, such as "\"70%\"";
        /// After so many programs in a row that cannot be started or crash at once, the node pauses; 0: never.
        strikes: u32 = 3, Format {
            takes: "0 to 100",
            read: |node| integer(node, 0..=100),
            write: written,
        };
    }
}

table! {
    /// Keeping Blender between the frames of one job, where a job has a task for each: it then starts and loads its file
    /// once. It does what a larger chunk size of the job would do, no more and no less: a simulation that is not baked, or
    /// a script that expects to begin anew with each frame, shows the same differences.
    config.warm => WarmSettings {
        /// Whether to keep it. What it cannot do, or fails at, is rendered as without it.
        blender: bool = false, BOOLEAN;
        // Longer than the pause between two tasks of one job, also where the Manager has to be asked.
        /// After so long without work it ends. Until then it has its memory, and that of the GPU.
        idle: Duration = Duration::from_secs(20), PERIOD;
        // What Blender or an add-on loses with each render adds up.
        /// After so many tasks a new one is started.
        tasks: u32 = 50, Format {
            takes: "1 to 10000",
            read: |node| integer(node, 1..=10_000),
            write: written,
        };
        // The rest is for what the next task renders, and for the system.
        /// Above this it is not kept: other tasks need the memory, too. It is not kept either when it has grown by half
        /// since its first task and by 1 GiB more.
        memory: MemoryLimit = MemoryLimit::Percent(50), MEMORY_SHARE;
    }
}

table! {
    /// A machine at which somebody works, who goes first: while somebody is there, or has said `flamenco-worker pause`, no
    /// task is taken, and the one that runs does what is said here.
    config.presence => PresenceSettings {
        /// Where it is seen that somebody is there. "input": keyboards, mice and the like, whose devices this worker may read
        /// (group input); that something was pressed or moved, never what. Its renders may read them, too: only where all who
        /// send tasks are trusted. "terminal": somebody types in a terminal, here or
        /// over ssh. "session": the desktop's session, as long as it is neither idle nor locked; some desktops never call
        /// theirs idle. None: only `flamenco-worker pause` counts.
        sources: Vec<PresenceSource> = Vec::new(), PRESENCE_SOURCES;
        /// After so long without a sign of anybody nobody is there any more.
        idle: Duration = Duration::from_secs(600), PERIOD;
        /// "freeze": its programs stand still at once and go on later, where they were; memory and that of the GPU stay
        /// taken. "requeue": it is ended and goes back to the Manager, and all is free. "sleep": it goes on to its end.
        policy: PausePolicy = PausePolicy::Freeze, PAUSE_POLICY;
        /// One that stood still for so long goes back to the Manager: others may be waiting for it.
        limit: Duration = Duration::from_secs(7200), PERIOD;
    }
}

table! {
    /// What tasks may do on this node, whoever sends them. As soon as one of these keys is set, no task reads or writes the
    /// worker's own files (its home, its configuration, the files that it names; a certificate can be read) or makes a file right in
    /// the folders that lead to them, or to where a configuration would be found first; writes in /proc, /sys and control groups, signals or traces what is not its own, gains privileges,
    /// or runs a program of 32 bits. The kernel sees to it (Landlock), for programs and all they start; `doctor` says what this one can enforce,
    /// `check-config` what the rules come to.
    config.sandbox => SandboxSettings {
        // They are resolved when a program is to be started.
        /// What tasks may start: absolute paths, patterns such as "/opt/blender-*/blender", names on PATH. A link leads to one
        /// program and no further. What interprets a script may start with it; each program that the script calls needs an entry of
        /// its own. Any program unless set.
        programs: Option<Vec<String>> = None, PROGRAMS, such as "[\"/opt/blender-*/blender\", \"ffmpeg\"]";
        /// Below which folders tasks may write, beside their temporary directory, what the presets name, and devices such as
        /// /dev/null. Wherever the worker may unless set.
        write: Option<Vec<PathBuf>> = None, SOME_PATHS, such as "[\"/mnt/render\"]";
        /// Below which folders tasks may read, beside those in which they write, what the presets name, and, always, programs,
        /// libraries and what the system is like: /usr, /opt, /etc, /proc, /sys, /dev and some more, which `check-config` shows.
        /// Everything but the worker's own files unless set.
        read: Option<Vec<PathBuf>> = None, SOME_PATHS, such as "[\"/mnt/render\", \"/mnt/assets\"]";
        /// What tasks may reach. A list has ports of TCP, such as that of a licence server; with 53 in it names are looked up, and
        /// datagrams go to any port; nothing of the task listens, at a file neither (as some of Python's multiprocessing does). "none" is
        /// no program of this machine either; an empty list leaves those that listen at a file (an X server, D-Bus), which may do for
        /// a task what it may not.
        network: Network = Network::Any, NETWORK;
        /// What usual programs and drivers need beside that: "blender", "nvidia", "amd", "intel"; also where the user's home directory
        /// is the worker's home, as in the packages. `check-config` shows it.
        presets: Vec<Preset> = Vec::new(), PRESETS;
        /// Whether a kernel that cannot enforce a rule is a reason to take no task. Else it is said once, and enforced as far as it
        /// can be.
        require: bool = false, BOOLEAN;
    }
}

table! {
    /// What of the tasks is kept on this node.
    config.spool => SpoolLimits {
        // In bytes.
        /// Where the log of one task ends; a renderer gone mad must not fill the disk.
        task_log_limit: u64 = 1 << 30, TASK_LOG_LIMIT;
        /// How many tasks are kept for `flamenco-worker history`.
        history_tasks: usize = 50, Format {
            takes: "0 to 10000",
            read: |node| integer(node, 0..=10_000),
            write: written,
        };
    }
}
