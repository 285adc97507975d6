// SPDX-License-Identifier: GPL-3.0-or-later

//! A program's output, from bytes to lines.
//!
//! ```text
//! pipe ─► bytes ─► LineSplitter ─┬─ whole lines, straight from the chunk (nearly all of them)
//!                         └─ open line: what came after the last newline, and the last `\r` state
//! ```
//!
//! A line ends at `\n`, and nowhere else: not at VT, FF, NEL or U+2028. Inside a line a `\r` begins it
//! anew, as on a terminal: what counts is the last piece that has anything in it, so `a\r\n` is `a`,
//! and a progress bar is its last state. Earlier states are shown while they stand, at most once per
//! `progress`. Bytes that are not UTF-8 become U+FFFD, each of them one, where they stand.

use std::borrow::Cow;
use std::time::Duration;

use memchr::{memchr, memchr_iter, memrchr};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

/// The longest piece of a line: the Go worker cuts at 40 KiB, a Manager's log viewer reads either.
pub(super) const LONGEST: usize = 64 * 1024;

/// One line of a program's output, without its end, or a piece of one that is too long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct OutputLine<'a> {
    /// As text; each byte that is none has become U+FFFD.
    pub text: &'a str,
    /// As the program wrote it: file names need not be text.
    pub bytes: &'a [u8],
}

impl<'a> OutputLine<'a> {
    fn plain(text: &'a str) -> Self {
        Self {
            text,
            bytes: text.as_bytes(),
        }
    }
}

/// A line that was open when its program was handed over.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct HandedLines {
    open: Vec<u8>,
    state: Vec<u8>,
    is_shown: bool,
    is_cut: bool,
}

/// Cuts bytes into lines. Whatever the chunks, the lines are the same.
#[derive(Debug)]
pub(super) struct LineSplitter {
    /// The bytes of the open line since its last `\r`; at most [`LONGEST`].
    open: Vec<u8>,
    /// The last state before that `\r`, if the line has one.
    state: Vec<u8>,
    /// `state` has been shown already.
    shown: bool,
    /// A piece of the open line was given away already, so that an empty rest is not a line.
    cut: bool,
    progress: Duration,
    last_progress: Instant,
}

impl LineSplitter {
    /// `progress`: the shortest time between two states of a line that is still open, and before the first.
    pub(super) fn new(progress: Duration, now: Instant) -> Self {
        Self {
            open: Vec::new(),
            state: Vec::new(),
            shown: true,
            cut: false,
            progress,
            last_progress: now,
        }
    }

    pub(super) fn hand_over(self) -> HandedLines {
        HandedLines {
            open: self.open,
            state: self.state,
            is_shown: self.shown,
            is_cut: self.cut,
        }
    }

    /// Goes on with the line that was open.
    pub(super) fn take_over(handed: HandedLines, progress: Duration, now: Instant) -> Self {
        Self {
            open: handed.open,
            state: handed.state,
            shown: handed.is_shown,
            cut: handed.is_cut,
            progress,
            last_progress: now,
        }
    }

    /// Takes the next bytes, and gives away what they complete.
    pub(super) fn feed(&mut self, chunk: &[u8], give: &mut dyn FnMut(OutputLine<'_>)) {
        let mut rest = chunk;
        if self.line_is_open()
            && let Some(end) = memchr(b'\n', rest)
        {
            self.extend(&rest[..end], give);
            self.end_line(give);
            rest = &rest[end + 1..];
        }
        let whole = memrchr(b'\n', rest).map_or(0, |end| end + 1);
        self.whole_lines(&rest[..whole], give);
        self.extend(&rest[whole..], give);
    }

    /// When [`Self::tick`] wants to be called, if at all.
    pub(super) fn due(&self) -> Option<Instant> {
        (!self.shown).then(|| self.last_progress + self.progress)
    }

    /// Shows the state a progress bar has reached, if its time has come.
    pub(super) fn tick(&mut self, now: Instant, give: &mut dyn FnMut(OutputLine<'_>)) {
        if self.due().is_some_and(|due| due <= now) {
            give_bytes(&self.state, give);
            self.shown = true;
            self.last_progress = now;
        }
    }

    /// Gives away the last line if it has no end, because the output is over.
    pub(super) fn finish(&mut self, give: &mut dyn FnMut(OutputLine<'_>)) {
        if self.line_is_open() {
            self.end_line(give);
        }
    }

    fn line_is_open(&self) -> bool {
        self.cut || !self.open.is_empty() || !self.state.is_empty()
    }

    /// Takes a block that ends in a newline. This is the fast path: it is checked once for UTF-8 and for `\r`, and lines
    /// are slices of it.
    fn whole_lines(&mut self, block: &[u8], give: &mut dyn FnMut(OutputLine<'_>)) {
        let text = std::str::from_utf8(block).ok();
        let returns = memchr(b'\r', block).is_some();
        let mut start = 0;
        for end in memchr_iter(b'\n', block) {
            let mut line = start..end;
            start = end + 1;
            if returns && block[line.clone()].last() == Some(&b'\r') {
                line.end -= 1;
            }
            let bytes = &block[line.clone()];
            if bytes.len() > LONGEST || (returns && memchr(b'\r', bytes).is_some()) {
                self.extend(bytes, give);
                self.end_line(give);
                continue;
            }
            match text {
                Some(text) => give(OutputLine::plain(&text[line])),
                None => give_bytes(bytes, give),
            }
        }
    }

    /// Adds bytes without a newline to the open line.
    fn extend(&mut self, bytes: &[u8], give: &mut dyn FnMut(OutputLine<'_>)) {
        let mut rest = bytes;
        while let Some(end) = memchr(b'\r', rest) {
            self.extend_piece(&rest[..end], give);
            if !self.open.is_empty() {
                std::mem::swap(&mut self.state, &mut self.open);
                self.open.clear();
                self.shown = false;
            }
            rest = &rest[end + 1..];
        }
        self.extend_piece(rest, give);
    }

    /// Adds bytes without `\n` and `\r`.
    fn extend_piece(&mut self, bytes: &[u8], give: &mut dyn FnMut(OutputLine<'_>)) {
        let mut rest = bytes;
        while self.open.len() + rest.len() > LONGEST {
            let room = LONGEST - self.open.len();
            self.open.extend_from_slice(&rest[..room]);
            rest = &rest[room..];
            let kept = self.open.split_off(character_boundary(&self.open, rest[0]));
            give_bytes(&self.open, give);
            self.open = kept;
            self.cut = true;
        }
        self.open.extend_from_slice(rest);
    }

    fn end_line(&mut self, give: &mut dyn FnMut(OutputLine<'_>)) {
        if !self.open.is_empty() {
            give_bytes(&self.open, give);
        } else if !self.state.is_empty() {
            if !self.shown {
                give_bytes(&self.state, give);
            }
        } else if !self.cut {
            give(OutputLine::plain(""));
        }
        self.open.clear();
        self.state.clear();
        self.shown = true;
        self.cut = false;
    }
}

/// Where to cut `piece`, which is as long as a piece may be, when `next` follows it: before a character that would be
/// torn otherwise.
fn character_boundary(piece: &[u8], next: u8) -> usize {
    let continues = |byte: u8| byte & 0b1100_0000 == 0b1000_0000;
    if !continues(next) {
        return piece.len();
    }
    let tail = piece.iter().rev().take(3).take_while(|byte| continues(**byte)).count();
    let lead = piece.len() - tail - 1;
    // 110xxxxx, 1110xxxx and 11110xxx start a character of 2, 3 and 4 bytes.
    let starts = piece.get(lead).is_some_and(|byte| byte.leading_ones() >= 2);
    if starts { lead } else { piece.len() }
}

fn give_bytes(bytes: &[u8], give: &mut dyn FnMut(OutputLine<'_>)) {
    let text = decoded(bytes);
    if text.len() <= LONGEST {
        return give(OutputLine { text: &text, bytes });
    }
    let mut rest: &str = &text;
    // A replacement is longer than what it stands for.
    while rest.len() > LONGEST {
        let (piece, later) = rest.split_at(rest.floor_char_boundary(LONGEST));
        give(OutputLine::plain(piece));
        rest = later;
    }
    give(OutputLine::plain(rest));
}

fn decoded(bytes: &[u8]) -> Cow<'_, str> {
    if let Ok(text) = std::str::from_utf8(bytes) {
        return Cow::Borrowed(text);
    }
    let mut text = String::with_capacity(bytes.len() + 64);
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        text.extend(chunk.invalid().iter().map(|_| char::REPLACEMENT_CHARACTER));
    }
    Cow::Owned(text)
}

#[cfg(test)]
#[path = "line_splitter_tests.rs"]
mod tests;
