// SPDX-License-Identifier: GPL-3.0-or-later
//! What the person sees. On a terminal: colours and one line that is drawn over and over; elsewhere: plain lines, each once.
//! Nothing here fails: whoever closed the pipe does not want to read on.

use std::{
    env,
    io::{self, IsTerminal, Write},
    time::Duration,
};

/// Cells of the bar.
const BAR: u16 = 24;
/// Eighths of a cell, from one to seven.
const PARTS: [char; 7] = ['▏', '▎', '▍', '▌', '▋', '▊', '▉'];
/// Where sentences start, and where they are broken: a terminal is 80 wide until it says otherwise.
const INDENT: &str = "      ";
const WIDTH: usize = 78;
/// Between a number and its unit (no-break space); becomes a plain blank when it is written.
const GLUE: char = '\u{a0}';

/// How something is set off from the rest.
#[derive(Clone, Copy, Debug)]
enum Ink {
    Bold,
    Dim,
    Green,
    Red,
    Cyan,
}

/// How far a job is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Progress {
    pub(crate) done: u16,
    pub(crate) total: u16,
    /// What is being worked on.
    pub(crate) now: String,
    pub(crate) took: Duration,
}

/// Standard output.
pub(crate) struct Show {
    terminal: bool,
    colour: bool,
    /// The last line is the one that changes.
    open_line: bool,
}

impl Show {
    pub(crate) fn new() -> Self {
        let dumb = env::var_os("TERM").is_some_and(|kind| kind == "dumb");
        let terminal = io::stdout().is_terminal() && !dumb;
        let unwanted = env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Self {
            terminal,
            colour: terminal && !unwanted,
            open_line: false,
        }
    }

    pub(crate) fn title(&mut self, text: &str) {
        let text = self.inked(Ink::Bold, text);
        self.write(&format!("\n  {text}\n\n"));
    }

    pub(crate) fn heading(&mut self, text: &str) {
        let text = self.inked(Ink::Bold, text);
        self.write(&format!("\n  {text}\n"));
    }

    /// Something found, or where something is.
    pub(crate) fn fact(&mut self, label: &str, text: &str) {
        let label = self.inked(Ink::Dim, &format!("{label:<9}"));
        self.write(&format!("  {label} {text}\n"));
    }

    /// What happens meanwhile; on a terminal it gives way to whatever comes next.
    pub(crate) fn meanwhile(&mut self, text: &str) {
        if self.terminal {
            let text = self.inked(Ink::Dim, text);
            self.redraw(&format!("  {text}"));
        } else {
            self.write(&format!("  {text}\n"));
        }
    }

    /// The changing line. Elsewhere than on a terminal there is none.
    pub(crate) fn progress(&mut self, progress: &Progress) {
        if self.terminal {
            let bar = self.inked(Ink::Cyan, &bar(progress.done, progress.total, BAR));
            self.redraw(&format!("    {bar} {}", beside_the_bar(progress)));
        }
    }

    /// One more piece of a job is ready: a line only where nothing is drawn over.
    pub(crate) fn piece(&mut self, name: &str, progress: &Progress) {
        if !self.terminal {
            let Progress { done, total, took, .. } = progress;
            self.write(&format!(
                "    {name} is ready: {done} of {total} pictures, {}\n",
                time(*took)
            ));
        }
    }

    /// What was done, how long it took, and what came of it.
    pub(crate) fn done(&mut self, what: &str, took: Duration, sentence: &str) {
        let (mark, took) = (self.inked(Ink::Green, "✓"), time(took));
        let what = self.inked(Ink::Bold, &format!("{what:<42}"));
        self.write(&format!("    {mark} {what} {took:>8}\n"));
        for line in broken(sentence, WIDTH - INDENT.len()) {
            let line = self.inked(Ink::Dim, &line);
            self.write(&format!("{INDENT}{line}\n"));
        }
    }

    pub(crate) fn failure(&mut self, text: &str) {
        let mark = self.inked(Ink::Red, "✗");
        let (sentence, rest) = text.split_once('\n').unwrap_or((text, ""));
        self.write(&format!("\n  {mark} {sentence}\n"));
        for line in rest.lines() {
            self.write(&format!("    {line}\n"));
        }
    }

    pub(crate) fn plain(&mut self, text: &str) {
        self.write(&format!("  {text}\n"));
    }

    pub(crate) fn gap(&mut self) {
        self.write("\n");
    }

    fn redraw(&mut self, line: &str) {
        self.raw(&format!("\r\x1b[2K{line}"));
        self.open_line = true;
    }

    fn write(&mut self, text: &str) {
        if std::mem::take(&mut self.open_line) {
            self.raw("\r\x1b[2K");
        }
        self.raw(text);
    }

    #[expect(clippy::unused_self, reason = "standard output has one owner: this")]
    fn raw(&mut self, text: &str) {
        let mut out = io::stdout().lock();
        let text = text.replace(GLUE, " ");
        let _nobody_reads = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    }

    fn inked(&self, ink: Ink, text: &str) -> String {
        let code = match ink {
            Ink::Bold => 1,
            Ink::Dim => 2,
            Ink::Red => 31,
            Ink::Green => 32,
            Ink::Cyan => 36,
        };
        if self.colour {
            format!("\x1b[{code}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }
}

/// `4 ms`, `85 ms`, `1.2 s`, with a blank that [`broken`] leaves alone. One decimal is what a person can feel.
pub(crate) fn time(took: Duration) -> String {
    if took < Duration::from_millis(100) {
        format!("{}{GLUE}ms", took.as_millis().max(1))
    } else {
        format!("{:.1}{GLUE}s", took.as_secs_f64())
    }
}

/// A bar of `width` cells between its two ends.
fn bar(done: u16, total: u16, width: u16) -> String {
    let eighths = u32::from(done.min(total)) * u32::from(width) * 8 / u32::from(total.max(1));
    let (full, part) = (eighths / 8, eighths % 8);
    let mut cells: String = (0..full).map(|_| '█').collect();
    cells.extend((1..).zip(PARTS).find(|(at, _)| *at == part).map(|(_, cell)| cell));
    let width = usize::from(width);
    format!("▕{cells:<width$}▏")
}

fn beside_the_bar(progress: &Progress) -> String {
    let Progress { done, total, now, took } = progress;
    let took = time(*took);
    if now.is_empty() {
        format!("{done:>2} of {total} pictures  {took}")
    } else {
        format!("{done:>2} of {total} pictures  {took}  {now}")
    }
}

/// Lines of at most `width` letters, broken at blanks.
fn broken(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split(' ').filter(|word| !word.is_empty()) {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            Some(_) | None => lines.push(word.to_owned()),
        }
    }
    lines
}

/// A line of somebody's log without what colours it.
pub(crate) fn without_escapes(text: &str) -> String {
    let mut plain = String::new();
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        if letter == '\x1b' {
            letters.by_ref().find(char::is_ascii_alphabetic);
        } else {
            plain.push(letter);
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_has_its_width_however_far_it_is() {
        assert_eq!(bar(0, 4, 4), "▕    ▏");
        assert_eq!(bar(1, 4, 4), "▕█   ▏");
        assert_eq!(bar(3, 8, 4), "▕█▌  ▏");
        assert_eq!(bar(9, 4, 4), "▕████▏");
        assert_eq!(bar(0, 0, 4), "▕    ▏");
        for done in 0..=9 {
            assert_eq!(bar(done, 9, BAR).chars().count(), usize::from(BAR) + 2, "{done}");
        }
    }

    #[test]
    fn the_changing_line_fits_a_terminal() {
        let progress = Progress {
            done: 24,
            total: 24,
            now: "render-13-24".to_owned(),
            took: Duration::from_secs(100),
        };
        let line = format!("    {} {}", bar(24, 24, BAR), beside_the_bar(&progress));
        assert!(line.chars().count() < 80, "{line}");
    }

    #[test]
    fn times_have_the_unit_that_suits_them() {
        let shown = |millis| time(Duration::from_millis(millis)).replace(GLUE, " ");
        assert_eq!([0, 43, 1_249].map(shown), ["1 ms", "43 ms", "1.2 s"]);
    }

    #[test]
    fn a_number_and_its_unit_stay_together() {
        let sentence = format!("after {}", time(Duration::from_secs(2)));
        assert_eq!(broken(&sentence, 9), ["after", "2.0\u{a0}s"]);
    }

    #[test]
    fn sentences_are_broken_at_blanks() {
        assert_eq!(broken("one two three", 7), ["one two", "three"]);
        assert_eq!(broken("overlong x", 3), ["overlong", "x"]);
        assert!(broken(" ", 3).is_empty());
    }

    #[test]
    fn colours_of_a_log_are_left_out() {
        assert_eq!(
            without_escapes("\x1b[90m12:00\x1b[0m \x1b[1;32mINF\x1b[0m up"),
            "12:00 INF up"
        );
        assert_eq!(without_escapes("cut \x1b[9"), "cut ");
    }
}
