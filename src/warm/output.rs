// SPDX-License-Identifier: GPL-3.0-or-later

//! Whose line is it? A Blender that is kept prints marks around what it prints for one task.

use super::kept_blender::LineHandler;
use crate::process::OutputLine;

/// So much of what a load prints is held back, in bytes and in lines.
const MOST_HELD: usize = 1 << 16;
const MOST_HELD_LINES: usize = 1000;

/// Tells the lines of one task from those of others.
#[derive(Debug)]
pub(super) struct TaskOutput {
    begin: String,
    end: String,
    place: Place,
}

/// What is printed while a file is loaded. Nobody hears of it where that file then turns out not to be for a Blender that
/// is kept.
pub(super) struct LoadOutput<'a> {
    on_line: LineHandler<'a>,
    /// `None`: nothing is held back any more.
    held: Option<Vec<HeldLine>>,
    bytes: usize,
}

struct HeldLine {
    pid: i32,
    text: Box<str>,
    bytes: Box<[u8]>,
}

impl<'a> LoadOutput<'a> {
    pub(super) fn new(on_line: LineHandler<'a>) -> Self {
        Self {
            on_line,
            held: Some(Vec::new()),
            bytes: 0,
        }
    }

    /// Holds a line back, until that is too much.
    pub(super) fn line(&mut self, pid: i32, line: OutputLine<'_>) {
        let Some(held) = &mut self.held else {
            return (self.on_line)(pid, line);
        };
        self.bytes += line.bytes.len();
        held.push(HeldLine {
            pid,
            text: line.text.into(),
            bytes: line.bytes.into(),
        });
        if self.bytes > MOST_HELD || held.len() > MOST_HELD_LINES {
            self.open();
        }
    }

    /// Gives away what was held back, and from now on each line at once.
    pub(super) fn open(&mut self) {
        for HeldLine { pid, text, bytes } in self.held.take().unwrap_or_default() {
            let (text, bytes) = (&*text, &*bytes);
            (self.on_line)(pid, OutputLine { text, bytes });
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Before the first mark, and what is there is the task's: its file is being loaded.
    Loading,
    /// Before the first mark.
    Before,
    Within,
    After,
}

impl TaskOutput {
    /// `mark`: what no program prints by chance. With `loads`, what comes before the mark belongs to the task, too.
    pub(super) fn new(mark: &str, loads: bool) -> Self {
        Self {
            begin: format!("{mark} begin"),
            end: format!("{mark} end"),
            place: if loads { Place::Loading } else { Place::Before },
        }
    }

    /// What of a line is the task's.
    pub(super) fn own<'a>(&mut self, line: OutputLine<'a>) -> Option<OutputLine<'a>> {
        let (mark, next) = match self.place {
            Place::Loading | Place::Before => (self.begin.as_bytes(), Place::Within),
            Place::Within => (self.end.as_bytes(), Place::After),
            Place::After => return None,
        };
        let is_own = matches!(self.place, Place::Loading | Place::Within);
        let Some(bytes) = line.bytes.strip_suffix(mark) else {
            return is_own.then_some(line);
        };
        // It had begun a line, and not ended it.
        let text = &line.text[..line.text.len() - mark.len()];
        self.place = next;
        (is_own && !bytes.is_empty()).then_some(OutputLine { text, bytes })
    }

    /// Whether all of it was seen.
    pub(super) fn is_complete(&self) -> bool {
        self.place == Place::After
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    fn own(output: &mut TaskOutput, lines: &[&'static str]) -> String {
        let line = |text: &&'static str| OutputLine {
            text,
            bytes: text.as_bytes(),
        };
        let own: Vec<_> = lines
            .iter()
            .filter_map(|text| Some(output.own(line(text))?.text))
            .collect();
        own.join("|")
    }

    #[test]
    fn what_is_between_the_marks_is_the_tasks_and_nothing_else() {
        let lines = ["late", "m begin", "a", "m begin", "half m end", "other", "m end", "x"];
        let mut kept = TaskOutput::new("m", false);
        assert_eq!(own(&mut kept, &lines[..4]), "a|m begin");
        assert!(!kept.is_complete());
        assert_eq!(own(&mut kept, &lines[4..]), "half ");
        assert!(kept.is_complete());
        let mut first = TaskOutput::new("m", true);
        assert_eq!(
            own(&mut first, &["Read blend", "warning m begin", "a", "m end", "x"]),
            "Read blend|warning |a"
        );
    }

    #[test]
    fn what_a_load_prints_is_heard_once_it_is_known_whose_it_is_or_when_it_is_much() {
        let heard = RefCell::new(Vec::new());
        let mut on_line = |pid: i32, line: OutputLine<'_>| heard.borrow_mut().push(format!("{pid} {}", line.text));
        let line = |text| OutputLine { text, bytes: b"" };
        LoadOutput::new(&mut on_line).line(1, line("never"));
        let mut loaded = LoadOutput::new(&mut on_line);
        loaded.line(2, line("a"));
        loaded.line(2, line("b"));
        assert!(heard.borrow().is_empty());
        loaded.open();
        loaded.line(2, line("c"));
        assert_eq!(heard.take(), ["2 a", "2 b", "2 c"]);
        let mut much = LoadOutput::new(&mut on_line);
        (0..=MOST_HELD_LINES).for_each(|_| much.line(3, line("x")));
        assert_eq!(heard.take().len(), MOST_HELD_LINES + 1);
    }
}
