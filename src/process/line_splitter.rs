// SPDX-License-Identifier: GPL-3.0-or-later

//! A program's output, from bytes to lines.
//!
//! ```text
//! pipe ─► bytes ─► LineSplitter ─┬─ whole lines, straight from the chunk (nearly all of them)
//!                         └─ open line: what came after its last `\r`, and states before it
//! ```
//!
//! A line ends at `\n`, and nowhere else: not at VT, FF, NEL or U+2028. Bytes that are not UTF-8 become
//! U+FFFD, each of them one, where they stand.
//!
//! Inside a line a `\r` begins it anew, as on a terminal. What stands before it is a state of a progress bar,
//! or a message with a name from a list with line ends of Windows: `cannot open shot.blend\r: No such file`. What
//! tells them apart is how many there are. A line of up to [`FEW`] states is shown whole, a line of log
//! for each. One of more, or that stands for longer than `progress`, is a progress bar: its first state is shown (which may be a
//! message), its last, and of those between what stands, at most once per `progress`. A state of blanks only wipes out
//! another, and is none: so `a\r\n` is `a`.

use std::borrow::Cow;
use std::time::Duration;

use memchr::{memchr, memchr_iter, memrchr};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

/// The longest piece of a line: the Go worker cuts at 40 KiB, a Manager's log viewer reads either.
pub(super) const LONGEST: usize = 64 * 1024;

/// How many states a line has at most that is no progress bar: enough for a message that names three files.
const FEW: usize = 4;

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

/// A line that was open when its program was handed over. `state` has those that wait, a `\r` between them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct HandedLines {
    open: Vec<u8>,
    state: Vec<u8>,
    is_shown: bool,
    is_cut: bool,
    #[serde(default)]
    is_bar: bool,
}

/// Cuts bytes into lines. Whatever the chunks, the lines are the same.
#[derive(Debug)]
pub(super) struct LineSplitter {
    /// The bytes of the open line since its last `\r`; at most [`LONGEST`].
    open: Vec<u8>,
    /// Its states that wait to be shown; fewer than [`FEW`], of a progress bar the last one.
    waiting: Vec<Vec<u8>>,
    /// It is a progress bar.
    is_bar: bool,
    /// Its first state, or a piece of it, has been given away.
    is_begun: bool,
    progress: Duration,
    last_progress: Instant,
}

impl LineSplitter {
    /// `progress`: the shortest time between two states of a line that is still open, and before the second.
    pub(super) fn new(progress: Duration, now: Instant) -> Self {
        Self::take_over(HandedLines::default(), progress, now)
    }

    pub(super) fn hand_over(self) -> HandedLines {
        HandedLines {
            open: self.open,
            state: self.waiting.join(&b'\r'),
            is_shown: self.waiting.is_empty(),
            is_cut: self.is_begun,
            is_bar: self.is_bar,
        }
    }

    /// Goes on with the line that was open.
    pub(super) fn take_over(handed: HandedLines, progress: Duration, now: Instant) -> Self {
        let has_state = !handed.state.is_empty();
        let waiting = (has_state && !handed.is_shown).then(|| handed.state.split(|byte| *byte == b'\r'));
        Self {
            open: handed.open,
            waiting: waiting.into_iter().flatten().map(<[u8]>::to_vec).collect(),
            is_bar: handed.is_bar,
            is_begun: handed.is_cut || has_state,
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
        (!self.waiting.is_empty()).then(|| self.last_progress + self.progress)
    }

    /// Shows the state a progress bar has reached, if its time has come.
    pub(super) fn tick(&mut self, now: Instant, give: &mut dyn FnMut(OutputLine<'_>)) {
        if self.due().is_some_and(|due| due <= now) {
            self.give_waiting(give);
            self.is_bar = true;
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
        self.is_begun || !self.open.is_empty()
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
            if returns && block[line.clone()].last() == Some(&b'\r') && !is_blank(&block[line.clone()]) {
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
            self.end_state(give);
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
            self.give_waiting(give);
            give_bytes(&self.open, give);
            self.open = kept;
            self.is_begun = true;
        }
        self.open.extend_from_slice(rest);
    }

    /// Takes what is open for a state. The first one is given away.
    fn end_state(&mut self, give: &mut dyn FnMut(OutputLine<'_>)) {
        let state = std::mem::take(&mut self.open);
        if is_blank(&state) {
            return;
        }
        if !self.is_begun {
            self.is_begun = true;
            return give_bytes(&state, give);
        }
        self.is_bar |= self.waiting.len() + 1 == FEW;
        if self.is_bar {
            self.waiting.clear();
        }
        self.waiting.push(state);
    }

    fn give_waiting(&mut self, give: &mut dyn FnMut(OutputLine<'_>)) {
        for state in self.waiting.drain(..) {
            give_bytes(&state, give);
        }
    }

    fn end_line(&mut self, give: &mut dyn FnMut(OutputLine<'_>)) {
        if self.is_begun {
            self.end_state(give);
            self.give_waiting(give);
        } else {
            give_bytes(&self.open, give);
            self.open.clear();
        }
        self.is_begun = false;
        self.is_bar = false;
    }
}

/// Whether nothing is to be seen of it on a terminal.
fn is_blank(bytes: &[u8]) -> bool {
    bytes.trim_ascii().is_empty()
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
