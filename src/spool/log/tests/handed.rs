// SPDX-License-Identifier: GPL-3.0-or-later

//! A log goes on in another process.

use std::fs;

use super::*;

#[test]
fn a_log_that_is_handed_over_goes_on_in_its_segment_as_that_was_left() {
    let (folder, mut first) = log(&Limits::default());
    let over = |log: &mut SegmentedLog| {
        let (handed, progress) = (log.hand_over(None), log.progress());
        SegmentedLog::new(folder.path(), &Limits::default(), Thread::start().unwrap()).take_over(handed, progress)
    };
    first.append("", "one");
    assert_eq!(drain(&mut first, 1000), ["one\n"]);
    let mut next = over(&mut first);
    let segment = segment_file(folder.path(), 1);
    fs::write(&segment, "one\nwritten too late\n").unwrap();
    next.append("", "two");
    assert_eq!(drain(&mut next, 1000), ["two\n"]);
    assert_eq!(fs::read_to_string(&segment).unwrap(), "one\ntwo\n");
    next.append("", "sent by the next");
    let mut next = over(&mut next);
    assert_eq!(drain(&mut next, 1000), ["sent by the next\n"]);
    next.append("", "three");
    assert_eq!(drain(&mut next, 1000), ["three\n"]);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    let mut last = over(&mut next);
    fs::remove_file(&segment).unwrap();
    last.append("", "four");
    assert_eq!(drain(&mut last, 1000), ["four\n"]);
    let next = segment_file(folder.path(), 2);
    assert_eq!(fs::read_to_string(next).unwrap(), "four\n");
}

#[test]
fn what_was_written_too_late_for_the_process_that_handed_over_is_no_part_of_the_log() {
    let (folder, mut first) = log(&small());
    let mut disk = Full::new();
    disk.fill(&first);
    first.append("", "one");
    let (handed, progress) = (first.hand_over(None), first.progress());
    disk.free(&mut first);
    let segment = segment_file(folder.path(), 1);
    fs::write(&segment, "one\nwritten far too late\n").unwrap();
    let mut next = SegmentedLog::new(folder.path(), &small(), Thread::start().unwrap()).take_over(handed, progress);
    next.append("", "two");
    assert_eq!(drain(&mut next, 1000), ["one\ntwo\n"]);
    assert_eq!(fs::read_to_string(&segment).unwrap(), "one\ntwo\n");
}
