// SPDX-License-Identifier: GPL-3.0-or-later

//! The process that reads a task's picture: which ones it opens, and what it has then.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};

use image::{GrayImage, ImageFormat};
use serde_json::json;
use standin_manager::CommandSpec;
use test_bed::{until, worker};

use crate::sandbox::{Bed, no_landlock};

/// Takes itself for Blender, and for the one who has written what it names. A variable in it is the task's.
const RENDERER: &str = "#!/bin/bash\ncd \"${0%/*}\"\ncp own.png \"$TMPDIR/own.png\"\npicture=${1/TMPDIR/$TMPDIR}\n\
                        echo \"Saved: '$picture'\"\nwhile [ ! -e seen ]; do sleep 0.02; done\n";

/// Whether a picture that a task says it has written is sent to the Manager.
fn is_sent(bed: &Bed, picture: &str) -> bool {
    let picture = picture.replace("AT", &bed.at("").display().to_string());
    let parameters = json!({
        "exe": bed.at("shared/renderer"), "exeArgs": "", "blendfile": "", "argsBefore": [picture], "args": [],
    });
    let task = bed.farm.task(&[CommandSpec::new("blender-render", parameters)]);
    let refused = |line: &str| line.contains("no \"last rendered\" picture") && line.contains(&task);
    let is_sent = bed.farm.wait("a picture to be sent or refused", |farm| {
        let is_sent = farm.pictures(&task).count() == 1;
        (is_sent || bed.node.log().lines().any(refused)).then_some(is_sent)
    });
    fs::write(bed.at("shared/seen"), "").unwrap();
    bed.farm.completed(&task);
    fs::remove_file(bed.at("shared/seen")).unwrap();
    is_sent
}

#[test]
fn n50_a_picture_that_the_task_may_not_read_is_not_sent_for_it() {
    if no_landlock() {
        return;
    }
    for (rules, all_is_read) in [
        (&["write = [\"SHARED\"]", "read = [\"SHARED\"]"][..], false),
        (&["write = [\"SHARED\"]"], true),
    ] {
        Bed::each(rules, |bed, user| {
            for name in ["node/home/hidden.png", "outside/folder/private.png", "shared/own.png"] {
                let picture = GrayImage::new(64, 48);
                picture.save_with_format(bed.at(name), ImageFormat::Png).unwrap();
            }
            let renderer = bed.at("shared/renderer");
            fs::write(&renderer, RENDERER).unwrap();
            fs::set_permissions(&renderer, PermissionsExt::from_mode(0o755)).unwrap();
            for (picture, wanted) in [
                ("AT/node/home/hidden.png", false),
                ("AT/outside/folder/private.png", all_is_read),
                ("AT/shared/own.png", true),
                ("TMPDIR/own.png", true),
            ] {
                assert_eq!(is_sent(bed, picture), wanted, "{user:?}, {picture}: {}", bed.node.log());
            }
            fs::remove_file(bed.at("outside/folder/private.png")).unwrap();
            bed.nothing_has_changed();
        });
    }
}

#[test]
fn n34_a_picture_is_read_by_a_process_that_has_let_go_of_everything_else() {
    let folder = tempfile::tempdir().unwrap();
    let (picture, small) = (folder.path().join("0001.png"), folder.path().join("small.jpg"));
    // Large enough to be seen while it is read.
    GrayImage::new(6000, 6000)
        .save_with_format(&picture, ImageFormat::Png)
        .unwrap();
    let mut reader = Command::new(worker().unwrap())
        .arg("__flamenco-picture")
        .args([&picture, &small])
        .args(["0", "60", "null"])
        .stdin(Stdio::null())
        .spawn()
        .unwrap();
    let pid = reader.id();
    let told = |file: &str| fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap_or_default();
    // 2: a filter (proc_pid_status(5)).
    let is_filtered = |status: &str| status.contains("\nSeccomp:\t2\n") && status.contains("\nNoNewPrivs:\t1\n");
    let is_confined = || {
        assert!(
            !told("status").contains("State:\tZ"),
            "it has ended, and was never seen to be confined"
        );
        let threads = fs::read_dir(format!("/proc/{pid}/task"))
            .into_iter()
            .flatten()
            .flatten();
        let mut of_each = threads.map(|thread| fs::read_to_string(thread.path().join("status")).unwrap_or_default());
        let no_files = told("limits")
            .lines()
            .any(|line| line.starts_with("Max open files") && line.split_whitespace().nth(4) == Some("0"));
        (no_files && of_each.all(|status| is_filtered(&status))).then_some(())
    };
    until("the process to be confined", is_confined, || told("status"));
    assert!(reader.wait().unwrap().success());
    assert!(fs::metadata(&small).unwrap().len() > 1000);
}
