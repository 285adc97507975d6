// SPDX-License-Identifier: GPL-3.0-or-later

//! Whether somebody is at this machine. The devices are named pipes, in a `/dev` of the worker's own: what the kernel's uinput
//! makes of a keyboard would be everybody's, and machines that test have none.

mod desktop;

use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use nix::libc;
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use standin_manager::{TaskStatus, WorkerStatus};

use crate::small_disk::start_among_mounts;
use test_bed::{Farm, Node, logged, until};
use test_needs::missing;

/// A `/dev` with what programs need, and without input devices. (It may also be that the machine's own has some.)
const OWN_DEV: &str = "mkdir dev && mount --rbind /dev dev && mount -t tmpfs tmpfs /dev \
    && for name in null zero full random urandom tty ptmx; do : > /dev/$name && mount --bind dev/$name /dev/$name; done \
    && mkdir /dev/shm /dev/pts && mount --rbind dev/pts /dev/pts";

/// The same with terminals that nobody else has.
const OWN_TERMINALS: &str = "umount -l /dev/pts && mount -t devpts -o newinstance,ptmxmode=666 devpts /dev/pts \
    && umount /dev/ptmx && rm /dev/ptmx && ln -s pts/ptmx /dev/ptmx";

/// A node that looks for somebody by `sources`.
fn node_with(farm: &Farm, sources: &str, idle: &str) -> Node {
    let mut node = farm.node("node");
    let table = format!("[presence]\nsources = [{sources}]\nidle = \"{idle}\"");
    node.config.top.push(table);
    node
}

/// The same by input devices, at work. `None`, said aloud, where it cannot have a `/dev` of its own.
fn node_with_devices(farm: &Farm, idle: &str) -> Option<Node> {
    let mut node = node_with(farm, "\"input\"", idle);
    if !start_among_mounts(&mut node, OWN_DEV) {
        return None;
    }
    farm.status(WorkerStatus::Awake);
    Some(node)
}

/// Plugs in a device of this name.
fn plug(node: &Node, name: &str) -> PathBuf {
    let folder = PathBuf::from(format!("/proc/{}/root/dev/input", node.pid()));
    fs::create_dir_all(&folder).unwrap();
    let device = folder.join(name);
    mkfifo(&device, Mode::S_IRWXU).unwrap();
    device
}

/// Uses a device, as soon as the worker listens to it.
fn touch(node: &Node, device: &PathBuf) -> File {
    let open = || {
        let mut options = OpenOptions::new();
        options.write(true).custom_flags(libc::O_NONBLOCK).open(device).ok()
    };
    let mut opened = until("the worker to open the device", open, || node.log());
    opened.write_all(&[0; 24]).unwrap();
    opened
}

#[test]
fn m10_a_device_that_comes_and_is_used_keeps_tasks_away_until_it_has_been_idle() {
    let farm = Farm::new();
    let Some(node) = node_with_devices(&farm, "1500ms") else {
        return;
    };
    let device = plug(&node, "event90");
    let held = touch(&node, &device);
    farm.status(WorkerStatus::Asleep);
    let task = farm.script("echo rendered");
    farm.completed(&task);
    farm.status(WorkerStatus::Awake);
    let log = node.log();
    let at = |text: &str| log.find(text).unwrap_or_else(|| panic!("{text:?} is not in {log}"));
    let here = at("somebody is at this machine");
    let gone = at("nobody is at this machine any more");
    assert!(here < gone && gone < at("running task"), "{log}");
    drop(held);
    // Unplugged: nobody is there because of that.
    fs::remove_file(&device).unwrap();
    farm.completed(&farm.script("echo rendered"));
    assert_eq!(node.log().matches("somebody is at this machine").count(), 1);
    node.finish();
}

#[test]
fn m10_all_of_a_task_stands_still_when_a_key_is_pressed_and_goes_on_when_nobody_is_there() {
    let farm = Farm::new();
    let Some(node) = node_with_devices(&farm, "1500ms") else {
        return;
    };
    let device = plug(&node, "event90");
    let works = "until [ -e go ]; do sleep 0.05; done";
    let script = format!("for i in $(seq 20); do (setsid sh -c 'echo $$ >> pids; {works}') & done; {works}; wait");
    let task = farm.script(&script);
    let pids = || -> Vec<i32> {
        let noted = fs::read_to_string(node.folder.join("pids")).unwrap_or_default();
        noted.lines().filter_map(|pid| pid.parse().ok()).collect()
    };
    node.until("all to work", || pids().len() == 20);
    let held = touch(&node, &device);
    // Somebody goes on typing until that is seen, however busy this machine is.
    node.until("all to stand still", || {
        (&held).write_all(&[0; 24]).unwrap();
        pids().into_iter().all(is_stopped)
    });
    logged(&node, "somebody is at this machine source=input");
    fs::write(node.folder.join("go"), "").unwrap();
    farm.completed(&task);
    assert!(node.log().contains("nobody is at this machine any more"));
    drop(held);
    node.finish();
}

/// Whether a signal has stopped it, or the child that it waits for since a vfork.
fn is_stopped(pid: i32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ")
        .is_some_and(|(_, rest)| rest.starts_with(['T', 'D']))
}

#[test]
fn m10_a_terminal_of_a_task_is_nobodys_and_another_is_somebodys() {
    if missing("script") {
        return;
    }
    let farm = Farm::new();
    let mut node = node_with(&farm, "\"terminal\"", "1d");
    if !start_among_mounts(&mut node, &format!("{OWN_DEV} && {OWN_TERMINALS}")) {
        return;
    }
    farm.status(WorkerStatus::Awake);
    // The terminal reads what is typed for it.
    let types = |gate: &str| {
        let (gate, typescript) = (node.folder.join(gate), node.folder.join("typescript"));
        format!(
            "(echo typed; until [ -e {gate:?} ]; do sleep 0.05; done) | script -qec 'cat; echo ended' {typescript:?}"
        )
    };
    let task = farm.script(&types("go"));
    logged(&node, "terminals of tasks were used");
    assert!(!node.log().contains("somebody is at this machine"), "{}", node.log());
    fs::write(node.folder.join("go"), "").unwrap();
    farm.completed(&task);
    let mut person = Command::new("nsenter")
        .args(["--user", "--mount", "--preserve-credentials", "--target"])
        .args([&node.pid().to_string(), "sh", "-c"])
        .arg(types("gone"))
        .current_dir(&node.folder)
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    farm.status(WorkerStatus::Asleep);
    logged(&node, "somebody is at this machine source=terminal");
    fs::write(node.folder.join("gone"), "").unwrap();
    person.wait().unwrap();
    node.finish();
}

#[test]
fn m12_a_reload_forgets_nobody_and_goes_on_counting() {
    let farm = Farm::new();
    let Some(node) = node_with_devices(&farm, "4s") else {
        return;
    };
    let device = plug(&node, "event90");
    let held = touch(&node, &device);
    farm.status(WorkerStatus::Asleep);
    let task = farm.script("echo rendered");
    reload(&node);
    drop(held);
    let log = node.log();
    let reloaded = log.find("taking over from the worker").unwrap();
    assert_eq!(farm.reaches(&task, TaskStatus::Queued).status, TaskStatus::Queued);
    farm.completed(&task);
    let log = node.log();
    let gone = log.find("nobody is at this machine any more").unwrap();
    assert!(reloaded < gone, "{log}");
    assert_eq!(log.matches("somebody is at this machine").count(), 1, "{log}");
    node.finish();
}

fn reload(node: &Node) {
    let answer = node.command().arg("reload").stdin(Stdio::null()).output().unwrap();
    assert!(answer.status.success(), "{answer:?}\n{}", node.log());
}

/// A bus with nobody on it but us.
struct RealBus(Child);

impl RealBus {
    fn start(node: &Node) -> Self {
        let address = format!("unix:path={}/bus", node.folder.display());
        let daemon = Command::new("dbus-daemon")
            .args(["--session", "--nofork", "--nopidfile", "--address", &address])
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        Self(daemon.unwrap())
    }
}

impl Drop for RealBus {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

#[test]
fn m12_what_cannot_be_had_is_said_once_and_the_worker_works() {
    if missing("dbus-daemon") {
        return;
    }
    let farm = Farm::new();
    let mut node = node_with(&farm, "\"session\"", "1s");
    let address = format!("unix:path={}/bus", node.folder.display());
    node.environment
        .push(("DBUS_SYSTEM_BUS_ADDRESS".into(), address.into()));
    farm.start(&mut node);
    logged(
        &node,
        "does not tell whether somebody is here: no connection to the bus",
    );
    // It is found when it is there; there is no logind.
    let bus = RealBus::start(&node);
    logged(&node, "Name \"org.freedesktop.login1\" does not exist");
    farm.completed(&farm.script("echo rendered"));
    drop(bus);
    let said = node.log().matches("does not tell whether somebody is here").count();
    assert!((2..4).contains(&said), "{}", node.log());
    node.finish();
}
