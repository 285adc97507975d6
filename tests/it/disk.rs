// SPDX-License-Identifier: GPL-3.0-or-later

//! The disk of ours fails in every way it can: damaged, full, read-only, slow, and with a thousand tasks on it. The
//! worker stays up, and what it did is not done again.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::json;
use standin_manager::{Endpoint, Fault, FaultKind, JobSpec, TaskSpec, TaskStatus, WorkerStatus};

use crate::small_disk::SmallDisk;
use test_bed::{Farm, Node, bash, until};
use test_needs::missing;

/// Lines of log that are seeded for a task.
const LINES: usize = 200;

/// A node that signed off, and tasks of one job that the Manager has given to it.
fn node_with_tasks(count: usize) -> (Farm, Node, Vec<String>) {
    let (farm, mut node) = Farm::with_awake_node();
    assert_eq!(node.stop(), 0);
    let job = (0..count).fold(JobSpec::new("job"), |job, _| {
        job.task(TaskSpec::new("task").command(bash("true")))
    });
    let tasks = farm.job(job);
    let worker = farm.worker();
    for task in &tasks {
        farm.manager.set_task_status(task, TaskStatus::Active).unwrap();
        farm.manager.reassign(task, &worker).unwrap();
    }
    (farm, node, tasks)
}

/// Writes the folder of a task that ended well and of which the Manager has heard nothing.
fn seed(node: &Node, task: &str, begun: usize, line: &str) -> PathBuf {
    let folder = node.home().join("spool").join(task);
    fs::create_dir_all(&folder).unwrap();
    let assigned = json!({ "begun": begun, "task": { "uuid": task, "job": "j", "name": "task" } });
    let report = json!({
        "sent": { "segment": 1, "byte": 0 },
        "end": { "cause": "completed", "ended": begun, "took_ms": 1, "programs": [] },
    });
    fs::write(folder.join("task.json"), assigned.to_string()).unwrap();
    fs::write(folder.join("report.json"), report.to_string()).unwrap();
    let log: String = (0..LINES).map(|number| format!("{number:04} {line}\n")).collect();
    fs::write(folder.join("log-000001"), log).unwrap();
    folder
}

/// Whether a log holds every seeded line, once and in order.
fn is_whole(log: &str) -> bool {
    let numbers = log
        .lines()
        .filter_map(|line| line.split_once(" ~")?.0.parse::<usize>().ok());
    numbers.eq(0..LINES)
}

#[test]
fn d1_a_damaged_folder_is_moved_aside_and_kept_and_the_others_are_sent() {
    let (farm, mut node, tasks) = node_with_tasks(5);
    let folders: Vec<_> = (1..)
        .zip(&tasks)
        .map(|(begun, task)| seed(&node, task, begun, "~"))
        .collect();
    fs::write(folders[0].join("report.json"), b"{\"sent\":\0\xff").unwrap();
    fs::write(folders[1].join("task.json"), b"").unwrap();
    fs::write(folders[2].join("gap-000001"), b"\0\0\0\0").unwrap();
    fs::write(
        folders[3].join("log-000001"),
        &fs::read(folders[3].join("log-000001")).unwrap()[..1001],
    )
    .unwrap();
    node.start();
    for task in &tasks[3..] {
        farm.completed(task);
    }
    assert!(is_whole(&farm.log(&tasks[4])));
    let kept: Vec<_> = fs::read_dir(node.home().join("spool/damaged"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    for task in &tasks[..3] {
        assert!(kept.iter().any(|name| name.ends_with(task)), "{kept:?}");
        let said = |line: &str| line.contains("damaged") && line.contains(task.as_str());
        assert!(node.log().lines().any(said), "{}", node.log());
        // What is not known to be done is done again: the Manager has it as ours.
        farm.completed(task);
    }
    node.finish();
}

#[test]
fn d4_a_thousand_waiting_tasks_are_found_and_delivered_and_how_far_is_said() {
    const TASKS: usize = 1000;
    let (farm, mut node, tasks) = node_with_tasks(TASKS);
    // 16 MiB in all.
    let line = format!("~{}", "x".repeat(77));
    for (begun, task) in (1..).zip(&tasks) {
        seed(&node, task, begun, &line);
    }
    farm.manager.clear_requests();
    let start = tokio::time::Instant::now();
    node.start();
    farm.asked(Endpoint::TaskUpdate, 1);
    let first = start.elapsed();
    farm.completed(&tasks[TASKS - 1]);
    farm.asked(Endpoint::FetchTask, 1);
    let (all, peak) = (start.elapsed(), peak(&node));
    let mut aloud = std::io::stderr();
    writeln!(
        aloud,
        "d4: first update after {first:?}, {TASKS} tasks after {all:?}, peak {peak} KiB"
    )
    .unwrap();
    assert!(peak < 48 * 1024, "{peak} KiB");
    let order: Vec<_> = farm
        .requests(Endpoint::TaskUpdate)
        .into_iter()
        .filter(|seen| seen.json().is_some_and(|body| body["taskStatus"] == "completed"))
        .filter_map(|seen| seen.task)
        .collect();
    assert!(order == tasks, "each once, and the oldest first");
    assert!(
        !node.log().replace(" warn  no ffmpeg in ", "").contains(" warn "),
        "nothing is sent before it is known who we are"
    );
    assert!(tasks.iter().step_by(100).all(|task| is_whole(&farm.log(task))));
    let log = node.log();
    assert!(log.contains("catching up: 1000 of 1000 tasks delivered"), "{log}");
    assert!(log.matches("catching up: ").count() <= 21, "{log}");
    let history = || fs::read_dir(node.home().join("spool/history")).unwrap().count();
    node.until("the history to be pruned", || history() <= 50);
    node.finish();
}

/// The most memory that a node's worker had, in KiB.
fn peak(node: &Node) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", node.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.split_whitespace().next().unwrap().parse().unwrap()
}

#[test]
fn d2_a_disk_that_fills_up_while_a_task_runs_loses_no_result_and_is_used_again() {
    let farm = Farm::new();
    let Some(disk) = SmallDisk::start(&farm, "node", "size=80m") else {
        return;
    };
    // What is printed before is with the Manager by then: nothing but lines of `seq` can be missing.
    let task = farm.running(
        "echo running; until [ -e go ]; do sleep 0.02; done; head -c 100M /dev/zero 2> /dev/null > \"$FLAMENCO_HOME/frames\" \
         || touch could-not-write; seq -f 'line %06.0f ~' 1 50000",
    );
    fs::write(disk.node.folder.join("go"), "").unwrap();
    farm.completed(&task);
    assert!(disk.node.folder.join("could-not-write").exists());
    let log = farm.log(&task);
    let lines = log.lines().filter(|line| line.ends_with(" ~")).count();
    let notes: Vec<_> = log.lines().filter(|line| line.starts_with("[... ")).collect();
    assert_eq!(lines + missing_lines(&log), 50_000, "{notes:?}");

    let next = farm.script("true");
    farm.status(WorkerStatus::Asleep);
    until(
        "the worker to say why",
        || disk.node.log().contains("MB are needed").then_some(()),
        || disk.node.log(),
    );
    assert_ne!(farm.manager.task(&next).unwrap().status, TaskStatus::Completed);
    fs::remove_file(disk.path("frames")).unwrap();
    farm.completed(&next);
    disk.end();
}

#[test]
fn d2_a_disk_that_becomes_read_only_while_a_task_runs_loses_no_result_and_is_used_again() {
    let farm = Farm::new();
    let Some(disk) = SmallDisk::start(&farm, "node", "size=80m") else {
        return;
    };
    let task = farm.running(
        "echo running; until [ -e go ]; do sleep 0.02; done; seq -f 'line %06.0f ~' 1 300000; echo ran >> runs",
    );
    disk.becomes_read_only();
    fs::write(disk.node.folder.join("go"), "").unwrap();
    farm.completed(&task);
    let log = farm.log(&task);
    let lines = log.lines().filter(|line| line.ends_with(" ~")).count();
    assert_eq!(lines + missing_lines(&log), 300_000);

    let said = disk.node.log();
    assert!(
        said.contains("cannot save how far") && said.contains("Read-only file system"),
        "{said}"
    );

    let next = farm.script("echo next >> runs");
    farm.status(WorkerStatus::Asleep);
    disk.becomes_writable();
    farm.completed(&next);
    assert_eq!(
        fs::read_to_string(disk.node.folder.join("runs")).unwrap(),
        "ran\nnext\n"
    );
    disk.end();
}

#[test]
fn d2_on_a_full_disk_a_result_is_kept_at_the_cost_of_log() {
    let farm = Farm::new();
    let Some(disk) = SmallDisk::start(&farm, "node", "size=80m") else {
        return;
    };
    farm.awake();
    farm.fault(Fault::at(Endpoint::TaskUpdate, FaultKind::status(503)).forever());
    let task = farm.script(
        "seq -f 'line %012.0f xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx ~' 1 140000; \
         head -c 100M /dev/zero > \"$FLAMENCO_HOME/frames\" || true",
    );
    let report = || fs::read_to_string(disk.path("spool").join(&task).join("report.json"));
    until(
        "the result to be on disk",
        || report().is_ok_and(|text| text.contains("completed")).then_some(()),
        || disk.node.log(),
    );
    assert!(disk.path("frames").exists());
    farm.manager.clear_faults();
    farm.completed(&task);
    let log = farm.log(&task);
    let lines = log.lines().filter(|line| line.ends_with(" ~")).count();
    assert!(missing_lines(&log) > 10_000, "no log gave way: this test tests nothing");
    assert_eq!(lines + missing_lines(&log), 140_000);
    fs::remove_file(disk.path("frames")).unwrap();
    disk.end();
}

/// Lines that the notes in a log count as missing.
pub(crate) fn missing_lines(log: &str) -> usize {
    let notes = log.lines().filter_map(|line| line.strip_prefix("[... "));
    notes
        .filter_map(|note| note.split(' ').next()?.parse::<usize>().ok())
        .sum()
}

#[test]
fn d3_a_home_that_cannot_be_used_is_refused_at_the_start_and_a_missing_one_is_made() {
    let (farm, mut node) = Farm::with_node();
    fs::create_dir(node.home()).unwrap();
    fs::write(node.home().join("spool"), "a file").unwrap();
    node.start();
    assert_eq!(node.ended(), 78);
    assert!(node.log().contains("cannot use the spool folder"), "{}", node.log());
    fs::remove_dir_all(node.home()).unwrap();
    farm.start(&mut node);
    node.finish();

    if let Some(mut disk) = SmallDisk::start(&farm, "other", "ro") {
        assert_eq!(disk.node.ended(), 78, "{}", disk.node.log());
        assert!(
            disk.node.log().contains("cannot write to the home"),
            "{}",
            disk.node.log()
        );
    }
}

/// A library for LD_PRELOAD: while the file `slow` is there, each fsync takes ten seconds, and writes its start and
/// its end to `syncs`.
const SLOW_SYNC: &str = r#"
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
static void say(const char *what) {
    FILE *file = fopen(getenv("SYNCS"), "a");
    if (file) { fputs(what, file); fclose(file); }
}
static int slow(const char *name, int fd) {
    int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, name);
    if (access(getenv("SLOW"), F_OK) != 0) return real(fd);
    say("start\n");
    sleep(10);
    int result = real(fd);
    say("end\n");
    return result;
}
int fsync(int fd) { return slow("fsync", fd); }
int fdatasync(int fd) { return slow("fdatasync", fd); }
"#;

fn compiled(folder: &Path) -> PathBuf {
    let (source, library) = (folder.join("slow.c"), folder.join("slow.so"));
    fs::write(&source, SLOW_SYNC).unwrap();
    let status = Command::new("cc")
        .args(["-shared", "-fPIC", "-o"])
        .args([&library, &source])
        .arg("-ldl")
        .status()
        .unwrap();
    assert!(status.success());
    library
}

#[test]
fn d5_tasks_and_questions_go_on_while_a_sync_takes_ten_seconds() {
    if missing("cc") {
        return;
    }
    let (farm, mut node) = Farm::with_node();
    let (slow, syncs) = (node.folder.join("slow"), node.folder.join("syncs"));
    for (name, value) in [
        ("LD_PRELOAD", compiled(farm.folder.path())),
        ("SLOW", slow.clone()),
        ("SYNCS", syncs.clone()),
    ] {
        node.environment.push((name.into(), value.into()));
    }
    node.set("outcome_sync", "10ms");
    farm.start(&mut node);
    let first = farm.script("until [ -e go ]; do sleep 0.02; done");
    farm.reaches(&first, TaskStatus::Active);
    fs::write(&slow, "").unwrap();
    let outage = FaultKind::status(503);
    farm.fault(Fault::at(Endpoint::TaskUpdate, outage).forever());
    fs::write(node.folder.join("go"), "").unwrap();
    node.until("an outcome to be synced", || syncs.exists());
    farm.manager.clear_faults();
    farm.completed(&first);
    let second = farm.script("for i in $(seq 50); do echo $i; sleep 0.02; done");
    farm.reaches(&second, TaskStatus::Active);
    farm.manager.clear_requests();
    farm.completed(&second);
    let said = fs::read_to_string(&syncs).unwrap();
    assert_eq!(
        said, "start\n",
        "the sync must be under way all the time, or this tests nothing"
    );
    assert!(farm.requests(Endpoint::MayIRun).len() >= 3, "the Manager is asked on");
    fs::remove_file(&slow).unwrap();
    node.finish();
}
