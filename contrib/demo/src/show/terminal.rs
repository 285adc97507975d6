// SPDX-License-Identifier: GPL-3.0-or-later
//! Standard output: lasting lines, and below them, on a terminal, some that are drawn over and over.
//!
//! ```text
//! lasting ──┬─► texts ─► thread ─► stdout        a reader that stands still holds up the thread, never us
//! block ────┘     └─ frames are left out while it does
//! ```

use std::{
    env,
    io::{self, IsTerminal, Write},
    os::fd::AsFd,
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        mpsc::{self, Sender},
    },
    thread,
    time::Duration,
};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use terminal_size::{Height, Width, terminal_size_of};

use super::text::{GLUE, columns, cut};

/// Columns and rows until a terminal says otherwise, and of what is no terminal.
const SIZE: (usize, usize) = (80, 24);
/// A reader that stands still at the end is waited for this long.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// How something is set off from the rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ink {
    Plain,
    Bold,
    Dim,
    Green,
    Red,
    Cyan,
}

/// A line in pieces, so that it can be cut before it is coloured.
pub(crate) type Line = Vec<(Ink, String)>;

/// Where everything is written.
pub(crate) struct Terminal {
    moving: bool,
    colour: bool,
    texts: Sender<String>,
    queue: Arc<Queue>,
    /// The lines drawn last, uncoloured: what stands below the lasting ones.
    drawn: Vec<String>,
    /// The width they were drawn at.
    drawn_at: usize,
}

/// What the thread has not written yet.
#[derive(Default)]
struct Queue {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    waiting: usize,
    /// Nothing can be written any more.
    broken: bool,
}

impl Terminal {
    /// # Errors
    /// There is no thread to write from.
    pub(crate) fn open() -> io::Result<Self> {
        let dumb = env::var_os("TERM").is_some_and(|kind| kind == "dumb");
        let moving = io::stdout().is_terminal() && !dumb;
        let unwanted = env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let (texts, received) = mpsc::channel::<String>();
        let queue = Arc::new(Queue::default());
        let theirs = Arc::clone(&queue);
        thread::Builder::new()
            .name("terminal".to_owned())
            .spawn(move || received.iter().for_each(|text| theirs.write(&text)))?;
        Ok(Self {
            moving,
            colour: moving && !unwanted,
            texts,
            queue,
            drawn: Vec::new(),
            drawn_at: SIZE.0,
        })
    }

    /// Lines can be drawn over here.
    pub(crate) fn moving(&self) -> bool {
        self.moving
    }

    /// Columns and rows, as they are now.
    pub(crate) fn size(&self) -> (usize, usize) {
        let size = self.moving.then(|| terminal_size_of(io::stdout())).flatten();
        let size = size.filter(|(Width(columns), Height(rows))| *columns > 0 && *rows > 0);
        size.map_or(SIZE, |(Width(columns), Height(rows))| (columns.into(), rows.into()))
    }

    /// Writes what stays. The lines that are drawn over give way to it.
    pub(crate) fn lasting(&mut self, text: &str) {
        let gone = self.erase(self.size().0);
        self.send(&format!("{gone}{text}"));
    }

    /// Draws these lines in the place of those drawn last: as many as there is room for, each as far as it fits.
    pub(crate) fn block(&mut self, lines: &[Line]) {
        if !self.moving {
            return;
        }
        let (width, height) = self.size();
        let cut_off = width.saturating_sub(1);
        let room = height.saturating_sub(1).max(1);
        let shown = &lines[..lines.len().min(room)];
        let plain: Vec<String> = shown.iter().map(|line| cut(&uncoloured(line), cut_off)).collect();
        if (plain == self.drawn && width == self.drawn_at) || self.queue.lock().waiting > 0 {
            return;
        }
        let mut text = self.erase(width);
        for (at, line) in shown.iter().enumerate() {
            if at > 0 {
                text.push('\n');
            }
            text.push_str(&self.painted(line, cut_off));
        }
        (self.drawn, self.drawn_at) = (plain, width);
        self.send(&text);
    }

    /// A text in colour, where colours are wanted.
    pub(crate) fn inked(&self, ink: Ink, text: &str) -> String {
        let code = match ink {
            Ink::Plain => return text.to_owned(),
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

    /// The pipe has no reader, or the terminal is gone.
    pub(crate) fn nobody_reads(&self) -> bool {
        let out = io::stdout();
        let mut looked_at = [PollFd::new(out.as_fd(), PollFlags::empty())];
        let gone = poll(&mut looked_at, PollTimeout::ZERO).is_ok_and(|ready| ready > 0);
        gone || self.queue.lock().broken
    }

    /// What takes the drawn lines away. A terminal that became narrower has broken them into more rows.
    fn erase(&mut self, width: usize) -> String {
        let rows = |line: &String| columns(line).div_ceil(width.max(1)).max(1);
        match self.drawn.drain(..).map(|line| rows(&line)).sum() {
            0 => String::new(),
            1 => "\r\x1b[J".to_owned(),
            rows => format!("\r\x1b[{}A\x1b[J", rows - 1_usize),
        }
    }

    fn painted(&self, line: &Line, width: usize) -> String {
        let mut room = width;
        let mut text = String::new();
        for (ink, piece) in line {
            let short = cut(piece, room);
            let whole = short == *piece;
            room -= columns(&short).min(room);
            text.push_str(&self.inked(*ink, &short));
            if !whole {
                break;
            }
        }
        text
    }

    fn send(&self, text: &str) {
        self.queue.lock().waiting += 1;
        let _the_thread_lives_as_long = self.texts.send(text.replace(GLUE, " "));
    }
}

impl Drop for Terminal {
    /// Lets what was said last be read, and leaves the cursor on a line of its own.
    fn drop(&mut self) {
        if !self.drawn.is_empty() {
            self.lasting("");
        }
        let busy = |state: &mut State| state.waiting > 0 && !state.broken;
        let _read_or_not = self
            .queue
            .changed
            .wait_timeout_while(self.queue.lock(), LAST_WORDS, busy);
    }
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self, text: &str) {
        let mut out = io::stdout().lock();
        let written = out.write_all(text.as_bytes()).and_then(|()| out.flush());
        let mut state = self.lock();
        state.waiting -= 1;
        state.broken |= written.is_err();
        self.changed.notify_all();
    }
}

fn uncoloured(line: &Line) -> String {
    line.iter().map(|(_, piece)| piece.as_str()).collect()
}
