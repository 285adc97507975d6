// SPDX-License-Identifier: GPL-3.0-or-later

//! A reload while the home takes nothing.

use std::fs::{self, File};
use std::io;

use super::{hang_up, printed};
use crate::small_disk::SmallDisk;
use standin_manager::{Endpoint, Fault, FaultKind};
use test_bed::{Farm, logged};

/// A task that prints before and after a reload, with a home that takes nothing at that time.
fn takes_nothing(begin: impl Fn(&SmallDisk), end: impl Fn(&SmallDisk)) {
    let farm = Farm::new();
    let Some(disk) = SmallDisk::start(&farm, "node", "size=80m") else {
        return;
    };
    farm.awake();
    let folder = &disk.node.folder;
    let task = farm.running(
        "echo running; until [ -e more ]; do sleep 0.01; done; seq 1 500; touch printed; \
         until [ -e go ]; do sleep 0.01; done; seq 501 1000",
    );
    begin(&disk);
    // What is printed has no other place than memory.
    farm.fault(Fault::at(Endpoint::TaskUpdate, FaultKind::status(500)).forever());
    fs::write(folder.join("more"), "").unwrap();
    hang_up(&disk.node);
    disk.node
        .until("the lines to be printed", || folder.join("printed").exists());
    hang_up(&disk.node);
    assert!(!farm.log(&task).contains("> 500"));
    fs::write(folder.join("go"), "").unwrap();
    logged(&disk.node, "task task completed");
    hang_up(&disk.node);
    farm.manager.clear_faults();
    farm.completed(&task);
    let numbers: Vec<_> = (1..=1000).map(|number| number.to_string()).collect();
    assert_eq!(printed(&farm, &task)[1..], numbers);
    end(&disk);
    farm.completed(&farm.script("true"));
    assert_eq!(farm.outcomes(&task), ["completed"]);
    disk.end();
}

#[test]
fn l7_on_a_full_disk_nothing_is_lost() {
    let fill = |disk: &SmallDisk| {
        let mut filler = File::create(disk.path("filler")).unwrap();
        let error = io::copy(&mut io::repeat(0), &mut filler).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
    };
    takes_nothing(fill, |disk| fs::remove_file(disk.path("filler")).unwrap());
}

#[test]
fn l7_in_a_home_that_went_read_only_nothing_is_lost() {
    takes_nothing(SmallDisk::becomes_read_only, SmallDisk::becomes_writable);
}
