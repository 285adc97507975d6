// SPDX-License-Identifier: GPL-3.0-or-later

//! What a service manager is told, by a worker whose `NOTIFY_SOCKET` is the test's own. `tests/systemd` has the real one.

use std::ffi::OsString;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::json;
use standin_manager::{CommandSpec, JobSpec, TaskSpec, TaskStatus, When, WorkerStatus};
use tokio::time::Instant;

use test_bed::{Farm, Node, PATIENCE, Strace, bash, logged};

/// The other end of a node's notifications.
pub(crate) struct Ear(UnixDatagram);

impl Ear {
    /// A path in the node's folder.
    pub(crate) fn of(node: &mut Node) -> Self {
        let path = node.folder.join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        Self::named(node, socket, path.into())
    }

    fn named(node: &mut Node, socket: UnixDatagram, name: OsString) -> Self {
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        node.environment.push(("NOTIFY_SOCKET".into(), name));
        Self(socket)
    }

    /// The next message.
    fn hear(&self) -> String {
        let mut buffer = [0; 4096];
        let length = self.0.recv(&mut buffer).expect("a message in time");
        String::from_utf8(buffer[..length].to_vec()).unwrap()
    }

    /// All that is said up to a message that contains `text`, and that one.
    pub(crate) fn until(&self, text: &str) -> Vec<String> {
        let mut heard = Vec::new();
        let end = Instant::now() + PATIENCE;
        while !heard.last().is_some_and(|last: &String| last.contains(text)) {
            assert!(Instant::now() < end, "waited in vain for {text:?}: {heard:?}");
            heard.push(self.hear());
        }
        heard
    }

    /// Waits until nothing is said for so long, and counts what was said before.
    pub(crate) fn until_silent_for(&self, time: Duration) -> usize {
        self.0.set_read_timeout(Some(time)).unwrap();
        let end = Instant::now() + PATIENCE;
        let count = std::iter::from_fn(|| self.0.recv(&mut [0; 4096]).ok())
            .inspect(|_| assert!(Instant::now() < end, "it does not fall silent"))
            .count();
        self.0.set_read_timeout(Some(PATIENCE)).unwrap();
        count
    }
}

/// A node with an ear at it, awake.
fn heard_node(farm: &Farm, timings: &[(&'static str, &'static str)]) -> (Node, Ear) {
    let mut node = farm.node("node");
    let ear = Ear::of(&mut node);
    node.config.timings.extend(timings);
    node.environment.push(("WATCHDOG_USEC".into(), "400000".into()));
    farm.start(&mut node);
    (node, ear)
}

#[test]
fn ready_is_said_before_the_manager_is_there_and_the_end_comes_last() {
    let (farm, mut node) = Farm::with_node();
    let ear = Ear::of(&mut node);
    farm.manager.stop();
    node.start();
    assert_eq!(ear.hear(), "READY=1");
    let waits = ear.until("Connection refused");
    assert!(
        waits.last().unwrap().starts_with("STATUS=waiting for http://"),
        "{waits:?}"
    );
    farm.manager.start_again().unwrap();
    ear.until("STATUS=idle, no task yet");
    farm.ask(WorkerStatus::Asleep, When::Now);
    ear.until("STATUS=asleep: asked by the Manager");
    node.signal(Signal::SIGTERM);
    assert_eq!(node.ended(), 0);
    let end = ear.until("STATUS=left: shutting down on a signal");
    assert!(end.contains(&"STOPPING=1".to_owned()), "{end:?}");
    assert_eq!(ear.until_silent_for(Duration::from_millis(1)), 0);
    node.nothing_left();
}

#[test]
fn e15_a_broken_configuration_is_never_ready() {
    let (_farm, mut node) = Farm::with_node();
    let ear = Ear::of(&mut node);
    node.config.top.push("nice = \"very\"".into());
    node.start();
    assert_eq!(node.ended(), 78);
    assert_eq!(ear.until_silent_for(Duration::from_millis(1)), 0);
}

#[test]
fn an_abstract_socket_is_as_good_and_no_program_sees_either() {
    let (farm, mut node) = Farm::with_node();
    let name = format!("flamenco-it-{}-abstract", std::process::id());
    let socket = UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
    let ear = Ear::named(&mut node, socket, format!("@{name}").into());
    node.start();
    assert_eq!(ear.hear(), "READY=1");
    let task = farm.script("echo socket: $NOTIFY_SOCKET.");
    farm.completed(&task);
    assert!(farm.log(&task).contains("> socket: .\n"), "{}", farm.log(&task));
    node.finish();
}

#[test]
fn the_status_follows_a_task_step_by_step_and_at_most_once_a_second() {
    let farm = Farm::new();
    let (node, ear) = heard_node(&farm, &[]);
    let commands = [
        bash("until [ -e one ]; do sleep 0.02; done"),
        bash("until [ -e two ]; do sleep 0.02; done"),
    ];
    let spec = commands.into_iter().fold(TaskSpec::new("task"), TaskSpec::command);
    let task = farm.job(JobSpec::new("job").task(spec)).remove(0);
    ear.until("STATUS=running step 1 of 2 of task");
    std::fs::write(node.folder.join("one"), "").unwrap();
    let begun = Instant::now();
    let steps = ear.until("STATUS=running step 2 of 2 of task");
    let told = steps.iter().filter(|message| message.starts_with("STATUS=")).count();
    assert!(
        told <= 1 + usize::try_from(begun.elapsed().as_secs()).unwrap(),
        "{steps:?}"
    );
    std::fs::write(node.folder.join("two"), "").unwrap();
    farm.completed(&task);
    ear.until("STATUS=idle, last task less than a minute ago");
    node.finish();
}

#[test]
fn e13_life_is_shown_through_a_long_task_and_not_by_a_process_that_stands_still() {
    let farm = Farm::new();
    let (node, ear) = heard_node(&farm, &[]);
    let task = farm.script("until [ -e go ]; do sleep 0.02; done");
    farm.reaches(&task, TaskStatus::Active);
    for _ in 0..5 {
        ear.until("WATCHDOG=1");
    }
    node.signal(Signal::SIGSTOP);
    ear.until_silent_for(Duration::from_secs(1));
    node.signal(Signal::SIGCONT);
    ear.until("WATCHDOG=1");
    std::fs::write(node.folder.join("go"), "").unwrap();
    farm.completed(&task);
    node.finish();
}

#[test]
fn e13_an_absent_manager_ends_the_signs_of_life_only_where_that_is_configured() {
    let farm = Farm::new();
    let (node, ear) = heard_node(&farm, &[("watchdog_contact", "1s")]);
    ear.until("WATCHDOG=1");
    farm.manager.stop();
    // More than a turn of the beat; whatever else there is to say has been said by then.
    ear.until_silent_for(Duration::from_secs(2));
    farm.manager.start_again().unwrap();
    ear.until("WATCHDOG=1");
    node.finish();
}

#[test]
fn e4_e5_a_drain_asks_for_time_at_once_and_stops_only_at_its_end() {
    let farm = Farm::new();
    let (mut node, ear) = heard_node(&farm, &[]);
    let task = farm.running("echo running; until [ -e go ]; do sleep 0.02; done");
    node.signal(Signal::SIGQUIT);
    ear.until("EXTEND_TIMEOUT_USEC=");
    let between = ear.until("STATUS=the last task before leaving: running task");
    assert!(
        !between.contains(&"STOPPING=1".to_owned()),
        "systemd would pass on no TERM from here on"
    );
    for _ in 0..3 {
        ear.until("EXTEND_TIMEOUT_USEC=");
    }
    std::fs::write(node.folder.join("go"), "").unwrap();
    assert_eq!(node.ended(), 0);
    assert_eq!(farm.completed(&task).status, TaskStatus::Completed);
    ear.until("STOPPING=1");
    node.nothing_left();
}

#[test]
fn e5_a_drain_ends_its_task_at_the_limit() {
    let farm = Farm::new();
    let (mut node, _ear) = heard_node(&farm, &[("drain_limit", "500ms"), ("grace", "100ms")]);
    let task = farm.running("trap '' TERM; echo running; while :; do sleep 0.02; done");
    node.signal(Signal::SIGQUIT);
    assert_eq!(node.ended(), 0);
    assert_eq!(farm.manager.task(&task).unwrap().status, TaskStatus::Queued);
    assert_eq!(farm.outcomes(&task), [""; 0]);
    node.nothing_left();
}

/// What cannot be handed over may take hours, and `systemctl reload` waits for READY: an upgrade of the package with it.
#[test]
fn g7_a_reload_that_waits_for_work_on_files_is_soon_over_for_systemd_and_happens_all_the_same() {
    let farm = Farm::new();
    let (node, ear) = heard_node(&farm, &[]);
    ear.until("STATUS=idle");
    let (src, dest) = (node.folder.join("big"), node.folder.join("copy"));
    std::fs::File::create(&src).unwrap().set_len(64 << 20).unwrap();
    // Each piece of 4 MiB.
    let Some(strace) = Strace::attach(&node, node.pid(), "copy_file_range:delay_enter=2s", true) else {
        return;
    };
    let task = farm.task(&[CommandSpec::new("copy-file", json!({ "src": src, "dest": dest }))]);
    farm.reaches(&task, TaskStatus::Active);
    ear.until("STATUS=running");
    node.signal(Signal::SIGHUP);
    ear.until("RELOADING=1");
    ear.until("READY=1");
    assert!(!node.log().contains("taking over"), "{}", node.log());
    strace.detach();
    farm.completed(&task);
    ear.until("READY=1");
    logged(&node, "taking over from the worker that this process was");
    assert_eq!(std::fs::metadata(&dest).unwrap().len(), 64 << 20);
    node.finish();
}

#[test]
fn g7_a_configuration_that_is_broken_while_a_reload_waits_does_not_end_the_task() {
    let farm = Farm::new();
    let (mut node, ear) = heard_node(&farm, &[]);
    ear.until("STATUS=idle");
    let (src, dest) = (node.folder.join("big"), node.folder.join("copy"));
    std::fs::File::create(&src).unwrap().set_len(8 << 20).unwrap();
    let Some(strace) = Strace::attach(&node, node.pid(), "copy_file_range:delay_enter=2s", true) else {
        return;
    };
    let copy = CommandSpec::new("copy-file", json!({ "src": src, "dest": dest }));
    let task = farm.task(&[copy, bash("until [ -e go ]; do sleep 0.02; done")]);
    ear.until("STATUS=running");
    node.signal(Signal::SIGHUP);
    logged(&node, "takes over");
    node.config.top.push("nice = \"very\"".into());
    node.write_config();
    logged(&node, "this process goes on as it was");
    strace.detach();
    // Nobody had heard what was said meanwhile.
    ear.until("READY=1");
    logged(&node, "going on with task");
    std::fs::write(node.folder.join("go"), "").unwrap();
    farm.completed(&task);
    assert_eq!(farm.outcomes(&task), ["completed"]);
    // It hears signals as before.
    node.finish();
}

#[test]
fn g7_reading_the_configuration_again_is_told_with_its_end() {
    let farm = Farm::new();
    let (node, ear) = heard_node(&farm, &[]);
    ear.until("STATUS=idle");
    node.signal(Signal::SIGHUP);
    let begun = ear.until("RELOADING=1");
    assert!(begun.last().unwrap().contains("\nMONOTONIC_USEC="), "{begun:?}");
    ear.until("READY=1");
    node.finish();
}
