// SPDX-License-Identifier: GPL-3.0-or-later

//! A worker that is killed between the end of a task's program and its outcome on disk: its guard, which outlives it by
//! that moment, notes the end, and the next start knows it.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use nix::sys::signal::Signal;
use serde_json::json;
use standin_manager::{CommandSpec, JobSpec, TaskSpec};

use crate::history::history;
use test_bed::{Farm, Node, bash, children, exec, file, lives, number, pass, until};

/// Waits for `go` in its first run, and ends with 0 in any other.
pub(crate) const WAITS: &str =
    "echo ran >> runs; [ -e go ] && exit 0; echo $$ > pid; until [ -e go ]; do sleep 0.01; done";

fn runs(node: &Node) -> usize {
    fs::read_to_string(node.folder.join("runs")).map_or(0, |text| text.lines().count())
}

/// Waits until a guard, whose worker does not listen, has said its last word: it has no child and sleeps.
fn is_concluded(guard: i32, node: &Node) {
    let concluded = || {
        let children = fs::read_to_string(format!("/proc/{guard}/task/{guard}/children")).ok()?;
        let stat = fs::read_to_string(format!("/proc/{guard}/stat")).ok()?;
        (children.trim().is_empty() && stat.rsplit(") ").next()?.starts_with('S')).then_some(())
    };
    until("the guard to conclude", concluded, || node.log());
}

/// Runs this task, lets its program go while the worker stands still, and kills that when the program has ended.
pub(crate) fn is_killed_after_the_end(farm: &Farm, node: &mut Node, commands: Vec<CommandSpec>) -> String {
    let commands = commands.into_iter();
    let task = commands.fold(TaskSpec::new("task").kind("blender"), TaskSpec::command);
    let task = farm.job(JobSpec::new("job").task(task)).remove(0);
    let program = number(&node.folder.join("pid"));
    let is_its = |guard: &i32| children(*guard).contains(&program);
    let guard = node.children().into_iter().find(is_its).unwrap();
    node.signal(Signal::SIGSTOP);
    fs::write(node.folder.join("go"), "").unwrap();
    is_concluded(guard, node);
    node.kill();
    node.until("the guard to end", || !lives(guard));
    task
}

#[test]
fn i21_the_next_start_knows_the_end_of_a_program_that_the_killed_worker_had_not_on_disk() {
    let (farm, mut node) = Farm::with_awake_node();
    let task = is_killed_after_the_end(&farm, &mut node, vec![bash("true"), bash(&format!("{WAITS}; exit 0"))]);
    node.start();
    farm.completed(&task);
    assert_eq!((runs(&node), farm.outcomes(&task)), (1, vec!["completed".to_owned()]));
    let log = farm.log(&task);
    assert!(
        log.contains("The worker was killed when this program had ended"),
        "{log}"
    );
    assert!(log.contains(" ended with code 0 after "), "{log}");
    let (_, told, _) = history(&node, &[&task]);
    assert!(
        told.contains("Outcome  completed") && told.contains("Program  bash (pid "),
        "{told}"
    );
    assert!(!node.home().join("spool/cut-short.json").exists(), "it does not count");
    let next = farm.script("true");
    farm.completed(&next);
    node.finish();
}

#[test]
fn i21_a_program_that_failed_by_then_has_failed_its_task_also_in_its_middle() {
    let (farm, mut node) = Farm::with_awake_node();
    let commands = vec![bash(&format!("{WAITS}; exit 3")), bash("echo never >> runs")];
    let task = is_killed_after_the_end(&farm, &mut node, commands);
    node.start();
    farm.failed(&task);
    let log = farm.log(&task);
    assert!(log.contains("Failed: command exited abnormally with code 3"), "{log}");
    assert_eq!(runs(&node), 1);
    node.finish();
}

#[test]
fn i21_what_is_not_the_end_of_a_task_or_not_its_own_is_not_taken_for_it() {
    let cases = [
        // Commands would have followed.
        vec![bash(&format!("{WAITS}; exit 0")), exec("true", json!([]))],
        // Whoever killed the worker may have done that, too.
        vec![bash(&format!("{WAITS}; kill -KILL $$"))],
        vec![bash(&format!("{WAITS}; exit 143"))],
    ];
    for commands in cases {
        let (farm, mut node) = Farm::with_awake_node();
        let task = is_killed_after_the_end(&farm, &mut node, commands);
        node.start();
        farm.completed(&task);
        assert_eq!(runs(&node), 2, "{}", farm.log(&task));
        assert_eq!(farm.outcomes(&task), ["completed"]);
        node.finish();
    }
}

#[test]
fn i21_a_wrapper_whose_real_program_was_at_work_is_run_again() {
    let farm = Farm::new();
    let mut node = farm.awake_node_with(&[("linger", "60s")]);
    let task = farm.script(
        "echo ran >> runs; [ -e go ] && exit 0; touch go
         (until [ -e never ]; do :; done) & echo $$ > pid",
    );
    let program = number(&node.folder.join("pid"));
    node.until("the wrapper to end", || !lives(program));
    farm.says(&task, "> ");
    node.kill();
    node.nothing_left_but_files();
    node.start();
    farm.completed(&task);
    assert_eq!(runs(&node), 2);
    node.finish();
}

#[test]
fn i21_an_end_that_was_noted_for_an_earlier_run_is_not_believed_nor_what_is_no_note() {
    let (farm, mut node) = Farm::with_awake_node();
    let task = is_killed_after_the_end(&farm, &mut node, vec![bash(&format!("{WAITS}; exit 0"))]);
    let folder = node.home().join("spool").join(&task);
    let note = folder.join("end-note.json");
    let assigned = fs::read(folder.join("task.json")).unwrap();
    let mut assigned: serde_json::Value = serde_json::from_slice(&assigned).unwrap();
    assigned["begun"] = json!(assigned["begun"].as_u64().unwrap() + 1);
    fs::write(folder.join("task.json"), assigned.to_string()).unwrap();
    assert!(note.exists());
    node.start();
    farm.completed(&task);
    assert_eq!(runs(&node), 2);
    node.finish();

    let (farm, mut node) = Farm::with_awake_node();
    let task = is_killed_after_the_end(&farm, &mut node, vec![bash(&format!("{WAITS}; exit 0"))]);
    let note = node.home().join("spool").join(&task).join("end-note.json");
    fs::remove_file(&note).unwrap();
    nix::unistd::mkfifo(&note, nix::sys::stat::Mode::S_IRWXU).unwrap();
    node.start();
    farm.completed(&task);
    assert_eq!(runs(&node), 2);
    node.finish();
}

#[test]
fn i21_pictures_of_a_render_that_ended_well_stay_where_they_are() {
    let (farm, mut node) = Farm::with_awake_node();
    let program = node.folder.join("program");
    // Of a kind of its own: a look at it does not tell that it is whole.
    let script =
        format!("#!/bin/bash\ncd \"${{0%/*}}\"\nmkdir -p out; echo picture > out/x0001.png\n{WAITS}\nexit 0\n");
    fs::write(&program, script).unwrap();
    fs::set_permissions(&program, PermissionsExt::from_mode(0o755)).unwrap();
    let out = node.folder.join("out/x####");
    let render = CommandSpec::new(
        "blender-render",
        json!({"exe": program, "blendfile": "", "args": ["-o", out, "-F", "PNG", "-f", "1"]}),
    );
    let video = CommandSpec::new(
        "frames-to-video",
        json!({"exe": program, "fps": 24, "inputGlob": "x", "outputFile": node.folder.join("out/x.mp4")}),
    );
    for (count, command) in [render, video].into_iter().enumerate() {
        let task = is_killed_after_the_end(&farm, &mut node, vec![command]);
        node.start();
        farm.completed(&task);
        assert_eq!(runs(&node), count + 1, "{}", node.log());
        assert_eq!(file(&node.folder.join("out/x0001.png")), "picture\n");
        for name in ["go", "pid"] {
            fs::remove_file(node.folder.join(name)).unwrap();
        }
        assert!(!farm.log(&task).contains("Set aside"), "{}", farm.log(&task));
    }
    node.finish();
}

#[test]
fn i21_killed_at_any_moment_after_the_end_of_a_program_hardly_a_task_is_run_again() {
    const ROUNDS: u32 = 20;
    let (farm, mut node) = Farm::with_node();
    let mut again = 0;
    for round in 0..ROUNDS {
        node.start();
        let task = farm.script(&format!("{WAITS}; exit 0"));
        let program = number(&node.folder.join("pid"));
        let guard = node.children()[0];
        fs::write(node.folder.join("go"), "").unwrap();
        let path = format!("/proc/{program}");
        node.until("the program to end", || !fs::exists(&path).unwrap());
        pass(std::time::Duration::from_micros(u64::from(round) * 200));
        node.kill();
        node.until("the guard to end", || !lives(guard));
        node.start();
        farm.completed(&task);
        again += runs(&node) - 1;
        node.kill();
        for name in ["go", "pid", "runs"] {
            fs::remove_file(node.folder.join(name)).unwrap();
        }
    }
    // The guard itself may be between the end and its look whether the worker lives.
    assert!(again <= 2, "{again} of {ROUNDS} were run again");
    node.nothing_left_but_files();
}

#[test]
fn i21_a_guard_that_waits_is_gone_when_its_task_is_over() {
    let (farm, node) = Farm::with_awake_node();
    for commands in [
        vec![bash("exit 0"), bash("exit 0")],
        vec![bash("exit 1"), bash("exit 0")],
    ] {
        let task = farm.task(&commands);
        farm.wait("the task to be over", |farm| {
            let over = farm.task(&task)?.status != standin_manager::TaskStatus::Queued;
            (over && farm.task(&task)?.status != standin_manager::TaskStatus::Active).then_some(())
        });
        node.childless();
    }
    assert!(!node.log().contains("guard does not answer"), "{}", node.log());
    let noted = std::process::Command::new("find")
        .arg(node.home())
        .args(["-name", "end-note.json*"])
        .output();
    assert_eq!(noted.unwrap().stdout, b"", "nothing is noted while the worker lives");
    node.finish();
}
