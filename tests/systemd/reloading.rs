// SPDX-License-Identifier: GPL-3.0-or-later

//! `systemctl reload`: the worker of the unit becomes its successor, and its render goes on. An upgrade of the package does
//! the same: see `packages`.

use std::collections::BTreeSet;

use standin_manager::WorkerStatus;

use crate::installed::{Node, UNIT};

/// A task that talks without a pause until it finds the file [`GO`], and then says how much it has said.
const TALKS: &str =
    "echo below $PPID is $$; i=0; until [ -e go ]; do echo line $((i += 1)); sleep 0.002; done; echo all $i";

/// In the directory of the worker.
const GO: &str = "/var/lib/flamenco-worker/go";

/// The unit's worker in mid-task, with what must stay as it is over a reload.
pub(crate) struct MidTask {
    task: String,
    worker: String,
    /// The guard and its program.
    below: [i32; 2],
    /// When the unit was last something else than active or reloading.
    inactive: String,
}

impl MidTask {
    /// With a task that waits for [`ends_well`](Self::ends_well).
    pub(crate) fn of(node: &Node) -> Self {
        let task = node.farm.script(TALKS);
        node.farm.says(&task, "> line 1\n");
        let log = node.farm.log(&task);
        let pids = log.split("> below ").nth(1).unwrap().lines().next().unwrap();
        let (guard, program) = pids.split_once(" is ").unwrap();
        Self {
            task,
            worker: node.pid(),
            below: [guard, program].map(|pid| pid.parse().unwrap()),
            inactive: inactive(node),
        }
    }

    /// All of it goes on.
    pub(crate) fn goes_on(&self, node: &Node) {
        self.is_as_it_was(node);
        let programs: Vec<_> = node.programs().iter().map(|process| process.pid).collect();
        assert!(self.below.iter().all(|pid| programs.contains(pid)), "{programs:?}");
        let count = node.farm.log(&self.task).matches("> line").count();
        node.farm.says(&self.task, &format!("> line {}\n", count + 50));
    }

    /// The task ends, has ended well, once, and all that it said was heard.
    pub(crate) fn ends_well(self, node: &Node) {
        node.machine.write(GO, "");
        node.farm.completed(&self.task);
        assert_eq!(node.farm.outcomes(&self.task), ["completed"]);
        let log = node.farm.log(&self.task);
        let said = log.lines().filter_map(|line| Some(line.split_once("> ")?.1));
        let said: Vec<_> = said
            .filter(|said| said.starts_with("line ") || said.starts_with("all "))
            .collect();
        let count = said.len() - 1;
        let lines = (1..=count).map(|number| format!("line {number}"));
        assert_eq!(said, lines.chain([format!("all {count}")]).collect::<Vec<_>>());
        self.is_as_it_was(node);
    }

    fn is_as_it_was(&self, node: &Node) {
        assert_eq!(node.pid(), self.worker);
        assert_eq!(
            inactive(node),
            self.inactive,
            "the unit was neither active nor reloading"
        );
    }
}

/// Systemd notes it at each change.
fn inactive(node: &Node) -> String {
    node.machine.property(UNIT, "ActiveExitTimestampMonotonic")
}

#[test]
fn g7_in_mid_render_it_is_the_same_process_with_the_new_configuration_and_no_line_is_lost() {
    let Some(node) = Node::new() else { return };
    node.drop_in("hardened");
    node.start();
    let render = MidTask::of(&node);
    for level in ["debug", "info", "debug"] {
        node.configure(&format!("[log]\nlevel = \"{level}\"\n"), "");
        node.machine.ok(&["systemctl", "reload", UNIT]);
        render.goes_on(&node);
    }
    let journal = node.machine.journal(UNIT);
    assert_eq!(journal.matches(" goes on as flamenco-worker ").count(), 3, "{journal}");
    render.ends_well(&node);
    node.machine.ok(&["systemctl", "stop", UNIT]);
    node.stopped_well();
}

#[test]
fn g7_refused_it_says_why_and_all_stays_as_it_was() {
    let Some(node) = Node::awake() else { return };
    let render = MidTask::of(&node);
    let file = "/etc/flamenco/worker.toml";
    for (wrong, why) in [
        ("nice = \"very\"", "/etc/flamenco/worker.toml:1:8"),
        (
            "manager = \"https://farm\"\n[tls]\nca_file = \"/none\"",
            "goes on as it was: ",
        ),
        ("home = \"/var/lib/other\"", "no worker uses the home /var/lib/other"),
    ] {
        node.machine.write(file, &format!("{wrong}\n"));
        assert_ne!(node.machine.run(&["systemctl", "reload", UNIT]).code, 0, "{wrong}");
        let journal = node.machine.journal(UNIT);
        assert!(journal.contains(why), "{why}: {journal}");
        render.goes_on(&node);
    }
    node.configure("", "");
    node.machine.ok(&["systemctl", "reload", UNIT]);
    render.ends_well(&node);
}

#[test]
fn g7_idle_the_manager_hears_its_new_name_at_once() {
    let Some(node) = Node::awake() else { return };
    node.configure("worker_name = \"renamed\"", "");
    let pid = node.pid();
    node.machine.ok(&["systemctl", "reload", UNIT]);
    node.farm.wait("the new name", |farm| {
        let mut workers = farm.workers();
        workers
            .any(|worker| worker.name == "renamed" && worker.status == WorkerStatus::Awake)
            .then_some(())
    });
    assert_eq!(node.farm.manager.workers().len(), 1, "it is the same worker");
    assert_eq!(node.pid(), pid);
}

#[test]
fn a4_reloaded_memory_is_counted_as_before_and_nothing_is_left_in_the_units_group() {
    let Some(node) = Node::awake() else { return };
    let groups = || -> BTreeSet<String> {
        let below = std::fs::read_dir(node.group()).unwrap().flatten();
        let groups = below.filter(|entry| entry.path().is_dir());
        groups.map(|entry| entry.file_name().into_string().unwrap()).collect()
    };
    let used = || {
        let task = node.farm.script("grep ^0:: /proc/self/cgroup");
        node.farm.completed(&task);
        let log = node.farm.log(&task);
        assert!(log.contains(&format!("/system.slice/{UNIT}/flamenco-")), "{log}");
        log.contains("memory")
    };
    let (before, is_counted) = (groups(), used());
    for _ in 0..3 {
        node.machine.ok(&["systemctl", "reload", UNIT]);
        assert_eq!(used(), is_counted);
    }
    // Where systemd keeps what it starts beside the worker.
    let after: BTreeSet<_> = groups().into_iter().filter(|name| name != ".control").collect();
    assert_eq!(after, before);
}
