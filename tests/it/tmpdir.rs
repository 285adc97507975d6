// SPDX-License-Identifier: GPL-3.0-or-later

//! The temporary directory of a task, in places that do not want it there or do not let it go.

use std::fs;
use std::path::PathBuf;

use standin_manager::TaskStatus;

use crate::harness::Farm;
use crate::machine::{file, until};
use crate::render_node::Node;
use crate::small_disk::start_among_mounts;

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
    let farm = Farm::new();
    let mut node = farm.node("node");
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
        until(
            "what can be removed to be gone",
            || (!dir.join("goes").exists()).then_some(()),
            || node.log(),
        );
        let said = format!("something is mounted at {}", dir.display());
        until(
            "it to be said",
            || node.log().contains(&said).then_some(()),
            || node.log(),
        );
        assert_eq!(fs::read_to_string(&frame).unwrap(), "precious", "{name}");
        left.push(dir);
    }
    removed_by_hand(node, &left);
}
