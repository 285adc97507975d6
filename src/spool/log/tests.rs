// SPDX-License-Identifier: GPL-3.0-or-later

mod handed;

use std::fs;
use std::os::fd::AsRawFd;
use std::os::unix::fs::symlink;

use nix::fcntl::{FcntlArg, SealFlag, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};
use proptest::prelude::*;
use tempfile::TempDir;

use super::parts::*;
use super::segmented::LONGEST_LINE;
use super::*;
use crate::files::Thread;
use crate::spool::limits::Limits;
use crate::spool::line_count::{LineCount, LogTally};

/// Bounds that a few lines reach.
fn small() -> Limits {
    Limits {
        segment_bytes: 200,
        waiting_segments: 3,
        task_log_bytes: 1 << 20,
        buffer_bytes: 300,
        ..Limits::default()
    }
}

fn log(limits: &Limits) -> (TempDir, SegmentedLog) {
    let folder = TempDir::new().unwrap();
    let log = SegmentedLog::new(folder.path(), limits, Thread::start().unwrap());
    (folder, log)
}

/// Everything that waits, in chunks of `most`.
fn drain(log: &mut SegmentedLog, most: usize) -> Vec<String> {
    std::iter::from_fn(|| {
        let chunk = log.next_chunk(most).unwrap()?;
        assert!(chunk.text.ends_with('\n'), "a chunk ends at a line: {chunk:?}");
        log.accepted(&chunk);
        Some(chunk.text)
    })
    .collect()
}

/// Lines and bytes that were said to be missing.
fn noted_as_missing(text: &str) -> LineCount {
    let mut sum = LineCount::default();
    for note in text
        .lines()
        .filter(|line| line.starts_with("[... ") && line.contains("missing here"))
    {
        let numbers: Vec<u64> = note
            .split(|c: char| !c.is_ascii_digit())
            .filter_map(|word| word.parse().ok())
            .collect();
        sum.add(LineCount {
            lines: numbers[0],
            bytes: numbers[1],
        });
    }
    sum
}

fn without_notes(text: &str) -> String {
    text.lines()
        .filter(|line| !line.starts_with("[... "))
        .map(|line| format!("{line}\n"))
        .collect()
}

#[test]
fn chunks_hold_whole_lines_and_give_everything_once() {
    let (_folder, mut log) = log(&Limits::default());
    let mut all = String::new();
    for number in 0..1000 {
        log.append("pid=7 > ", &format!("line {number}"));
        all += &format!("pid=7 > line {number}\n");
    }
    let chunks = drain(&mut log, 700);
    assert!(chunks.len() > 10 && chunks.iter().all(|chunk| chunk.len() <= 700));
    assert_eq!(chunks.concat(), all);
    assert_eq!(log.unsent(), 0);
    log.append("", "one more");
    assert_eq!(drain(&mut log, 700), ["one more\n"]);
}

#[test]
fn line_ends_inside_a_text_make_lines_and_a_huge_one_becomes_several() {
    let (_folder, mut log) = log(&Limits::default());
    log.append("> ", "a\r\n\nb\n");
    log.append("> ", "");
    assert_eq!(drain(&mut log, 1000).concat(), "> a\n> \n> b\n> \n");
    log.append("", &"ä".repeat(100_000));
    let chunks = drain(&mut log, 1000);
    assert_eq!(chunks.len(), 4, "a line longer than a chunk goes whole");
    assert_eq!(chunks.concat().replace('\n', ""), "ä".repeat(100_000));
}

#[test]
fn a_chunk_that_did_not_arrive_is_sent_again_with_what_came_since() {
    let (_folder, mut log) = log(&Limits::default());
    log.append("", "one");
    let chunk = log.next_chunk(1000).unwrap().unwrap();
    log.append("", "two");
    log.give_back(chunk);
    assert_eq!(drain(&mut log, 1000), ["one\ntwo\n"]);
}

#[test]
fn c16_past_the_bound_the_second_oldest_goes_and_is_counted_where_it_was() {
    let (folder, mut log) = log(&small());
    for number in 0..100 {
        log.append("", &format!("{number:049}"));
        log.write_out();
    }
    let files = fs::read_dir(folder.path()).unwrap().count();
    assert_eq!(files, 4, "three segments and one gap");
    log.close();
    let text = drain(&mut log, 1000).concat();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 4 + 1 + 8);
    assert!(lines[3].ends_with("03") && lines[5].ends_with("092"), "{lines:?}");
    assert_eq!(
        lines[4],
        "[... 88 lines (4400 bytes) of this log are missing here: the Manager did not keep up ...]"
    );
}

#[test]
fn c16_a_log_ends_at_its_limit_and_says_how_much_more_there_was() {
    let (_folder, mut log) = log(&Limits {
        task_log_bytes: 100,
        ..small()
    });
    for _ in 0..30 {
        log.append("", "123456789");
    }
    log.close();
    let text = drain(&mut log, 1000).concat();
    assert_eq!(without_notes(&text).len(), 100);
    assert_eq!(noted_as_missing(&text), LineCount { lines: 20, bytes: 200 });
}

#[test]
fn c14_a_refused_chunk_is_kept_beside_and_said_in_the_next() {
    let (folder, mut log) = log(&Limits::default());
    log.append("", "bad");
    let chunk = log.next_chunk(1000).unwrap().unwrap();
    log.append("", "good");
    log.refused(&chunk);
    let text = drain(&mut log, 1000).concat();
    assert_eq!(
        text,
        "[... 1 line (4 bytes) of this log are missing here: the Manager refused them ...]\ngood\n"
    );
    assert_eq!(log.unsent(), 0, "and said once");
    assert_eq!(
        fs::read_to_string(folder.path().join("refused-000001-0")).unwrap(),
        "bad\n"
    );
}

#[test]
fn d2_what_the_disk_does_not_take_is_sent_from_memory_up_to_a_bound_and_then_counted() {
    let home = TempDir::new().unwrap();
    let folder = home.path().join("not-there");
    let mut log = SegmentedLog::new(&folder, &Limits::default(), Thread::start().unwrap());
    log.append("", "from memory");
    let chunk = log.next_chunk(1000).unwrap().unwrap();
    assert_eq!(chunk.text, "from memory\n");
    log.give_back(chunk);
    log.append("", "and more");
    assert_eq!(drain(&mut log, 1000).concat(), "from memory\nand more\n");
    let line = "x".repeat(99);
    for _ in 0..10_000 {
        log.append("", &line);
    }
    assert!(log.buffer.len() <= Limits::default().buffer_bytes + LONGEST_LINE);
    fs::create_dir(&folder).unwrap();
    log.append("", "recovered");
    log.close();
    let text = drain(&mut log, 1 << 20).concat();
    assert!(text.ends_with("recovered\n"));
    let missing = noted_as_missing(&text);
    let kept = LogTally::of(without_notes(&text).as_bytes()).lines;
    assert!(missing.lines > 5000);
    assert_eq!(
        (missing.lines + kept.lines, missing.bytes + kept.bytes),
        (10_001, 1_000_010)
    );
}

/// A disk that has room for no more files: a new segment can be opened, and nothing written to it.
struct Full {
    sealed: std::os::fd::OwnedFd,
    links: Vec<std::path::PathBuf>,
}

impl Full {
    fn new() -> Self {
        let sealed = memfd_create("sealed", MFdFlags::MFD_ALLOW_SEALING).unwrap();
        let seals = SealFlag::F_SEAL_WRITE | SealFlag::F_SEAL_GROW;
        fcntl(&sealed, FcntlArg::F_ADD_SEALS(seals)).unwrap();
        let links = Vec::new();
        Self { sealed, links }
    }

    /// The next segment of a log goes where nothing can be written.
    fn fill(&mut self, log: &SegmentedLog) {
        let next = segment_file(&log.folder, log.next_number());
        if symlink(format!("/proc/self/fd/{}", self.sealed.as_raw_fd()), &next).is_ok() {
            self.links.push(next);
        }
    }

    fn free(&mut self, log: &mut SegmentedLog) {
        // What is sealed stays so: the segment is opened again.
        log.writing = None;
        for link in self.links.drain(..) {
            // A log may have removed it, and have written a file of its own there.
            if fs::read_link(&link).is_ok() {
                fs::remove_file(link).unwrap();
            }
        }
    }
}

#[test]
fn d2_what_comes_behind_a_segment_that_the_disk_took_nothing_of_is_sent() {
    let (_folder, mut log) = log(&small());
    let mut disk = Full::new();
    for number in 0..8 {
        log.append("", &format!("{number:049}"));
        log.write_out();
        if number == 3 {
            disk.fill(&log);
        }
    }
    log.close();
    disk.free(&mut log);
    let text = drain(&mut log, 1000).concat();
    assert_eq!(text.lines().count(), 8, "{text}");
    assert_eq!(log.unsent(), 0);
}

#[test]
fn d2_what_is_on_its_way_from_memory_is_not_overtaken_when_the_disk_takes_lines_again() {
    let (_folder, mut log) = log(&small());
    let mut disk = Full::new();
    disk.fill(&log);
    log.append("", "one");
    let chunk = log.next_chunk(1000).unwrap().unwrap();
    disk.free(&mut log);
    log.append("", "two");
    log.write_out();
    log.give_back(chunk);
    log.close();
    assert_eq!(drain(&mut log, 1000), ["one\ntwo\n"]);
}

#[derive(Debug, Clone)]
enum Deed {
    Print(usize),
    Accept(usize),
    GiveBack(usize),
    Refuse(usize),
    Restart,
    /// Another process goes on, and so much may be on its way.
    HandOver(usize),
    /// The task ends and is run again.
    Reopen,
    FillDisk,
    FreeDisk,
}

fn deed() -> impl Strategy<Value = Deed> {
    prop_oneof![
        8 => (1usize..120).prop_map(Deed::Print),
        2 => (1usize..300).prop_map(Deed::Accept),
        1 => (1usize..300).prop_map(Deed::GiveBack),
        1 => (1usize..300).prop_map(Deed::Refuse),
        1 => Just(Deed::Restart),
        1 => (0usize..300).prop_map(Deed::HandOver),
        1 => Just(Deed::Reopen),
        1 => Just(Deed::FillDisk),
        1 => Just(Deed::FreeDisk),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// However it goes: each line is either sent, in order, or counted in a note.
    #[test]
    fn printed_is_kept_and_counted(deeds in prop::collection::vec(deed(), 1..150)) {
        let (folder, mut log) = log(&small());
        let (mut sent, mut printed, mut disk) = (String::new(), LineCount::default(), Full::new());
        for deed in deeds {
            match deed {
                Deed::Print(length) => {
                    let line = format!("{:>length$}", printed.lines);
                    printed.add(LineCount { lines: 1, bytes: line.len() as u64 + 1 });
                    log.append("", &line);
                    log.write_out();
                }
                Deed::Accept(most) => {
                    if let Some(chunk) = log.next_chunk(most).unwrap() {
                        sent += &chunk.text;
                        log.accepted(&chunk);
                    }
                }
                Deed::GiveBack(most) => {
                    if let Some(chunk) = log.next_chunk(most).unwrap() {
                        log.give_back(chunk);
                    }
                }
                Deed::Refuse(most) => {
                    if let Some(chunk) = log.next_chunk(most).unwrap() {
                        // A note that is refused itself is not said again.
                        if chunk.lines_at == 0 {
                            log.refused(&chunk);
                        }
                    }
                }
                Deed::HandOver(most) => {
                    let chunk = (most > 0).then(|| log.next_chunk(most).unwrap()).flatten();
                    let text = serde_json::to_string(&(log.hand_over(chunk.as_ref()), log.progress())).unwrap();
                    let (handed, progress) = serde_json::from_str(&text).unwrap();
                    log = SegmentedLog::new(folder.path(), &small(), Thread::start().unwrap()).take_over(handed, progress);
                }
                Deed::Reopen => {
                    log.close();
                    log.reopen();
                }
                Deed::FillDisk => disk.fill(&log),
                Deed::FreeDisk => disk.free(&mut log),
                Deed::Restart => {
                    // What is in memory only would be lost with it.
                    disk.free(&mut log);
                    log.write_out();
                    let progress = log.progress();
                    log = scan(folder.path(), SegmentedLog::new(folder.path(), &small(), Thread::start().unwrap()), progress).unwrap();
                }
            }
        }
        disk.free(&mut log);
        log.close();
        sent += &drain(&mut log, 150).concat();
        let numbers: Vec<u64> = without_notes(&sent).lines().map(|line| line.trim().parse().unwrap()).collect();
        prop_assert!(numbers.is_sorted_by(|one, next| one < next), "{numbers:?}");
        let mut sum = LogTally::of(without_notes(&sent).as_bytes()).lines;
        sum.add(noted_as_missing(&sent));
        prop_assert_eq!(sum, printed);
        prop_assert_eq!((log.progress().printed, log.progress().lost), (printed, noted_as_missing(&sent)));
        prop_assert_eq!(log.unsent(), 0);
        let segments = log.waiting.len() + log.kept.len();
        prop_assert!(segments <= 2 * small().waiting_segments, "{} segments stay", segments);
    }
}
