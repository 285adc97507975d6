// SPDX-License-Identifier: GPL-3.0-or-later

//! Starts on a disk that has no room: a trouble that passes, which is waited for.

use std::fs;

use crate::small_disk::SmallDisk;
use test_bed::{Farm, until};

/// A node whose disk is made full by this before it starts. It waits, says so, and works as soon as `filler` is gone.
fn waits_for_room(options: &str, fill: &str) {
    let farm = Farm::new();
    let Some(mut disk) = SmallDisk::start_prepared(farm.node("node"), options, fill) else {
        return;
    };
    until(
        "it to say that there is no room",
        || disk.node.log().contains("no room").then_some(()),
        || disk.node.log(),
    );
    assert!(disk.node.runs(), "{}", disk.node.log());
    assert!(
        farm.manager.workers().is_empty(),
        "nothing is registered that cannot be kept"
    );
    fs::remove_dir_all(disk.path("filler")).unwrap();
    farm.awake();
    let task = farm.script("true");
    farm.completed(&task);
    assert_eq!(farm.manager.workers().len(), 1);
    disk.end();
}

#[test]
fn i20_a_start_on_a_full_disk_waits_until_there_is_room() {
    waits_for_room(
        "size=80m",
        "cd \"$FLAMENCO_HOME\"; mkdir filler; head -c 100M /dev/zero > filler/x 2>/dev/null; cd - >/dev/null",
    );
}

#[test]
fn i20_a_start_on_a_disk_without_inodes_waits_until_there_are_some() {
    waits_for_room(
        "size=80m,nr_inodes=40",
        "cd \"$FLAMENCO_HOME\"; mkdir filler; for i in $(seq 100); do touch filler/$i; done 2>/dev/null; cd - >/dev/null",
    );
}

#[test]
fn i20_a_stop_while_a_start_waits_for_room_is_obeyed() {
    let farm = Farm::new();
    let fill = "mkdir \"$FLAMENCO_HOME\"/filler; head -c 100M /dev/zero > \"$FLAMENCO_HOME\"/filler/x 2>/dev/null";
    let Some(mut disk) = SmallDisk::start_prepared(farm.node("node"), "size=80m", fill) else {
        return;
    };
    until(
        "it to say that there is no room",
        || disk.node.log().contains("no room").then_some(()),
        || disk.node.log(),
    );
    assert_eq!(disk.node.stop(), 0, "{}", disk.node.log());
}
