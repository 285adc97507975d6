// SPDX-License-Identifier: GPL-3.0-or-later

//! What the Go worker kept for the Manager and did not deliver: the rows of its `flamenco-worker.sqlite`, counted.
//!
//! ```text
//! page 1: the table of tables ─► first page of `task_updates` ─► its leaves, each with a number of rows
//!    └───── a page that is in the log beside the file (`-wal`) is newer there: a worker that was killed leaves one
//! ```
//!
//! Nothing of it is delivered here. A whole SQLite for the one day on which a node changes over would be half of this
//! program, and the old worker, which can do it, is still there on that day. The format is that of
//! <https://www.sqlite.org/fileformat2.html>; whatever does not fit it counts as nothing, as the file may be anything.

use std::collections::HashMap;
use std::fmt;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use crate::files;

const NAME: &str = "flamenco-worker.sqlite";
const TABLE: &[u8] = b"task_updates";

const HEADER: usize = 100;
const WAL_HEADER: u64 = 32;
const FRAME_HEADER: u64 = 24;
/// Far more than that worker ever keeps: of a file that never ends only so much is read.
const MOST_FRAMES: u64 = 100_000;
/// Read and still to be read, so that a page that names itself a thousand times does not fill the memory.
const MOST_PAGES: usize = 10_000;

/// Updates of tasks that the Go worker left in a home.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct GoUpdates {
    /// So many.
    pub count: UpdateCount,
    /// Where they are.
    pub file: PathBuf,
}

impl GoUpdates {
    /// Looks into the home `dir`; changes nothing, and takes no lock. `None` where nothing is left. Blocks.
    pub(crate) fn of(dir: &Path) -> Option<Self> {
        let file = dir.join(NAME);
        let count = Database::open(&file).ok()??.rows()?;
        match count {
            UpdateCount::Exactly(0) | UpdateCount::AtLeast(0) => None,
            UpdateCount::Exactly(_) | UpdateCount::AtLeast(_) => Some(Self { count, file }),
        }
    }

    /// What to do about them.
    pub(crate) fn advice(&self) -> String {
        format!(
            "stop this worker and run that one once with -flush, with the same FLAMENCO_HOME; or delete {}",
            self.file.display()
        )
    }
}

/// How many there are, which is one at least.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum UpdateCount {
    /// So many.
    Exactly(usize),
    /// So many were counted, and there are more pages than are looked at.
    AtLeast(usize),
}

impl fmt::Display for UpdateCount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exactly(count) => write!(f, "{count}"),
            Self::AtLeast(count) => write!(f, "at least {count}"),
        }
    }
}

/// A file, and which of its pages are newer in the log beside it.
#[derive(Debug)]
struct Database {
    file: File,
    page_size: usize,
    log: Option<File>,
    /// Where in the log a page is.
    newer: HashMap<u32, u64>,
}

/// What a page of a table holds.
enum TablePage {
    /// So many rows.
    Leaf(usize),
    /// More pages.
    Inner(Vec<u32>),
}

impl Database {
    fn open(path: &Path) -> io::Result<Option<Self>> {
        let file = files::open(path)?;
        let mut header = [0; HEADER];
        file.read_exact_at(&mut header, 0)?;
        let page_size = match u16_at(&header, 16) {
            Some(1) => 65536,
            Some(size) if size.is_power_of_two() && size >= 512 => usize::from(size),
            _ => return Ok(None),
        };
        if !header.starts_with(b"SQLite format 3\0") {
            return Ok(None);
        }
        let mut log = path.as_os_str().to_owned();
        log.push("-wal");
        let log = files::open(Path::new(&log)).ok();
        let newer = log.as_ref().map(|log| committed(log, page_size)).unwrap_or_default();
        Ok(Some(Self {
            file,
            page_size,
            log,
            newer,
        }))
    }

    /// How many rows the table has.
    fn rows(&self) -> Option<UpdateCount> {
        let mut pages = vec![self.first_page()?];
        let (mut rows, mut seen) = (0, 0);
        while let Some(page) = pages.pop() {
            seen += 1;
            match table_page(&self.page(page)?, 0)? {
                TablePage::Leaf(count) => rows += count,
                TablePage::Inner(more) if seen + pages.len() + more.len() > MOST_PAGES => {
                    return Some(UpdateCount::AtLeast(rows));
                }
                TablePage::Inner(more) => pages.extend(more),
            }
        }
        Some(UpdateCount::Exactly(rows))
    }

    /// The first page of the table, as the table of tables has it.
    fn first_page(&self) -> Option<u32> {
        let page = self.page(1)?;
        let TablePage::Leaf(count) = table_page(&page, HEADER)? else {
            return None;
        };
        (0..count).find_map(|row| {
            let cell = page.get(usize::from(u16_at(&page, HEADER + 8 + 2 * row)?)..)?;
            table_of(cell)
        })
    }

    fn page(&self, number: u32) -> Option<Vec<u8>> {
        let mut page = vec![0; self.page_size];
        let read = match (self.newer.get(&number), &self.log) {
            (Some(at), Some(log)) => log.read_exact_at(&mut page, *at),
            _ => self.file.read_exact_at(
                &mut page,
                u64::from(number.checked_sub(1)?) * u64::try_from(self.page_size).ok()?,
            ),
        };
        read.ok().map(|()| page)
    }
}

/// The pages of a log that were committed, and where the last version of each is.
fn committed(log: &File, page_size: usize) -> HashMap<u32, u64> {
    let (mut committed, mut begun) = (HashMap::new(), HashMap::new());
    let mut header = [0; 32];
    if log.read_exact_at(&mut header, 0).is_err() {
        return committed;
    }
    let step = FRAME_HEADER + page_size as u64;
    for at in (0..MOST_FRAMES).map(|frame| WAL_HEADER + frame * step) {
        let mut frame = [0; 24];
        // What was written before the log was begun anew has other salts.
        if log.read_exact_at(&mut frame, at).is_err() || frame[8..16] != header[16..24] {
            break;
        }
        let number = |at| u32_at(&frame, at).unwrap_or_default();
        begun.insert(number(0), at + FRAME_HEADER);
        if number(4) != 0 {
            committed.extend(begun.drain());
        }
    }
    committed
}

/// A page of a table, whose header is at `start`.
fn table_page(page: &[u8], start: usize) -> Option<TablePage> {
    let count = usize::from(u16_at(page, start + 3)?);
    match page.get(start)? {
        0x0d => Some(TablePage::Leaf(count)),
        0x05 => {
            let child = |cell: usize| u32_at(page, usize::from(u16_at(page, start + 12 + 2 * cell)?));
            let children: Option<Vec<_>> = (0..count).map(child).collect();
            let mut children = children?;
            children.push(u32_at(page, start + 8)?);
            Some(TablePage::Inner(children))
        }
        _ => None,
    }
}

/// The first page of the table that a row of the table of tables is about, if that is ours. Its columns are type, name,
/// name of the table, page, text.
fn table_of(cell: &[u8]) -> Option<u32> {
    let mut at = 0;
    let (_payload, _row) = (varint(cell, &mut at)?, varint(cell, &mut at)?);
    let start = at;
    let header = varint(cell, &mut at)?;
    let mut columns = [0; 4];
    for column in &mut columns {
        *column = usize::try_from(varint(cell, &mut at)?).ok()?;
    }
    // The values follow the header. Of a text the column has twice its length, and 13.
    let mut values = cell.get(start.checked_add(usize::try_from(header).ok()?)?..)?;
    let [kind, name, of_table] =
        [columns[0], columns[1], columns[2]].map(|column| column.checked_sub(13).map(|it| it / 2));
    let kind = values.split_off(..kind?)?;
    let name = values.split_off(..name?)?;
    values.split_off(..of_table?)?;
    // An integer of so many bytes.
    let page = values
        .get(..columns[3])
        .filter(|bytes| (1..=4).contains(&bytes.len()))?;
    let page = page.iter().fold(0, |page, byte| page << 8 | u32::from(*byte));
    (kind == b"table" && name == TABLE).then_some(page)
}

/// A number of one to nine bytes.
fn varint(bytes: &[u8], at: &mut usize) -> Option<u64> {
    let mut number = 0;
    for _ in 0..8 {
        let byte = *bytes.get(*at)?;
        *at += 1;
        number = number << 7 | u64::from(byte & 0x7f);
        if byte < 0x80 {
            return Some(number);
        }
    }
    // A ninth byte has all its bits: no number here is that large.
    None
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    let found = bytes.get(at..at.checked_add(2)?)?;
    Some(u16::from_be_bytes(found.try_into().ok()?))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    let found = bytes.get(at..at.checked_add(4)?)?;
    Some(u32::from_be_bytes(found.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use proptest::prelude::*;

    use super::*;

    /// A file with two pages of 512 bytes: the table of tables, and one leaf of the table with so many rows.
    fn file(rows: u8) -> Vec<u8> {
        let mut bytes = vec![0; 1024];
        bytes[..16].copy_from_slice(b"SQLite format 3\0");
        bytes[16..18].copy_from_slice(&512_u16.to_be_bytes());
        let row = b"\x24\x01\x06\x17\x25\x25\x01\x0dtabletask_updatestask_updates\x02";
        let at = 512 - row.len();
        bytes[at..512].copy_from_slice(row);
        bytes[HEADER] = 0x0d;
        bytes[HEADER + 4] = 1;
        bytes[HEADER + 8..HEADER + 10].copy_from_slice(&u16::try_from(at).unwrap().to_be_bytes());
        bytes[512] = 0x0d;
        bytes[516] = rows;
        bytes
    }

    fn count(bytes: &[u8], log: &[u8]) -> Option<UpdateCount> {
        let home = tempfile::tempdir().unwrap();
        fs::write(home.path().join(NAME), bytes).unwrap();
        fs::write(home.path().join("flamenco-worker.sqlite-wal"), log).unwrap();
        GoUpdates::of(home.path()).map(|left| left.count)
    }

    #[test]
    fn rows_are_counted_and_none_are_nothing() {
        assert_eq!(count(&file(7), b""), Some(UpdateCount::Exactly(7)));
        assert_eq!(count(&file(0), b""), None);
        assert_eq!(count(b"", b""), None);
        assert_eq!(GoUpdates::of(Path::new("/nonexistent")), None);
        // A page that leads to itself.
        let mut circle = file(0);
        circle[512] = 0x05;
        circle[520..524].copy_from_slice(&2_u32.to_be_bytes());
        assert_eq!(count(&circle, b""), None);
    }

    /// A leaf with seven rows, and below it an inner page that names itself as often as a page can.
    #[test]
    fn a_page_that_names_itself_a_thousand_times_fills_no_memory_and_the_count_is_told_as_cut_short() {
        const SIZE: usize = 65536;
        let small = file(7);
        let mut bytes = vec![0; 3 * SIZE];
        bytes[..HEADER].copy_from_slice(&small[..HEADER]);
        bytes[16..18].copy_from_slice(&1_u16.to_be_bytes());
        let row = u16_at(&small, HEADER + 8).unwrap();
        let cell = &small[usize::from(row)..512];
        bytes[SIZE - cell.len()..SIZE].copy_from_slice(cell);
        bytes[HEADER..HEADER + 8].copy_from_slice(&small[HEADER..HEADER + 8]);
        let at = u16::try_from(SIZE - cell.len()).unwrap();
        bytes[HEADER + 8..HEADER + 10].copy_from_slice(&at.to_be_bytes());
        // The last child is looked at first: the leaf.
        let inner = &mut bytes[SIZE..2 * SIZE];
        inner[0] = 0x05;
        inner[8..12].copy_from_slice(&3_u32.to_be_bytes());
        let cells = 4000_u16;
        inner[3..5].copy_from_slice(&cells.to_be_bytes());
        let child = 60_000_u16;
        inner[usize::from(child)..][..4].copy_from_slice(&2_u32.to_be_bytes());
        for cell in 0..usize::from(cells) {
            inner[12 + 2 * cell..][..2].copy_from_slice(&child.to_be_bytes());
        }
        bytes[2 * SIZE] = 0x0d;
        bytes[2 * SIZE + 4] = 7;
        // Twice through the page: 8000 pages and the leaf of each. The third time is too much.
        let counted = count(&bytes, b"").unwrap();
        assert_eq!(counted, UpdateCount::AtLeast(14));
        assert_eq!(counted.to_string(), "at least 14");
    }

    proptest! {
        #[test]
        fn whatever_the_file_is_it_is_counted_or_nothing(
            changes in proptest::collection::vec((0..1024_usize, any::<u8>()), 0..8),
            cut in 0..1025_usize,
            log in proptest::collection::vec(any::<u8>(), 0..80),
        ) {
            let mut bytes = file(3);
            for (at, byte) in changes {
                bytes[at] = byte;
            }
            bytes.truncate(cut);
            count(&bytes, &log);
        }
    }
}
