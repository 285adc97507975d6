// SPDX-License-Identifier: GPL-3.0-or-later

//! Whose line is it? A Blender that is kept prints marks around what it prints for one task.

use crate::process::OutputLine;

/// Tells the lines of one task from those of others.
#[derive(Debug)]
pub(super) struct TaskOutput {
    begin: String,
    end: String,
    place: Place,
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
}
