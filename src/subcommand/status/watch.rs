// SPDX-License-Identifier: GPL-3.0-or-later

//! `status --watch`: looks again and again, and shows what has changed.
//!
//! Each look is a connection of its own: the worker has nothing to keep for who watches, and one that is started again is
//! found again. In a terminal the line of a task is written over until the next one begins; else, and as JSON, each change
//! is a line. It ends when nobody reads any more, or by the signal that interrupts any program.

use std::io::{self, IsTerminal, Write};
use std::os::fd::AsFd;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::Looking;
use super::observation::Observation;
use crate::clock;
use crate::departure::Departure;
use crate::printable::escape_line;
use crate::subcommand::written;

/// Between two looks, in milliseconds: a change is seen soon, and a look costs the worker some microseconds.
const PAUSE: u16 = 500;

/// Back to the start of the line, which is emptied; what follows is cut at the edge of the terminal, however wide that is.
const OVER: &str = "\r\x1b[2K\x1b[?7l";
/// Lines may be longer than the terminal again.
const WRAP: &str = "\x1b[?7h";

/// Shows each change until nobody reads any more.
///
/// # Errors
/// The output cannot be written.
pub(super) fn follow(looking: &Looking, json: bool) -> Result<(), Departure> {
    let is_terminal = io::stdout().is_terminal() && std::env::var_os("TERM").is_none_or(|term| term != "dumb");
    let mut screen = Screen {
        json,
        in_place: is_terminal && !json,
        last: None,
    };
    loop {
        match screen.show(looking) {
            Ok(()) if is_read() => {}
            Ok(()) => return Ok(()),
            cannot @ Err(_) => return written(cannot),
        }
    }
}

/// Where changes are shown.
struct Screen {
    json: bool,
    /// A line is written over the one before.
    in_place: bool,
    last: Option<LastShown>,
}

/// What was shown last.
struct LastShown {
    facts: Observation,
    subject: String,
    line: String,
}

impl Screen {
    fn show(&mut self, looking: &Looking) -> io::Result<()> {
        let seen = looking.observe();
        let facts = seen.facts();
        let mut out = io::stdout().lock();
        if !self.in_place {
            let is_news = self.last.as_ref().is_none_or(|last| last.facts != facts);
            if is_news {
                let text = if self.json {
                    seen.json(&looking.home)
                } else {
                    dated(&seen, looking)
                };
                writeln!(out, "{}", escape_line(&text))?;
                self.remember(facts, &seen, String::new());
            }
            return Ok(());
        }
        let line = seen.line(&looking.home);
        let text = escape_line(&line);
        let now = clock::now().strftime("%H:%M:%S");
        match &self.last {
            Some(last) if last.line == line => return Ok(()),
            Some(last) if last.subject == seen.subject() => write!(out, "{OVER}{now}  {text}{WRAP}")?,
            Some(_) => write!(out, "\n{OVER}{now}  {text}{WRAP}")?,
            None => write!(out, "{OVER}{now}  {text}{WRAP}")?,
        }
        out.flush()?;
        self.remember(facts, &seen, line);
        Ok(())
    }

    fn remember(&mut self, facts: Observation, seen: &Observation, line: String) {
        self.last = Some(LastShown {
            facts,
            subject: seen.subject(),
            line,
        });
    }
}

fn dated(seen: &Observation, looking: &Looking) -> String {
    format!(
        "{}  {}",
        clock::now().strftime("%Y-%m-%d %H:%M:%S"),
        seen.line(&looking.home)
    )
}

/// Waits for the next look; answers whether there is still somebody who reads.
fn is_read() -> bool {
    let stdout = io::stdout();
    // An end that is gone is told without being asked for.
    let mut ends = [PollFd::new(stdout.as_fd(), PollFlags::empty())];
    !poll(&mut ends, PollTimeout::from(PAUSE)).is_ok_and(|gone| gone > 0)
}
