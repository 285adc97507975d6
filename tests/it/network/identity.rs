// SPDX-License-Identifier: GPL-3.0-or-later

//! Who this worker is, to the Manager: kept through everything but a deletion.

use std::io::Write as _;
use std::process::Command;

use nix::sys::signal::Signal;
use standin_manager::{Endpoint, Fault, FaultKind, WorkerStatus};

use super::count;
use test_bed::{Farm, Node};
use test_needs::{missing, not_root};

#[test]
fn c1_a_manager_that_is_down_at_the_first_start_is_waited_for_and_registered_with_once() {
    let farm = Farm::new();
    farm.manager.stop();
    let mut node = farm.node("node");
    node.start();
    node.until("the worker to miss its Manager", || node.log().contains("cannot"));
    farm.manager.start_again().unwrap();
    farm.awake();
    assert_eq!(count(&farm, Endpoint::Register), 1);
    assert_eq!(farm.manager.workers().len(), 1);
    node.finish();
}

#[test]
fn c10_a_worker_deleted_in_the_page_registers_anew_and_keeps_its_old_credentials_beside() {
    let (farm, mut node) = Farm::with_awake_node();
    let old = farm.worker();
    farm.running("echo running; while :; do sleep 0.02; done");
    farm.manager.delete_worker(&old).unwrap();
    farm.awake();
    assert_ne!(farm.worker(), old);
    assert_eq!(count(&farm, Endpoint::Register), 2);
    let beside = std::fs::read_dir(node.home())
        .unwrap()
        .flatten()
        .filter(|entry| std::fs::read_to_string(entry.path()).is_ok_and(|text| text.contains(&old)));
    assert_eq!(beside.count(), 1);
    node.signal(Signal::SIGTERM);
    assert_eq!(node.ended(), 0);
    node.nothing_left();
}

#[test]
fn g3_a_node_that_was_copied_with_its_credentials_says_so_and_works() {
    if std::fs::read_to_string("/etc/machine-id").map_or(0, |id| id.trim().len()) != 32 {
        return test_needs::skipped_with_remedy("this machine has no /etc/machine-id", "systemd-machine-id-setup");
    }
    let (farm, mut node) = Farm::with_awake_node();
    assert_eq!(node.stop(), 0);
    assert!(!node.log().contains("made on another machine"));
    let machine = node.home().join("machine");
    // What the same file says on the machine that the image was made of.
    std::fs::write(&machine, "0123456789abcdef0123456789abcdef\n").unwrap();
    farm.start(&mut node);
    let log = node.log();
    assert!(log.contains("made on another machine"), "{log}");
    assert!(log.contains("delete the file of its credentials"), "{log}");
    let task = farm.script("true");
    farm.completed(&task);
    // The advice for a machine that was only set up again.
    std::fs::remove_file(&machine).unwrap();
    assert_eq!(node.stop(), 0);
    for _ in 0..2 {
        farm.start(&mut node);
        assert_eq!(node.stop(), 0);
    }
    assert_eq!(node.log().matches("made on another machine").count(), 1);
    assert_eq!(farm.manager.workers().len(), 1);
    node.nothing_left();
}

#[test]
fn g4_a_question_about_the_program_beside_a_living_worker_never_signs_on() {
    let (farm, mut node) = Farm::with_awake_node();
    let seen = |endpoint| count(&farm, endpoint);
    let before = (
        seen(Endpoint::SignOn),
        seen(Endpoint::SignOff),
        seen(Endpoint::Register),
    );
    for (word, code) in [("-version", 0), ("--version", 0), ("-help", 0), ("-nonsense", 2)] {
        assert_eq!(node.command().arg(word).status().unwrap().code(), Some(code), "{word}");
    }
    let polls = seen(Endpoint::FetchTask);
    farm.asked(Endpoint::FetchTask, polls + 2);
    assert_eq!(
        before,
        (
            seen(Endpoint::SignOn),
            seen(Endpoint::SignOff),
            seen(Endpoint::Register)
        )
    );
    assert!(node.runs());
    node.finish();
}

#[test]
fn g5_a_host_that_was_renamed_has_the_same_worker_under_its_new_name() {
    if not_root() | missing("unshare") {
        return;
    }
    let (farm, mut node) = Farm::with_node();
    let start_as = |node: &mut Node, host: &str| {
        let worker = node.command();
        let script = r#"echo "$1" > /proc/sys/kernel/hostname || exit 99; shift; exec "$@""#;
        let mut command = Command::new("unshare");
        command.args(["--uts", "bash", "-c", script, "bash", host]);
        command.arg(worker.get_program()).args(worker.get_args());
        command.current_dir(&node.folder);
        command.envs(worker.get_envs().filter_map(|(name, value)| Some((name, value?))));
        command.env_remove("FLAMENCO_WORKER_NAME");
        node.start_with(&mut command);
        farm.wait("the worker to have the host's name", |farm| {
            let worker = farm.workers().next()?;
            (worker.name == host && worker.status == standin_manager::WorkerStatus::Awake).then(|| worker.id.clone())
        })
    };
    let first = start_as(&mut node, "old-name");
    assert_eq!(node.stop(), 0);
    assert_eq!(start_as(&mut node, "new-name"), first);
    assert_eq!(farm.manager.workers().len(), 1);
    node.finish();
}

#[test]
fn g8_a_home_in_use_on_another_host_is_refused_with_that_hosts_name() {
    let (farm, mut node) = Farm::with_node();
    std::fs::create_dir(node.home()).unwrap();
    let lock = std::fs::File::create(node.home().join("flamenco-worker.lock")).unwrap();
    lock.lock().unwrap();
    let held = "pid: 4711\nhost: render-17\nboot: x\nstarted: 2026-11-24T10:00:00Z\nversion: 0.1.0\n";
    (&lock).write_all(held.as_bytes()).unwrap();
    node.start();
    assert_eq!(node.ended(), 75);
    let log = node.log();
    assert!(
        log.contains("a worker on render-17, with process id 4711 there"),
        "{log}"
    );
    assert!(log.contains("set FLAMENCO_HOME"), "{log}");
    assert_eq!(farm.manager.requests().len(), 0);
}

#[test]
fn d3_a_home_that_cannot_be_used_is_refused_at_the_start() {
    let (farm, mut node) = Farm::with_node();
    std::fs::write(node.home(), "a file").unwrap();
    node.start();
    assert_eq!(node.ended(), 78);
    assert!(node.log().contains("is not a directory"), "{}", node.log());
    assert_eq!(farm.manager.requests().len(), 0);
}

/// Makes the secret of a worker another one than the Manager knows.
fn forget_secret(node: &Node) {
    let file = node.home().join("flamenco-worker-credentials.yaml");
    let text = std::fs::read_to_string(&file).unwrap();
    let (before, secret) = text.split_once("worker_secret: \"").unwrap();
    let other = if secret.starts_with('0') { "1" } else { "0" };
    std::fs::write(&file, format!("{before}worker_secret: \"{other}{}", &secret[1..])).unwrap();
}

#[test]
fn j9_register_gives_up_credentials_that_are_refused_once_and_keeps_those_that_hold() {
    let (farm, mut node) = Farm::with_awake_node();
    let old = farm.worker();
    assert_eq!(node.stop(), 0);
    node.arguments.push("-register".into());
    farm.start(&mut node);
    assert_eq!(node.stop(), 0);
    assert_eq!((farm.worker(), count(&farm, Endpoint::Register)), (old.clone(), 1));

    forget_secret(&node);
    node.start();
    farm.wait("a second worker", |farm| {
        farm.workers()
            .any(|worker| worker.id != old && worker.status == WorkerStatus::Awake)
            .then_some(())
    });
    let beside = std::fs::read_dir(node.home()).unwrap().flatten();
    let aside = beside.filter(|entry| entry.file_name().to_string_lossy().contains("-until-"));
    assert_eq!(aside.count(), 1);
    // Refused again it does not fill the Manager's list.
    let refused = FaultKind::Status {
        code: 403,
        headers: Vec::new(),
        body: "{\"message\":\"security requirements failed: authorization failed: no such worker known\"}\n".into(),
    };
    farm.fault(Fault::at(Endpoint::FetchTask, refused).forever());
    node.until("what can be done to be said", || {
        node.log().contains("start once with -register")
    });
    assert_eq!((farm.manager.workers().len(), count(&farm, Endpoint::Register)), (2, 2));
    farm.manager.clear_faults();
    node.finish();
}
