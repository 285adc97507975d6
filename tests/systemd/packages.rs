// SPDX-License-Identifier: GPL-3.0-or-later

//! The packages, made of the program that is tested: installed, upgraded, removed, purged.

use std::path::PathBuf;
use std::process::Command;
use std::sync::LazyLock;

use standin_manager::{Options, WorkerStatus};
use tempfile::TempDir;

use crate::booted::Machine;
use crate::installed::{Node, UNIT};
use crate::reloading::MidTask;
use test_needs::missing;

const WORKER: &str = env!("CARGO_BIN_EXE_flamenco-worker");
/// A second worker, to be left alone.
const OTHER: &str = "flamenco-worker@gpu0.service";

/// How the names begin of what Cargo tells the process of a test. Told to another Cargo, build scripts begin anew, and with them
/// half of what is built, two minutes of it; and once more when the next test is built.
const OF_THIS_TEST: [&str; 4] = ["CARGO_MANIFEST_", "CARGO_PKG_", "FLAMENCO_WORKER_", "OUT_DIR"];

/// Both packages in both revisions. They take a while, so they are made once.
static PACKAGES: LazyLock<TempDir> = LazyLock::new(|| {
    let folder = tempfile::tempdir().unwrap();
    for revision in ["1", "2"] {
        let mut build = Command::new("packaging/build");
        build.args(["--quick", "--binary", WORKER, "--revision", revision, "--out"]);
        build.arg(folder.path().join(revision));
        for (name, _) in std::env::vars_os() {
            let text = name.to_string_lossy();
            if OF_THIS_TEST.iter().any(|start| text.starts_with(start)) {
                build.env_remove(&name);
            }
        }
        let output = build.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    folder
});

fn package(revision: &str, extension: &str) -> PathBuf {
    let files = std::fs::read_dir(PACKAGES.path().join(revision)).unwrap().flatten();
    let mut paths = files.map(|file| file.path());
    let found = paths.find(|path| path.extension().is_some_and(|found| found == extension));
    found.unwrap()
}

/// A machine without the worker. `None`: not possible here, and said so.
fn node() -> Option<Node> {
    let tools = std::env::var_os("PACKAGING_TOOLS").map_or_else(|| PathBuf::from("target/tools"), PathBuf::from);
    let there = |name: &str| {
        let mut files = std::fs::read_dir(&tools).into_iter().flatten().flatten();
        files.any(|file| file.file_name().to_string_lossy().starts_with(name))
    };
    if !(there("cargo-deb-") && there("cargo-generate-rpm-")) {
        test_needs::skipped_with_remedy("the tools that pack are not built", "packaging/build --tools");
        return None;
    }
    let machine = Machine::boot()?;
    let farm = machine.farm(Options::default());
    Some(Node { farm, machine })
}

fn install(node: &Node, revision: &str) -> String {
    node.machine.copy(package(revision, "deb"), "/tmp/worker.deb");
    node.machine.ok(&["dpkg", "--install", "/tmp/worker.deb"])
}

fn installed() -> Option<Node> {
    let node = node()?;
    install(&node, "1");
    node.configure("", "");
    Some(node)
}

/// What a process runs is what lies there now.
fn is_the_installed_program(node: &Node, pid: &str) {
    let program = node.machine.ok(&["readlink", &format!("/proc/{pid}/exe")]);
    assert_eq!(program, "/usr/bin/flamenco-worker");
}

fn is_there(machine: &Machine, path: &str) -> bool {
    machine.path(path).symlink_metadata().is_ok()
}

#[test]
fn installed_it_is_not_started_and_says_what_to_do() {
    let Some(node) = node() else { return };
    let said = install(&node, "1");
    assert!(
        said.contains(
            "set `manager` in /etc/flamenco/worker.toml, or leave it to be found, then: systemctl enable --now"
        ),
        "{said}"
    );
    assert_eq!(node.machine.property(UNIT, "ActiveState"), "inactive");
    assert_eq!(node.machine.property(UNIT, "UnitFileState"), "disabled");
    node.machine.ok(&["id", "flamenco-worker"]);
    // Started all the same, it searches.
    node.machine.ok(&["systemctl", "start", UNIT]);
    node.says("waiting for a Manager to answer on the networks of this machine");
    // As the message has it; read again, the search is over.
    node.configure("", "");
    node.machine.ok(&["systemctl", "reload", UNIT]);
    node.farm.status(WorkerStatus::Awake);
    for page in ["flamenco-worker.1.gz", "flamenco-worker.toml.5.gz"] {
        let section = page.chars().rev().nth(3).unwrap();
        assert!(is_there(&node.machine, &format!("/usr/share/man/man{section}/{page}")));
    }
}

#[test]
fn b8_in_an_upgrade_the_render_goes_on_and_its_worker_becomes_the_new_program() {
    let Some(node) = installed() else { return };
    node.start();
    let render = MidTask::of(&node);
    let said = install(&node, "2");
    assert!(!said.contains("flamenco-worker: "), "{said}");
    is_the_installed_program(&node, &node.pid());
    render.goes_on(&node);
    render.ends_well(&node);
    assert_eq!(node.machine.property(OTHER, "ActiveState"), "inactive");
    assert_eq!(node.farm.manager.workers().len(), 1, "it is the same worker");
}

#[test]
fn b8_what_cannot_be_reloaded_is_restarted_and_its_task_goes_back() {
    let Some(node) = installed() else { return };
    // As one of a version that knows no reload.
    node.service("ExecReload=\nExecReload=/bin/false");
    node.start();
    let old = node.pid();
    let task = node
        .farm
        .script("[ -e /tmp/again ] && exit; touch /tmp/again; echo running; exec sleep 1000");
    node.farm.says(&task, "> running");
    let said = install(&node, "2");
    assert!(
        said.contains("flamenco-worker.service cannot be reloaded and is restarted"),
        "{said}"
    );
    node.restarted(&old);
    node.farm.completed(&task);
}

#[test]
fn b8_where_the_new_program_could_not_start_the_old_one_goes_on() {
    let Some(node) = installed() else { return };
    node.start();
    let render = MidTask::of(&node);
    node.configure("nice = \"very\"", "");
    let said = install(&node, "2");
    assert!(said.contains("flamenco-worker.service goes on as it was"), "{said}");
    render.goes_on(&node);
    render.ends_well(&node);
}

#[test]
fn an_upgrade_starts_nothing_that_was_stopped() {
    let Some(node) = installed() else { return };
    node.machine.ok(&["systemctl", "enable", UNIT]);
    node.machine.ok(&["systemctl", "start", OTHER]);
    let other = node.machine.property(OTHER, "MainPID");
    install(&node, "2");
    assert_eq!(node.machine.property(OTHER, "MainPID"), other);
    is_the_installed_program(&node, &other);
    assert_eq!(node.machine.property(UNIT, "ActiveState"), "inactive");
    assert_eq!(node.machine.property(UNIT, "UnitFileState"), "enabled");
}

#[test]
fn removed_it_leaves_configuration_and_home_and_purged_nothing_but_its_user() {
    let Some(node) = installed() else { return };
    node.start();
    node.machine.ok(&["systemctl", "start", OTHER]);
    let listed = node.machine.ok(&["dpkg", "--listfiles", "flamenco-worker"]);
    node.machine.ok(&["dpkg", "--remove", "flamenco-worker"]);
    node.farm.status(WorkerStatus::Offline);
    node.no_programs();
    let homes = ["/var/lib/flamenco-worker", "/var/lib/flamenco-worker@gpu0"];
    for path in homes.into_iter().chain(["/etc/flamenco/worker.toml"]) {
        assert!(is_there(&node.machine, path), "{path}");
    }
    node.machine.ok(&["dpkg", "--purge", "flamenco-worker"]);
    let ours = listed.lines().filter(|path| path.contains("flamenco"));
    let wanted = "/etc/systemd/system/multi-user.target.wants/flamenco-worker.service";
    for path in ours.chain(homes).chain([wanted, "/etc/flamenco"]) {
        assert!(!is_there(&node.machine, path), "{path}");
    }
    node.machine.ok(&["id", "flamenco-worker"]);
}

/// RPM on a machine of Debian's: its own files and scripts, not what it depends on.
#[test]
fn the_rpm_does_the_same() {
    let Some(node) = node() else { return };
    if missing("rpm") {
        return;
    }
    node.machine.ok(&["rpm", "--initdb"]);
    let rpm = |words: &[&str]| node.machine.ok(&[&["rpm", "--nodeps"], words].concat());
    for revision in ["1", "2"] {
        node.machine
            .copy(package(revision, "rpm"), &format!("/tmp/{revision}.rpm"));
    }
    let said = rpm(&["--install", "/tmp/1.rpm"]);
    assert!(said.contains("systemctl enable --now"), "{said}");
    assert_eq!(node.machine.property(UNIT, "ActiveState"), "inactive");
    node.configure("", "");
    node.start();
    let old = node.pid();
    let said = rpm(&["--upgrade", "/tmp/2.rpm"]);
    assert_eq!(said, "", "nothing to say to who has it configured");
    assert_eq!(node.pid(), old);
    is_the_installed_program(&node, &old);
    rpm(&["--erase", "flamenco-worker"]);
    node.farm.status(WorkerStatus::Offline);
    assert!(!is_there(&node.machine, "/usr/bin/flamenco-worker"));
    assert!(is_there(&node.machine, "/var/lib/flamenco-worker"));
    assert!(
        is_there(&node.machine, "/etc/flamenco/worker.toml.rpmsave"),
        "it was changed"
    );
}

#[test]
fn the_packages_hold_what_their_systems_ask_for() {
    if node().is_none() {
        return;
    }
    let deb = package("1", "deb");
    if !missing("lintian") {
        let output = Command::new("lintian")
            .args(["--fail-on", "error,warning"])
            .arg(&deb)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{said}");
    }
    let sums = std::fs::read_to_string(PACKAGES.path().join("1/SHA256SUMS")).unwrap();
    assert_eq!(sums.lines().count(), 3, "{sums}");
    let one = std::fs::read(package("1", "gz")).unwrap();
    assert_eq!(
        one,
        std::fs::read(package("2", "gz")).unwrap(),
        "packed twice, the tarball differs"
    );
}
