// SPDX-License-Identifier: GPL-3.0-or-later

//! What the doctor says of Blender and FFmpeg.

use std::fs;

use serde_json::json;

use super::{Answer, node, program};
use test_bed::{Farm, exec};

#[test]
fn programs_that_are_missing_old_or_broken_are_told_apart() {
    let farm = Farm::new();
    let node = node(&farm);
    program(&node, "blender", "echo 'Blender 2.93.1'");
    fs::remove_file(node.folder.join("bin/ffmpeg")).unwrap();
    let answer = Answer::of(&node);
    answer.says("warn", "blender", "is Blender 2.93.1");
    answer.says("fail", "ffmpeg", "there is no ffmpeg in ");
    program(
        &node,
        "blender",
        "echo 'error while loading shared libraries: libXi.so.6' >&2; exit 127",
    );
    program(&node, "ffmpeg", "echo hello");
    let answer = Answer::of(&node);
    assert_eq!(answer.fails(), ["blender", "ffmpeg"]);
    answer.says(
        "fail",
        "blender",
        "it ended with code 127: error while loading shared libraries: libXi.so.6",
    );
    answer.says("fail", "ffmpeg", "does not say that it is an FFmpeg");
    fs::remove_file(node.folder.join("bin/blender")).unwrap();
    Answer::of(&node).says("warn", "blender", "no blender on the worker's PATH");
}

#[test]
fn the_blender_of_the_last_tasks_is_tried_and_not_the_one_on_path() {
    let farm = Farm::new();
    let mut node = node(&farm);
    let other = program(&node, "blender-5.0", "echo 'Blender 5.0.0'");
    farm.start(&mut node);
    let task = farm.task(&[exec(other.to_str().unwrap(), json!([]))]);
    farm.completed(&task);
    assert_eq!(node.stop(), 0);
    let answer = Answer::of(&node);
    answer.says("ok", "blender", "bin/blender-5.0 is Blender 5.0.0");
    let blenders = answer.findings.iter().filter(|finding| finding["name"] == "blender");
    assert_eq!(blenders.count(), 1);
    node.finish();
}
