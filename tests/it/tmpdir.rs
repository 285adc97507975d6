// SPDX-License-Identifier: GPL-3.0-or-later

//! The temporary directory of a task, in places that do not want it there or do not let it go.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use serde_json::json;
use standin_manager::{TaskStatus, WorkerStatus};

use crate::small_disk::start_among_mounts;
use test_bed::{Farm, Node, exec, file, logged, start_through, until};
use test_needs::{missing, not_root};

/// Removes what a task has left; the mounts in it ended with the node.
fn removed_by_hand(mut node: Node, left: &[PathBuf]) {
    assert_eq!(node.stop(), 0, "{}", node.log());
    for path in left {
        fs::remove_dir_all(path).unwrap();
    }
    node.nothing_left();
}

#[test]
fn i25_what_a_task_has_mounted_below_its_tmpdir_stays_as_it_is_after_success_and_after_a_cancel() {
    let (farm, mut node) = Farm::with_node();
    let storage = farm.folder.path().join("storage");
    fs::create_dir_all(storage.join("job")).unwrap();
    let frame = storage.join("job/frame");
    fs::write(&frame, "precious").unwrap();
    if !start_among_mounts(&mut node, ":") {
        return;
    }
    farm.awake();
    let mut left = Vec::new();
    for (name, end) in [("done", "exit 0"), ("cancelled", "sleep 1000")] {
        let task = farm.script(&format!(
            "mkdir -p $TMPDIR/a/mnt $TMPDIR/goes; echo > $TMPDIR/file; echo > $TMPDIR/goes/too
            mount --bind {} $TMPDIR/a/mnt && mount --bind {} $TMPDIR/file || exit 1
            echo $TMPDIR > {name}; echo mounted; {end}",
            storage.display(),
            frame.display()
        ));
        farm.says(&task, "> mounted");
        let dir = PathBuf::from(file(&node.folder.join(name)).trim());
        match name {
            "done" => drop(farm.completed(&task)),
            _ => {
                let job = farm.manager.task(&task).unwrap().job;
                farm.manager.cancel_job(&job).unwrap();
                farm.reaches(&task, TaskStatus::Canceled);
            }
        }
        node.until("what can be removed to be gone", || !dir.join("goes").exists());
        let said = format!("something is mounted at {}", dir.display());
        node.until("it to be said", || node.log().contains(&said));
        assert_eq!(fs::read_to_string(&frame).unwrap(), "precious", "{name}");
        left.push(dir);
    }
    removed_by_hand(node, &left);
}

#[test]
fn an_appimage_that_may_not_mount_itself_says_what_to_do() {
    if missing("setpriv") {
        return;
    }
    // Not by the worker's unit, and not by its own sandbox.
    for (words, rules, hint) in [
        (&["setpriv", "--no-new-privs"][..], "", "drop-in setuid-programs.conf"),
        (
            &["env"],
            "[sandbox]\nnetwork = \"none\"",
            "the sandbox of this node forbids that",
        ),
    ] {
        let (farm, mut node) = Farm::with_node();
        node.config.top.push(rules.to_owned());
        let image = node.folder.join("blender.AppImage");
        // A program with the mark of an AppImage, which the kernel does not look at.
        let mut program = fs::read("/bin/sh").unwrap();
        program[8..11].copy_from_slice(b"AI\x02");
        fs::write(&image, program).unwrap();
        fs::set_permissions(&image, PermissionsExt::from_mode(0o755)).unwrap();
        start_through(&mut node, words.iter().copied());
        farm.awake();
        for (program, hinted) in [(image.to_str().unwrap(), true), ("/bin/sh", false)] {
            let task = farm.task(&[exec(program, json!(["-c", "exit 127"]))]);
            farm.failed(&task);
            let log = farm.log(&task);
            assert_eq!(log.contains(hint), hinted, "{log}");
        }
        node.finish();
    }
}

/// Runs three tasks with this script, which all complete; their directories.
fn three(farm: &Farm, node: &Node, script: &str) -> Vec<PathBuf> {
    for _ in 0..3 {
        farm.completed(&farm.script(script));
    }
    until(
        "three directories to be told",
        || Some(node.temporary()).filter(|told| told.len() == 3),
        || node.log(),
    )
}

#[test]
fn a_task_that_is_done_is_not_stopped_while_its_directory_is_removed() {
    let (farm, mut node) = Farm::with_node();
    node.set("first_may_i_run", "1ms").set("may_i_run", "5ms").start();
    farm.awake();
    let task = farm.script("mkdir $TMPDIR/many && cd $TMPDIR/many && seq 5000 | xargs touch");
    farm.completed(&task);
    node.swept();
    logged(&node, "task task completed");
    assert!(!node.log().contains("ending the task"), "{}", node.log());
    node.finish();
}

#[test]
fn i5_a_directory_that_cannot_be_removed_keeps_no_task_from_its_own_and_is_told_once() {
    if not_root() || missing("chattr") {
        return;
    }
    let (farm, mut node) = Farm::with_awake_node();
    let dirs = three(
        &farm,
        &node,
        "touch $TMPDIR/stays $TMPDIR/goes && chattr +i $TMPDIR/stays",
    );
    let kept: Vec<_> = dirs.iter().map(|dir| dir.join("stays")).collect();
    if !kept[0].exists() {
        test_needs::skipped("this file system knows no immutable files");
        return;
    }
    assert_eq!(node.stop(), 0);
    assert!(dirs.iter().all(|dir| !dir.join("goes").exists()));
    assert_eq!(node.log().matches("stays until the next start, as others").count(), 1);
    farm.start(&mut node);
    logged(&node, "3 temporary directories of earlier tasks cannot be removed");
    assert_eq!(node.stop(), 0);
    let freed = std::process::Command::new("chattr").arg("-i").args(&kept).status();
    assert!(freed.unwrap().success());
    farm.start(&mut node);
    node.swept();
    node.finish();
}

#[test]
fn i5_without_its_folder_tasks_have_their_directories_in_the_home_and_it_is_told_once() {
    let (farm, mut node) = Farm::with_node();
    node.environment
        .push(("TMPDIR".into(), farm.folder.path().join("gone").into()));
    farm.start(&mut node);
    let dirs = three(&farm, &node, "touch $TMPDIR/x");
    assert!(dirs.iter().all(|dir| dir.starts_with(node.home())), "{dirs:?}");
    assert_eq!(node.log().matches("tasks get theirs in").count(), 1, "{}", node.log());
    node.finish();
}

#[test]
fn i5_a_node_that_can_make_none_sleeps_and_takes_tasks_again_when_it_can() {
    let (farm, mut node) = Farm::with_node();
    node.environment
        .push(("TMPDIR".into(), farm.folder.path().join("gone").into()));
    node.set("strike_pause_min", "500ms").start();
    farm.awake();
    let obstacle = node.home().join("tmp");
    fs::write(&obstacle, "").unwrap();
    let task = farm.script("true");
    farm.status(WorkerStatus::Asleep);
    farm.says(&task, "no temporary directory can be made on this node: none in");
    fs::remove_file(&obstacle).unwrap();
    farm.completed(&task);
    node.finish();
}

#[test]
fn i5_a_fuse_mount_that_a_killed_program_leaves_is_unmounted_and_the_directory_goes() {
    if missing("bindfs") || (missing("fusermount3") && missing("fusermount")) {
        return;
    }
    let (farm, mut node) = Farm::with_node();
    if !start_among_mounts(&mut node, ":") {
        return;
    }
    farm.awake();
    // What serves the mount is killed with its program, as with an AppImage.
    let task = farm.script("mkdir $TMPDIR/.mount $TMPDIR/image && bindfs -f $TMPDIR/image $TMPDIR/.mount & until mountpoint $TMPDIR/.mount; do sleep 0.02; done");
    farm.completed(&task);
    let dir = node.temporary().remove(0);
    node.until("the directory to be gone", || !dir.exists());
    node.finish();
}
