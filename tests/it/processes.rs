// SPDX-License-Identifier: GPL-3.0-or-later

//! Killing and awaiting children: a program is its tree, and nothing of it is left.

use std::path::Path;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::json;
use standin_manager::{CommandSpec, Endpoint, Fault, FaultKind, JobSpec, TaskSpec, TaskStatus, When, WorkerStatus};

use test_bed::{Farm, Node, bash, cancel, exec, farm_with_grace, file, lives, number, open_files, until};

#[test]
fn a1_a_cancelled_program_is_asked_politely_has_its_grace_and_is_not_reported() {
    let (farm, node) = farm_with_grace("10s");
    let task = farm
        .script("trap 'sleep 0.3; echo cleaned > cleaned; exit 3' TERM; echo running; while :; do sleep 0.02; done");
    farm.says(&task, "> running");
    cancel(&farm, &task);
    assert_eq!(file(&node.folder.join("cleaned")), "cleaned\n");
    assert_eq!(farm.outcomes(&task), [""; 0]);
    assert_eq!(farm.manager.task(&task).unwrap().status, TaskStatus::Canceled);
    node.childless();
    node.finish();
}

#[test]
fn a2_a_program_that_ignores_the_polite_signals_is_killed_at_the_deadline() {
    let (farm, node) = farm_with_grace("300ms");
    let task = farm.running("trap '' INT TERM HUP QUIT; echo $$ > pid; echo running; while :; do sleep 0.02; done");
    let pid = number(&node.folder.join("pid"));
    cancel(&farm, &task);
    assert!(!lives(pid));
    assert_eq!(farm.outcomes(&task), [""; 0]);
    node.childless();
    node.finish();
}

#[test]
fn a3_what_a_wrapper_started_dies_with_it() {
    let (farm, node) = farm_with_grace("10s");
    let task = farm.running("sleep 1000 & echo $! > pid; echo running; wait");
    let pid = number(&node.folder.join("pid"));
    cancel(&farm, &task);
    assert!(!lives(pid));
    node.childless();
    node.finish();
}

#[test]
fn a4_a_descendant_in_a_session_of_its_own_still_dies() {
    let (farm, node) = farm_with_grace("10s");
    let script = "setsid bash -c 'echo $$ > one; exec sleep 1000' & \
                  (setsid bash -c 'echo $$ > two; exec sleep 1000' &) ; \
                  until [ -s one ] && [ -s two ]; do sleep 0.01; done; echo running; sleep 1000";
    let task = farm.running(script);
    let pids = ["one", "two"].map(|name| number(&node.folder.join(name)));
    assert!(pids.iter().all(|pid| lives(*pid)));
    cancel(&farm, &task);
    assert!(pids.iter().all(|pid| !lives(*pid)));
    node.childless();
    node.finish();
}

#[test]
fn a6_a_descendant_that_holds_the_output_does_not_hold_the_task() {
    let (farm, node) = Farm::with_awake_node();
    let task = farm.script("sleep 1000 & echo ending; exit 0");
    farm.completed(&task);
    let log = farm.log(&task);
    assert!(log.contains("> ending"), "{log}");
    assert!(
        log.lines().any(|line| line.contains("sleep") && line.contains("left")),
        "the leak is not named: {log}"
    );
    let task = farm.script("sleep 1000 & exit 7");
    farm.failed(&task);
    assert!(farm.log(&task).contains("exited abnormally with code 7"));
    node.childless();
    node.finish();
}

#[test]
fn a8_an_abort_before_the_program_starts_starts_nothing() {
    let (farm, mut node) = Farm::with_awake_node();
    farm.fault(
        Fault::at(
            Endpoint::FetchTask,
            FaultKind::DelayAnswer(std::time::Duration::from_millis(400)),
        )
        .forever(),
    );
    let task = farm.script("touch ran");
    farm.reaches(&task, TaskStatus::Active);
    assert_eq!(node.stop(), 0);
    assert!(!node.folder.join("ran").exists());
    assert_eq!(farm.manager.task(&task).unwrap().status, TaskStatus::Queued);
    node.nothing_left();
}

#[test]
fn a9_an_exit_0_after_the_polite_signal_is_no_completion() {
    let (farm, node) = Farm::with_awake_node();
    let task = farm.running("trap 'exit 0' TERM; echo running; while :; do sleep 0.02; done");
    farm.ask(WorkerStatus::Asleep, When::Now);
    farm.status(WorkerStatus::Asleep);
    assert_eq!(farm.outcomes(&task), [""; 0]);
    assert_eq!(farm.manager.task(&task).unwrap().status, TaskStatus::Queued);
    node.finish();
}

#[test]
fn a10_a_program_that_cannot_be_started_fails_its_task_with_the_reason_and_the_worker_goes_on() {
    let (farm, mut node) = Farm::with_node();
    // They say nothing about the node.
    node.config.top.push("[node]\nstrikes = 0".into());
    farm.start(&mut node);
    std::fs::write(node.folder.join("plain"), "x").unwrap();
    std::fs::write(node.folder.join("nonsense"), "no program\n").unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(node.folder.join("nonsense"), mode).unwrap();
    let long = "x".repeat(200 * 1024);
    let cases = [
        ("./not-there", json!([]), "o such file"),
        ("not-on-the-path", json!([]), "not found"),
        ("./plain", json!([]), "ermission denied"),
        ("./nonsense", json!([]), "xec format error"),
        ("/bin/true", json!([long]), "too long"),
    ];
    for (program, arguments, reason) in cases {
        let task = farm.task(&[exec(program, arguments)]);
        farm.failed(&task);
        let log = farm.log(&task);
        let failed = log
            .lines()
            .find(|line| line.starts_with("Failed: "))
            .unwrap_or_default();
        assert!(failed.contains(reason), "{program}: {log}");
        assert!(log.starts_with("20") && log.contains("going to run:"), "{log}");
    }
    let task = farm.script("true");
    farm.completed(&task);
    node.finish();
}

#[test]
fn a13_after_an_abort_the_next_command_never_starts() {
    let (farm, node) = Farm::with_awake_node();
    let task = farm.task(&[bash("echo running; while :; do sleep 0.02; done"), bash("touch second")]);
    farm.says(&task, "> running");
    cancel(&farm, &task);
    assert!(!node.folder.join("second").exists());
    let task = farm.task(&[
        CommandSpec::new("sleep", json!({ "duration_in_seconds": 1000 })),
        bash("touch second"),
    ]);
    farm.reaches(&task, TaskStatus::Active);
    cancel(&farm, &task);
    assert!(!node.folder.join("second").exists());
    node.finish();
}

#[test]
fn a14_an_aborted_copy_leaves_nothing_and_can_be_tried_again() {
    let farm = Farm::new();
    let node = farm.awake_node_with(&[
        ("first_may_i_run", "1ms"),
        ("may_i_run", "1ms"),
        ("may_i_run_hinted", "1ms"),
    ]);
    let source = node.folder.join("big");
    let size = 3 << 30;
    std::fs::File::create(&source).unwrap().set_len(size).unwrap();
    let folder = node.folder.join("copies");
    let dest = folder.join("copy");
    let copy = || CommandSpec::new("copy-file", json!({ "src": source, "dest": dest }));
    let task = farm.task(&[copy()]);
    until(
        "the copy to have begun",
        || std::fs::read_dir(&folder).ok()?.next().map(|_| ()),
        || farm.logs(),
    );
    cancel(&farm, &task);
    assert_eq!(
        std::fs::read_dir(&folder).unwrap().count(),
        0,
        "no half file, no temporary file"
    );
    std::fs::File::create(&source).unwrap().set_len(1 << 20).unwrap();
    let task = farm.task(&[copy()]);
    farm.completed(&task);
    assert_eq!(std::fs::metadata(&dest).unwrap().len(), 1 << 20);
    node.finish();
}

#[test]
fn a15_a_task_stopped_for_two_reasons_is_asked_once_and_the_shorter_way_wins() {
    let (farm, mut node) = farm_with_grace("10m");
    let task = farm.running("trap 'echo asked' TERM; echo running; while :; do sleep 0.02; done");
    farm.manager.set_task_status(&task, TaskStatus::Canceled).unwrap();
    farm.says(&task, "> asked");
    farm.ask(WorkerStatus::Offline, When::Now);
    node.signal(Signal::SIGTERM);
    node.until("the signal to be heard", || node.log().contains("shutting down"));
    node.signal_again(Signal::SIGTERM);
    assert_eq!(node.ended(), 0);
    assert_eq!(farm.log(&task).matches("> asked").count(), 1, "{}", farm.log(&task));
    node.nothing_left();
}

#[test]
fn a16_after_each_kind_of_task_the_worker_has_no_child() {
    let (farm, node) = Farm::with_awake_node();
    // Whoever started this test may have left it some.
    let before = pipes(&node);
    for script in [
        "true",
        "exit 1",
        "kill -9 $$",
        "setsid sleep 1000 & disown; exit 0",
        "sleep 0.1 & wait",
    ] {
        let task = farm.script(script);
        farm.wait("the task to be over", |farm| {
            farm.task(&task)
                .filter(|task| !matches!(task.status, TaskStatus::Queued | TaskStatus::Active))
                .map(|_| ())
        });
        node.childless();
        assert!(node.marked().is_empty());
    }
    assert_eq!(pipes(&node), before, "pipes are left open");
    node.finish();
}

/// The pipes that a node's worker has open.
fn pipes(node: &Node) -> Vec<std::path::PathBuf> {
    open_files(node.pid())
        .into_iter()
        .filter(|target| target.to_string_lossy().starts_with("pipe:"))
        .collect()
}

/// The guards of a node, which are the children of the worker.
fn guards(node: &Node) -> Vec<i32> {
    node.children()
}

#[test]
fn a17_a_killed_guard_takes_its_program_along_and_the_task_runs_again() {
    let (farm, node) = Farm::with_awake_node();
    let task = farm.running("setsid sleep 1000 & echo $$ >> pids; echo running; until [ -e go ]; do sleep 0.02; done");
    let first: i32 = number(&node.folder.join("pids"));
    let guard = guards(&node);
    assert_eq!(guard.len(), 1);
    std::fs::write(node.folder.join("go"), "").unwrap();
    kill(Pid::from_raw(first), Signal::SIGSTOP).unwrap();
    kill(Pid::from_raw(guard[0]), Signal::SIGKILL).unwrap();
    farm.completed(&task);
    assert!(!lives(first));
    assert_eq!(file(&node.folder.join("pids")).lines().count(), 2, "it was run again");
    assert_eq!(farm.outcomes(&task), ["completed"]);
    node.childless();
    node.finish();
}

#[test]
fn a17_guard_and_worker_killed_together_leave_nothing_after_the_next_start() {
    let (farm, mut node) = Farm::with_awake_node();
    let task =
        farm.script("trap '' TERM; setsid sleep 1000 & echo $$ > pid; echo running; while :; do sleep 0.02; done");
    farm.says(&task, "> running");
    let program = number(&node.folder.join("pid"));
    let guard = guards(&node)[0];
    // Stopped, the guard cannot act on the worker's death before it is killed itself.
    kill(Pid::from_raw(guard), Signal::SIGSTOP).unwrap();
    node.kill();
    kill(Pid::from_raw(guard), Signal::SIGKILL).unwrap();
    farm.manager.cancel_job(&farm.manager.task(&task).unwrap().job).unwrap();
    node.start();
    node.until("the survivors to be ended", || !lives(program));
    farm.asked(Endpoint::SignOn, 2);
    node.finish();
}

#[test]
fn a19_the_temporary_directory_of_a_task_is_gone_after_it_however_it_ends() {
    let (farm, node) = farm_with_grace("100ms");
    let noted = |name: &str| file(&node.folder.join(name)).trim().to_owned();
    for (name, end) in [("ok", "exit 0"), ("failed", "exit 1"), ("killed", "kill -9 $$")] {
        let script =
            format!("mkdir -p $TMPDIR/blender_x/y; echo x > $TMPDIR/blender_x/y/z; echo $TMPDIR > {name}; {end}");
        let task = farm.script(&script);
        farm.wait("the task to be over", |farm| {
            farm.task(&task)
                .filter(|task| !matches!(task.status, TaskStatus::Queued | TaskStatus::Active))
                .map(|_| ())
        });
        let folder = noted(name);
        until(
            "the directory to be gone",
            || (!Path::new(&folder).exists()).then_some(()),
            || folder.clone(),
        );
    }
    let task = farm
        .script("trap '' TERM; echo x > $TMPDIR/x; echo $TMPDIR > aborted; echo running; while :; do sleep 0.02; done");
    farm.says(&task, "> running");
    cancel(&farm, &task);
    assert!(!Path::new(&noted("aborted")).exists());
    node.finish();
}

#[test]
fn the_end_of_a_task_log_says_how_its_program_ended_by_name_and_what_it_used() {
    let (farm, node) = Farm::with_awake_node();
    let task = farm.script("kill -SEGV $$");
    farm.failed(&task);
    let log = farm.log(&task);
    assert!(
        log.contains("command exited abnormally: killed by SIGSEGV (11)"),
        "{log}"
    );
    let usage = log
        .lines()
        .find(|line| line.contains(" was killed by SIGSEGV (11) after "));
    let usage = usage.unwrap_or_else(|| panic!("no line of usage: {log}"));
    assert!(
        usage.starts_with("pid=") && usage.contains(" s of CPU time, peak memory "),
        "{usage}"
    );
    node.finish();
}

#[test]
fn programs_know_their_task_and_carry_the_mark_and_not_the_supervisors_variables() {
    let (farm, mut node) = Farm::with_node();
    let supervisors = [
        "NOTIFY_SOCKET",
        "WATCHDOG_USEC",
        "WATCHDOG_PID",
        "LISTEN_FDS",
        "LISTEN_PID",
        "CREDENTIALS_DIRECTORY",
    ];
    node.environment
        .extend(supervisors.map(|name| (name.into(), "/nowhere".into())));
    node.environment.push(("KEPT".into(), "a b".into()));
    farm.start(&mut node);
    let job = JobSpec::new("job").task(TaskSpec::new("a name").command(bash("env > environment; echo >> environment")));
    let task = farm.job(job).remove(0);
    farm.completed(&task);
    let seen = file(&node.folder.join("environment"));
    let entries: Vec<_> = seen.lines().collect();
    assert!(entries.contains(&"KEPT=a b"));
    assert!(entries.contains(&format!("FLAMENCO_TASK_ID={task}").as_str()));
    assert!(entries.contains(&"FLAMENCO_TASK_NAME=a name"));
    assert!(entries.iter().any(|entry| entry.starts_with("FLAMENCO_JOB_ID=")));
    assert!(entries.contains(&node.mark().as_str()), "{seen}");
    let is_kept = |name: &&&str| entries.iter().any(|entry| entry.starts_with(&format!("{name}=")));
    assert_eq!(supervisors.iter().find(is_kept), None, "{seen}");
    node.finish();
}
