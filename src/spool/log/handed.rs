// SPDX-License-Identifier: GPL-3.0-or-later

//! A log as one process hands it over to the next, which goes on in the same segment.

use std::collections::VecDeque;
use std::fs::OpenOptions;
use std::io;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::chunk::LogChunk;
use super::parts::{LogPart, segment_file};
use super::segmented::SegmentedLog;
use crate::files::{self, is_shortage, is_standstill};
use crate::spool::line_count::LineCount;
use crate::spool::progress::LogProgress;

/// What is to be known of a log besides its files and its [`LogProgress`]; the fields are those of [`SegmentedLog`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(in crate::spool) struct HandedLog {
    waiting: VecDeque<LogPart>,
    kept: VecDeque<u32>,
    was_writing: bool,
    /// All that is in no file.
    buffer: String,
    unkept: LineCount,
    failing: bool,
    run_bytes: u64,
    beyond: LineCount,
    refused_bytes: u64,
}

impl SegmentedLog {
    /// The log as it is now, of which this chunk is on its way. What the disk takes is there.
    pub(in crate::spool) fn hand_over(&mut self, on_its_way: Option<&LogChunk>) -> HandedLog {
        self.write_out();
        let lent = on_its_way.map_or("", LogChunk::out_of_the_buffer);
        HandedLog {
            waiting: self.waiting.clone(),
            kept: self.kept.clone(),
            was_writing: self.was_writing || self.writing.is_some(),
            buffer: [lent, &String::from_utf8_lossy(&self.buffer)].concat(),
            unkept: self.unkept,
            failing: self.failing,
            run_bytes: self.run_bytes,
            beyond: self.beyond,
            refused_bytes: self.refused_bytes,
        }
    }

    /// The log that was handed over, of which so much was printed, sent and lost; `self` is that of a new folder. Touches
    /// nothing on the disk.
    pub(in crate::spool) fn take_over(self, handed: HandedLog, progress: LogProgress) -> Self {
        Self {
            progress,
            waiting: handed.waiting,
            kept: handed.kept,
            was_writing: handed.was_writing,
            buffer: handed.buffer.into_bytes(),
            unkept: handed.unkept,
            failing: handed.failing,
            run_bytes: handed.run_bytes,
            beyond: handed.beyond,
            refused_bytes: handed.refused_bytes,
            ..self
        }
    }

    /// Opens the last segment, to go on with it at this byte. One that is not as it was left stays as it is, and the log goes
    /// on in the next.
    ///
    /// # Errors
    /// Those that pass: it is to be tried again.
    pub(super) fn open_again(&mut self, number: u32, bytes: u64) -> io::Result<()> {
        let path = segment_file(&self.folder, number);
        let opened = self.disk.run(move || {
            let file = files::open_with(&path, OpenOptions::new().read(true).write(true))?;
            match file.metadata()?.len() {
                less if less < bytes => return Err(io::ErrorKind::UnexpectedEof.into()),
                // What the process before this one took for failed, and came too late.
                more if more > bytes => file.set_len(bytes)?,
                _ => {}
            }
            Ok(file)
        });
        self.writing = match opened {
            Ok(file) => Some(Arc::new(file)),
            Err(error) if is_standstill(&error) || is_shortage(&error) => return Err(error),
            Err(_) => None,
        };
        self.was_writing = false;
        Ok(())
    }
}
