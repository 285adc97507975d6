// SPDX-License-Identifier: GPL-3.0-or-later
//! What the person sees. On a terminal: colours, and lines that are drawn over and over; elsewhere: plain lines, each once.
//! Nothing here fails: whoever closed the pipe does not want to read on.

mod terminal;
mod text;

use std::{io, time::Duration};

use self::{
    terminal::Terminal,
    text::{bar, broken, cut},
};
pub(crate) use self::{
    terminal::{Ink, Line},
    text::{counted, tame, time, without_escapes},
};

/// Cells of the bar of a job, and of a worker's task.
const BAR: u16 = 24;
const SMALL_BAR: u16 = 10;
/// Narrower, and a worker's line has no bar.
const ROOM_FOR_BARS: usize = 78;
/// Where sentences start, and where they are broken at the latest.
const INDENT: &str = "      ";
const WIDTH: usize = 78;
/// Columns of what was done: its time is to the right of it.
const DONE: usize = 42;
/// Columns of a label.
const LABEL: usize = 9;

/// How far a job is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Progress {
    pub(crate) done: u32,
    pub(crate) total: u32,
    /// What is counted, in the plural.
    pub(crate) of: &'static str,
    /// What is being worked on.
    pub(crate) now: String,
    pub(crate) took: Duration,
}

/// Standard output.
pub(crate) struct Show {
    terminal: Terminal,
}

impl Show {
    /// # Errors
    /// There is no thread to write from.
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self {
            terminal: Terminal::open()?,
        })
    }

    pub(crate) fn title(&mut self, text: &str) {
        let text = self.terminal.inked(Ink::Bold, text);
        self.terminal.lasting(&format!("\n  {text}\n\n"));
    }

    pub(crate) fn heading(&mut self, text: &str) {
        let text = self.terminal.inked(Ink::Bold, text);
        self.terminal.lasting(&format!("\n  {text}\n"));
    }

    /// Something found, or where something is.
    pub(crate) fn fact(&mut self, label: &str, text: &str) {
        let mut label = self.terminal.inked(Ink::Dim, &format!("{label:<LABEL$}"));
        for line in broken(text, self.width().saturating_sub(LABEL + 3)) {
            self.terminal.lasting(&format!("  {label} {line}\n"));
            label = " ".repeat(LABEL);
        }
    }

    /// What happens meanwhile; on a terminal it gives way to whatever comes next.
    pub(crate) fn meanwhile(&mut self, text: &str) {
        if self.terminal.moving() {
            self.terminal.block(&[vec![(Ink::Dim, format!("  {text}"))]]);
        } else {
            self.plain(text);
        }
    }

    /// The changing line of a job. Elsewhere than on a terminal there is none.
    pub(crate) fn progress(&mut self, progress: &Progress) {
        self.terminal.block(&[job_line(progress)]);
    }

    /// All the lines that change, drawn anew where something did.
    pub(crate) fn block(&mut self, lines: &[Line]) {
        self.terminal.block(lines);
    }

    /// Lines are drawn over here: what changes need not be said in lines of its own.
    pub(crate) fn draws(&self) -> bool {
        self.terminal.moving()
    }

    /// Rows for lines that change, and whether they are wide enough for bars.
    pub(crate) fn room(&self) -> (usize, bool) {
        let (columns, rows) = self.terminal.size();
        (rows, columns >= ROOM_FOR_BARS)
    }

    pub(crate) fn nobody_reads(&self) -> bool {
        self.terminal.nobody_reads()
    }

    /// One more piece of a job is ready: a line only where nothing is drawn over.
    pub(crate) fn piece(&mut self, name: &str, progress: &Progress) {
        if !self.draws() {
            let Progress {
                done, total, of, took, ..
            } = progress;
            let took = time(*took);
            self.terminal
                .lasting(&format!("    {name} is ready: {done} of {total} {of}, {took}\n"));
        }
    }

    /// What was done, how long it took, and what came of it.
    pub(crate) fn done(&mut self, what: &str, took: Duration, sentence: &str) {
        self.outcome((Ink::Green, "✓"), what, took);
        self.sentence(sentence);
    }

    /// What was not done.
    pub(crate) fn not_done(&mut self, what: &str, took: Duration, sentence: &str) {
        self.outcome((Ink::Red, "✗"), what, took);
        self.sentence(sentence);
    }

    /// A paragraph below what was done.
    pub(crate) fn sentence(&mut self, sentence: &str) {
        for line in broken(sentence, self.width().saturating_sub(INDENT.len())) {
            let line = self.terminal.inked(Ink::Dim, &line);
            self.terminal.lasting(&format!("{INDENT}{line}\n"));
        }
    }

    /// Lines of somebody's log below what was done; on a terminal, as much of each as fits.
    pub(crate) fn quote(&mut self, text: &str) {
        let width = if self.draws() {
            self.terminal.size().0
        } else {
            usize::MAX
        };
        for line in text.lines() {
            let line = cut(&tame(line), width.saturating_sub(INDENT.len() + 3));
            let line = self.terminal.inked(Ink::Dim, &line);
            self.terminal.lasting(&format!("{INDENT}│ {line}\n"));
        }
    }

    pub(crate) fn failure(&mut self, text: &str) {
        let mark = self.terminal.inked(Ink::Red, "✗");
        let (sentence, rest) = text.split_once('\n').unwrap_or((text, ""));
        self.terminal.lasting(&format!("\n  {mark} {sentence}\n"));
        for line in rest.lines() {
            self.terminal.lasting(&format!("    {line}\n"));
        }
    }

    pub(crate) fn plain(&mut self, text: &str) {
        self.terminal.lasting(&format!("  {text}\n"));
    }

    pub(crate) fn gap(&mut self) {
        self.terminal.lasting("\n");
    }

    fn outcome(&mut self, (ink, mark): (Ink, &str), what: &str, took: Duration) {
        let (mark, took) = (self.terminal.inked(ink, mark), time(took));
        let width = DONE.min(self.width().saturating_sub(INDENT.len() + 10));
        let what = self.terminal.inked(Ink::Bold, &format!("{what:<width$}"));
        self.terminal.lasting(&format!("    {mark} {what} {took:>8}\n"));
    }

    fn width(&self) -> usize {
        WIDTH.min(self.terminal.size().0.saturating_sub(1))
    }
}

fn job_line(progress: &Progress) -> Line {
    let Progress {
        done,
        total,
        of,
        now,
        took,
    } = progress;
    let took = time(*took);
    vec![
        (Ink::Cyan, format!("    {}", bar(*done, *total, BAR))),
        (Ink::Plain, format!(" {done:>2} of {total} {of}  {took}  {now}")),
    ]
}

/// `▕███  ▏ 12 of 30 steps, 2 jobs`, with a shorter bar where there is no room for bars in the other lines.
pub(crate) fn whole_bar(done: u32, total: u32, beside: &str, bars: bool) -> Line {
    let width = if bars { BAR } else { SMALL_BAR };
    vec![
        (Ink::Cyan, format!("  {}", bar(done, total, width))),
        (Ink::Plain, format!(" {beside}")),
    ]
}

/// The bar in a worker's line.
pub(crate) fn small_bar(done: u32, total: u32) -> String {
    bar(done, total, SMALL_BAR)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_changing_line_fits_a_terminal() {
        let progress = Progress {
            done: 24,
            total: 24,
            of: "pictures",
            now: "render-13-24".to_owned(),
            took: Duration::from_secs(100),
        };
        let columns: usize = job_line(&progress).iter().map(|(_, piece)| text::columns(piece)).sum();
        assert!(columns < 80, "{columns}");
    }
}
