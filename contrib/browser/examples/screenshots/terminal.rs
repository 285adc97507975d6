// SPDX-License-Identifier: GPL-3.0-or-later
//! A program in a terminal of its own, and what that terminal shows, as a page.

use std::{
    error::Error,
    fs::File,
    io::Read,
    path::Path,
    process::{Child, Command},
    sync::{Arc, Mutex, PoisonError},
    thread::JoinHandle,
};

use browser::Page;
use nix::{
    pty::{Winsize, openpty},
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use vt100::{Color, Parser};

const ROWS: u16 = 26;
const COLUMNS: u16 = 88;

/// Ends its program, politely, when dropped.
pub(crate) struct Terminal {
    program: Child,
    screen: Arc<Mutex<Parser>>,
    reader: Option<JoinHandle<()>>,
}

impl Terminal {
    pub(crate) fn run(program: &Path, arguments: &[&str]) -> Result<Self, Box<dyn Error>> {
        let size = Winsize {
            ws_row: ROWS,
            ws_col: COLUMNS,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        let pair = openpty(&size, None)?;
        let screen = Arc::new(Mutex::new(Parser::new(ROWS, COLUMNS, 0)));
        let reader = {
            let (screen, mut master) = (Arc::clone(&screen), File::from(pair.master));
            std::thread::spawn(move || {
                let mut bytes = [0; 4096];
                // The last one who could write to it is gone: an error says so, on Linux.
                while let Ok(some @ 1..) = master.read(&mut bytes) {
                    screen
                        .lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .process(&bytes[..some]);
                }
            })
        };
        let program = Command::new(program)
            .args(arguments)
            .env("TERM", "xterm-256color")
            .stdin(File::from(pair.slave.try_clone()?))
            .stdout(File::from(pair.slave.try_clone()?))
            .stderr(File::from(pair.slave))
            .spawn()?;
        Ok(Self {
            program,
            screen,
            reader: Some(reader),
        })
    }

    pub(crate) fn text(&self) -> String {
        self.look(vt100::Screen::contents)
    }

    fn look<T>(&self, at: impl FnOnce(&vt100::Screen) -> T) -> T {
        at(self.screen.lock().unwrap_or_else(PoisonError::into_inner).screen())
    }

    /// Draws it in a page: one line of text per row, one element per run of equal letters.
    /// Returns its size in CSS pixels.
    pub(crate) fn show(&self, page: &Page<'_>) -> Result<(u32, u32), Box<dyn Error>> {
        let rows = self.look(|screen| (0..ROWS).map(|row| runs(screen, row)).collect::<Vec<_>>());
        let used = rows.iter().rposition(|row| !row.is_empty()).map_or(0, |last| last + 1);
        page.goto("about:blank")?;
        let size = page.run(&format!("{DRAW}({})", serde_json::to_string(&rows[..used])?))?;
        Ok(serde_json::from_value(size)?)
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let pid = Pid::from_raw(i32::try_from(self.program.id()).unwrap_or(i32::MAX));
        // Gone already.
        kill(pid, Signal::SIGINT).ok();
        // Was started by us.
        self.program.wait().ok();
        if let Some(reader) = self.reader.take() {
            // Its panic was printed.
            reader.join().ok();
        }
    }
}

/// Text, colour, and whether it is bold or dim.
type Run = (String, String, bool, bool);

fn runs(screen: &vt100::Screen, row: u16) -> Vec<Run> {
    let mut made: Vec<Run> = Vec::new();
    for cell in (0..COLUMNS).filter_map(|column| screen.cell(row, column)) {
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
