// SPDX-License-Identifier: GPL-3.0-or-later

//! A machine with the worker's files in the places where the packages put them, and a Manager that it works for.

use std::path::Path;

use standin_manager::{Options, TaskStatus, WorkerStatus};

use crate::booted::Machine;
use test_bed::{Farm, Process, processes_of};

pub(crate) const UNIT: &str = "flamenco-worker.service";

/// Where the drop-ins of the package lie.
const DROP_INS: &str = "/usr/share/flamenco-worker/drop-ins";

/// A node under systemd. The machine goes last: what runs on it talks to the farm.
pub(crate) struct Node {
    pub(crate) farm: Farm,
    pub(crate) machine: Machine,
}

/// Short where waiting is not what is tested.
const TIMINGS: &str = r#"
[timings]
first_may_i_run = "50ms"
may_i_run = "200ms"
may_i_run_hinted = "200ms"
idle_min = "50ms"
idle_max = "200ms"
asleep_poll = "100ms"
backoff_min = "50ms"
backoff_max = "300ms"
log_flush = "100ms"
"#;

impl Node {
    /// Installed, configured, not started. `None`: not possible here, and said so.
    pub(crate) fn new() -> Option<Self> {
        let machine = Machine::boot()?;
        machine.copy(env!("CARGO_BIN_EXE_flamenco-worker"), "/usr/bin/flamenco-worker");
        let packaging = Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging/systemd");
        for (file, place) in [
            (
                "flamenco-worker.service",
                "/usr/lib/systemd/system/flamenco-worker.service",
            ),
            (
                "flamenco-worker@.service",
                "/usr/lib/systemd/system/flamenco-worker@.service",
            ),
            ("sysusers.conf", "/usr/lib/sysusers.d/flamenco-worker.conf"),
            ("tmpfiles.conf", "/usr/lib/tmpfiles.d/flamenco-worker.conf"),
        ] {
            machine.copy(packaging.join(file), place);
        }
        for file in std::fs::read_dir(packaging.join("drop-ins")).unwrap().flatten() {
            let name = file.file_name();
            machine.copy(file.path(), &format!("{DROP_INS}/{}", name.to_str().unwrap()));
        }
        machine.ok(&["systemd-sysusers", "flamenco-worker.conf"]);
        machine.ok(&["systemctl", "daemon-reload"]);
        let farm = machine.farm(Options::default());
        let node = Self { farm, machine };
        node.configure("", "");
        Some(node)
    }

    /// Enabled, started and awake.
    pub(crate) fn awake() -> Option<Self> {
        let node = Self::new()?;
        node.start();
        Some(node)
    }

    pub(crate) fn start(&self) {
        self.machine.ok(&["systemctl", "enable", "--now", UNIT]);
        self.farm.status(WorkerStatus::Awake);
    }

    /// `/etc/flamenco/worker.toml`, with more lines at its top and in its last table, `[timings]`.
    pub(crate) fn configure(&self, top: &str, timings: &str) {
        let manager = self.farm.manager.url();
        let text = format!("manager = \"{manager}\"\n{top}\n{TIMINGS}{timings}\n");
        self.machine.write("/etc/flamenco/worker.toml", &text);
    }

    /// Takes a drop-in of the package into use.
    pub(crate) fn drop_in(&self, name: &str) {
        self.machine
            .copy(self.machine.path(&format!("{DROP_INS}/{name}.conf")), &place(name));
        self.machine.ok(&["systemctl", "daemon-reload"]);
    }

    /// The test's own values for keys of `[Service]`.
    pub(crate) fn service(&self, lines: &str) {
        self.machine.write(&place("test"), &format!("[Service]\n{lines}\n"));
        self.machine.ok(&["systemctl", "daemon-reload"]);
    }

    /// The process of the worker, as the machine counts.
    pub(crate) fn pid(&self) -> String {
        self.machine.property(UNIT, "MainPID")
    }

    /// Waits until the unit is one of another process, and that is up.
    pub(crate) fn restarted(&self, old: &str) {
        self.machine.until("a new process of the unit", |machine| {
            let pid = machine.property(UNIT, "MainPID");
            (pid != "0" && pid != old && machine.property(UNIT, "ActiveState") == "active").then_some(())
        });
    }

    /// Waits until the status that `systemctl status` shows contains this.
    pub(crate) fn says(&self, text: &str) {
        self.machine.until(&format!("the status to say {text:?}"), |machine| {
            machine.property(UNIT, "StatusText").contains(text).then_some(())
        });
    }

    /// The programs of tasks on the machine, guards included.
    pub(crate) fn programs(&self) -> Vec<Process> {
        let is_program = |process: &Process| process.environment.contains("FLAMENCO_WORKER_MARK=");
        let all = processes_of(&self.machine.path("/proc"));
        all.into_iter().filter(is_program).collect()
    }

    /// Waits until no program runs.
    pub(crate) fn no_programs(&self) {
        self.machine
            .until("no program to run", |_| self.programs().is_empty().then_some(()));
    }

    /// The folder of the unit's control group, as it is seen from here. Not there: nobody is in it.
    pub(crate) fn group(&self) -> std::path::PathBuf {
        self.machine.path(&format!("/sys/fs/cgroup/system.slice/{UNIT}"))
    }

    /// `systemctl stop` gives this task back to the Manager, and ends well.
    pub(crate) fn stop_gives_back(&self, task: &str) {
        self.machine.ok(&["systemctl", "stop", UNIT]);
        self.stopped_well();
        assert_eq!(self.farm.outcomes(task), [""; 0]);
        assert_eq!(self.farm.manager.task(task).unwrap().status, TaskStatus::Queued);
    }

    /// Stopped, well, and nothing of it is left.
    pub(crate) fn stopped_well(&self) {
        self.machine.becomes(UNIT, "ActiveState", "inactive");
        assert_eq!(self.machine.property(UNIT, "Result"), "success");
        assert!(self.programs().is_empty(), "{:?}", self.programs());
        assert!(!self.group().exists());
    }
}

fn place(name: &str) -> String {
    format!("/etc/systemd/system/{UNIT}.d/{name}.conf")
}
