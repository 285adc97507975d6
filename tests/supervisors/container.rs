// SPDX-License-Identifier: GPL-3.0-or-later

//! `contrib/container` without an engine: the first process of a pid namespace, in a root of its own that has nothing but
//! programs, their libraries, `/proc` and `/dev`; read-only but for the home and `/tmp`, as a user that no file knows.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use standin_manager::{Endpoint, Fault, FaultKind, TaskStatus, When, WorkerStatus};

use test_bed::{Farm, Node, logged, pass, until};
use test_needs::{missing, not_root};

const WORKER: &str = env!("CARGO_BIN_EXE_flamenco-worker");

/// A user of the host's numbers only.
const USER: u32 = 54_321;

/// Puts the root together, read-only, and enters it for good: `root home worker -- command`.
const ENTER: &str = r#"
root=$0 home=$1 worker=$2; shift 3
mount --bind "$root" "$root" && mount --bind "$worker" "$root/usr/bin/flamenco-worker" &&
mount -o remount,bind,ro "$root" && mount --bind "$home" "$root/var/lib/flamenco-worker" &&
mount -t proc proc "$root/proc" && mount --rbind /dev "$root/dev" && mount -t tmpfs -o mode=1777 tmp "$root/tmp" || exit 99
exec env -i PATH=/usr/bin:/bin FLAMENCO_HOME=/var/lib/flamenco-worker "$(command -v chroot)" --userspec=54321:54321 --groups= "$root" "$@"
"#;

struct Container {
    farm: Farm,
    node: Node,
    root: PathBuf,
    /// What is the first process: the worker, or an init with the worker below.
    init: &'static [&'static str],
}

impl Container {
    fn new(init: &'static [&'static str]) -> Option<Self> {
        let needed = ["unshare", "ldd"].iter().chain(init.first());
        if not_root() | (needed.filter(|program| missing(program)).count() > 0) {
            return None;
        }
        let (farm, mut node) = Farm::with_node();
        let root = node.folder.join("root");
        for folder in [
            "proc",
            "dev",
            "tmp",
            "usr/bin",
            "etc/flamenco",
            "var/lib/flamenco-worker",
        ] {
            fs::create_dir_all(root.join(folder)).unwrap();
        }
        let worker = root.join("usr/bin/flamenco-worker");
        fs::write(worker, "").unwrap();
        let programs = ["bash", "sleep", "setsid"]
            .iter()
            .chain(init.first())
            .map(|name| which(name));
        let programs: Vec<_> = programs.collect();
        let mut files: BTreeSet<_> = programs.iter().cloned().collect();
        files.extend(
            programs
                .iter()
                .chain([&WORKER.into()])
                .flat_map(|program| libraries(program)),
        );
        for file in files {
            let to = root.join(file.strip_prefix("/").unwrap());
            fs::create_dir_all(to.parent().unwrap()).unwrap();
            fs::copy(file, to).unwrap();
        }
        fs::create_dir(node.home()).unwrap();
        chown(node.home(), Some(USER), Some(USER)).unwrap();
        node.config.top.push(format!("manager = {:?}", node.url));
        let mut container = Self { farm, node, root, init };
        container.configure();
        Some(container)
    }

    fn configure(&mut self) {
        self.node.write_config();
        let name = "flamenco-worker.toml";
        fs::copy(self.node.folder.join(name), self.root.join("etc/flamenco").join(name)).unwrap();
    }

    fn start(&mut self) {
        let mut command = Command::new("unshare");
        command
            .args(["--mount", "--pid", "--fork", "--kill-child", "sh", "-c", ENTER])
            .args([&self.root, &self.node.home(), Path::new(WORKER), Path::new("--")])
            .args(self.init.iter().take(1).map(|init| which(init)))
            .args(self.init.iter().skip(1))
            .args(entry_point());
        self.node.start_with(&mut command);
    }

    fn awake(init: &'static [&'static str]) -> Option<Self> {
        let mut container = Self::new(init)?;
        container.start();
        container.farm.awake();
        Some(container)
    }

    /// To the first process of the container, as an engine sends it.
    fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.node.children()[0]), signal).unwrap();
    }

    fn stop(&mut self) -> i32 {
        self.signal(Signal::SIGTERM);
        self.node.ended()
    }
}

/// The entry point of the shipped image: all its stages have the same.
fn entry_point() -> Vec<String> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("contrib/container/Containerfile");
    let text = fs::read_to_string(file).unwrap();
    let mut all = text.lines().filter_map(|line| line.strip_prefix("ENTRYPOINT "));
    let first = all.next().unwrap();
    assert!(all.all(|other| other == first));
    serde_json::from_str(first).unwrap()
}

/// Where a program is.
fn which(program: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap();
    let mut found = std::env::split_paths(&path).map(|folder| folder.join(program));
    found.find(|file| file.is_file()).unwrap()
}

/// The libraries of a program, and what loads them.
fn libraries(program: &Path) -> Vec<PathBuf> {
    let output = Command::new("ldd").arg(program).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let words = text.split_whitespace().filter(|word| word.starts_with('/'));
    words.map(PathBuf::from).collect()
}

fn first_process(init: &'static [&'static str]) {
    let Some(mut container) = Container::awake(init) else {
        return;
    };
    let farm = &container.farm;
    // Its orphans have ended by the time the task is over.
    let task = farm.script("(setsid sleep 1000 &); (sleep 0.05 &); echo over");
    farm.completed(&task);
    assert!(farm.log(&task).contains("> over"));
    farm.ask(WorkerStatus::Restart, When::Now);
    assert_eq!(container.node.ended(), 47);
    container.start();
    let farm = &container.farm;
    farm.awake();
    farm.ask(WorkerStatus::Offline, When::Now);
    assert_eq!(container.node.ended(), 0);
    assert_eq!(container.farm.manager.workers().len(), 1);
    container.node.nothing_left();
}

fn stop(init: &'static [&'static str]) {
    let Some(mut container) = Container::awake(init) else {
        return;
    };
    let task = container
        .farm
        .script("trap '' TERM; (setsid sleep 1000 &); echo running; while :; do sleep 0.02; done");
    container.farm.says(&task, "> running");
    assert_eq!(container.stop(), 0);
    let farm = &container.farm;
    assert_eq!(farm.manager.task(&task).unwrap().status, TaskStatus::Queued);
    farm.status(WorkerStatus::Offline);
    assert_eq!(farm.requests(Endpoint::SignOff).len(), 1);
    container.node.nothing_left_but_files();
}

fn drain(init: &'static [&'static str]) {
    let Some(mut container) = Container::awake(init) else {
        return;
    };
    let task = container
        .farm
        .script("echo running; until [ -e go ]; do sleep 0.02; done");
    container.farm.says(&task, "> running");
    container.signal(Signal::SIGQUIT);
    logged(&container.node, "Drain");
    // The worker's current directory, which it cannot write to.
    fs::write(container.root.join("go"), "").unwrap();
    assert_eq!(container.node.ended(), 0);
    container.farm.completed(&task);
    container.node.nothing_left_but_files();
}

fn reload(init: &'static [&'static str]) {
    let Some(mut container) = Container::awake(init) else {
        return;
    };
    let task = container
        .farm
        .script("(setsid sleep 1000 &); echo running; until [ -e /go ]; do sleep 0.02; done; echo over");
    container.farm.says(&task, "> running");
    container.signal(Signal::SIGHUP);
    logged(&container.node, "going on with task");
    fs::write(container.root.join("go"), "").unwrap();
    container.farm.completed(&task);
    assert!(container.farm.log(&task).contains("> over"));
    assert_eq!(container.farm.outcomes(&task), ["completed"]);
    assert_eq!(container.stop(), 0);
    container.node.nothing_left_but_files();
}

fn killed(init: &'static [&'static str]) {
    let Some(mut container) = Container::awake(init) else {
        return;
    };
    let task = container.farm.script("(setsid sleep 1000 &); echo running; sleep 1000");
    container.farm.says(&task, "> running");
    container.signal(Signal::SIGKILL);
    assert_ne!(container.node.ended(), 0);
    container.node.nothing_left_but_files();
    container.start();
    let rerun = || (!container.node.marked().is_empty()).then_some(());
    until("the task to run again", rerun, || container.node.log());
    assert_eq!(container.stop(), 0);
    container.node.nothing_left_but_files();
}

fn hurried(init: &'static [&'static str]) {
    let Some(mut container) = Container::new(init) else {
        return;
    };
    container.node.set("grace", "10m").set("leave_flush", "10m");
    container.configure();
    container.start();
    let task = container
        .farm
        .script("trap 'echo ignored' TERM; echo running; while :; do sleep 0.02; done");
    container.farm.says(&task, "> running");
    container.farm.fault(Fault::anywhere(FaultKind::Hang).forever());
    container.signal(Signal::SIGTERM);
    logged(&container.node, "ending the task: the worker is shutting down");
    pass(Duration::from_millis(150));
    container.signal(Signal::SIGTERM);
    logged(&container.node, "now shutting down");
    pass(Duration::from_millis(150));
    assert_eq!(container.stop(), 130);
    container.node.nothing_left_but_files();
}

fn broken(init: &'static [&'static str]) {
    let Some(mut container) = Container::new(init) else {
        return;
    };
    container.node.config.top.push("push = \"perhaps\"".into());
    container.configure();
    container.start();
    assert_eq!(container.node.ended(), 78);
    assert!(
        container.node.log().contains("/etc/flamenco/flamenco-worker.toml:2"),
        "{}",
        container.node.log()
    );
}

/// The same tests with and without an init.
macro_rules! first_process {
    ($init:expr) => {
        #[test]
        fn e14_e7_restart_and_shut_down_end_with_their_codes() {
            super::first_process($init);
        }

        #[test]
        fn e14_e2_a_stop_in_mid_task_leaves_no_process_and_the_task_goes_back() {
            super::stop($init);
        }

        #[test]
        fn e14_e4_a_drain_finishes_the_task() {
            super::drain($init);
        }

        #[test]
        fn e14_g7_reloaded_its_task_goes_on() {
            super::reload($init);
        }

        #[test]
        fn e14_b1_with_its_first_process_killed_nothing_survives() {
            super::killed($init);
        }

        #[test]
        fn e14_e3_a_second_and_a_third_signal_hurry_it() {
            super::hurried($init);
        }

        #[test]
        fn e14_e15_a_broken_configuration_ends_with_78() {
            super::broken($init);
        }
    };
}

mod alone {
    first_process!(&[]);
}

mod below_tini {
    first_process!(&["tini", "--"]);
}
