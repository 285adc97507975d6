// SPDX-License-Identifier: GPL-3.0-or-later

//! The process that reads a task's picture, while it does.

use std::fs;
use std::process::{Command, Stdio};

use image::{GrayImage, ImageFormat};
use test_bed::{until, worker};

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
        .args(["0", "60"])
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
