// SPDX-License-Identifier: GPL-3.0-or-later
//! A program in a terminal of its own, and what that terminal shows, as a page.

use std::{
    error::Error,
    path::Path,
    process::{Child, Command},
};

use browser::Page;
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use test_bed::Terminal;
use vt100::Color;

const ROWS: u16 = 26;
const COLUMNS: u16 = 88;

/// A program in a terminal. It is ended, politely, when dropped.
pub(crate) struct Program {
    process: Child,
    pub(crate) terminal: Terminal,
}

impl Program {
    pub(crate) fn run(program: &Path, arguments: &[&str]) -> Result<Self, Box<dyn Error>> {
        let terminal = Terminal::new(ROWS, COLUMNS);
        let mut command = Command::new(program);
        command.args(arguments).env("TERM", "xterm-256color");
        terminal.lend(&mut command);
        let process = command.spawn()?;
        Ok(Self { process, terminal })
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let pid = Pid::from_raw(i32::try_from(self.process.id()).unwrap_or(i32::MAX));
        // Gone already.
        kill(pid, Signal::SIGINT).ok();
        // Was started by us.
        self.process.wait().ok();
    }
}

/// Draws it in a page: one line of text per row, one element per run of equal letters.
/// Returns its size in CSS pixels.
pub(crate) fn show(terminal: &Terminal, page: &Page<'_>) -> Result<(u32, u32), Box<dyn Error>> {
    let rows = terminal.look(|screen| (0..screen.size().0).map(|row| runs(screen, row)).collect::<Vec<_>>());
    let used = rows.iter().rposition(|row| !row.is_empty()).map_or(0, |last| last + 1);
    page.goto("about:blank")?;
    let size = page.run(&format!("{DRAW}({})", serde_json::to_string(&rows[..used])?))?;
    Ok(serde_json::from_value(size)?)
}

/// Text, colour, and whether it is bold or dim.
type Run = (String, String, bool, bool);

fn runs(screen: &vt100::Screen, row: u16) -> Vec<Run> {
    let mut made: Vec<Run> = Vec::new();
    for cell in (0..screen.size().1).filter_map(|column| screen.cell(row, column)) {
        let text = if cell.has_contents() { cell.contents() } else { " " };
        let style = (colour(cell.fgcolor()), cell.bold(), cell.dim());
        match made.last_mut() {
            Some((before, colour, bold, dim)) if (&*colour, *bold, *dim) == (&style.0, style.1, style.2) => {
                before.push_str(text);
            }
            Some(_) | None => made.push((text.to_owned(), style.0, style.1, style.2)),
        }
    }
    while made.last().is_some_and(|(text, ..)| text.trim().is_empty()) {
        made.pop();
    }
    made
}

fn colour(colour: Color) -> String {
    match colour {
        Color::Default => String::new(),
        Color::Idx(number) => format!("c{number}"),
        Color::Rgb(red, green, blue) => format!("#{red:02x}{green:02x}{blue:02x}"),
    }
}

/// A window around the rows; its sixteen colours keep their contrast in both themes.
const DRAW: &str = include_str!("terminal.js");
