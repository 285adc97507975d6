// SPDX-License-Identifier: GPL-3.0-or-later

//! That somebody has paused this worker: the file `paused`, with since when and until when, in milliseconds since 1970. A
//! worker that dies or is restarted meanwhile is none the less paused: whoever asked for it is still there.

use std::io;

use jiff::Timestamp;

use super::open::Home;
use crate::files;
use crate::pause::AskedPause;

const NAME: &str = "paused";

/// Far more than two numbers have.
const LONGEST: u64 = 100;

impl Home {
    /// The pause that holds, if there is one; none where that cannot be told.
    pub(crate) fn asked_pause(&self) -> Option<AskedPause> {
        let path = self.dir.join(NAME);
        let text = self.files.run(move || files::read(&path, LONGEST)).ok()?;
        parse(std::str::from_utf8(&text).ok()?)
    }

    /// Remembers it, or that there is none.
    ///
    /// # Errors
    /// Whatever the file system says. It holds all the same, for as long as this process lives.
    pub(crate) fn remember_pause(&self, pause: Option<AskedPause>) -> io::Result<()> {
        let path = self.dir.join(NAME);
        self.files.run(move || match pause {
            Some(pause) => files::replace(&path, text(pause).as_bytes()),
            None => files::remove_if_there(&path),
        })
    }
}

fn text(AskedPause { since, until }: AskedPause) -> String {
    let until = until.map(|until| format!(" {}", until.as_millisecond()));
    format!("{}{}\n", since.as_millisecond(), until.unwrap_or_default())
}

/// `None` for what was not written here: nobody would know how to end it.
fn parse(text: &str) -> Option<AskedPause> {
    let mut times = text
        .split_ascii_whitespace()
        .map(|number| Timestamp::from_millisecond(number.parse().ok()?).ok());
    let since = times.next().flatten()?;
    let until = match times.next() {
        None => None,
        Some(until) => Some(until?),
    };
    Some(AskedPause { since, until })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn m1_what_is_written_is_read_and_nothing_else() {
        let at = |millis| Timestamp::from_millisecond(millis).unwrap();
        for until in [None, Some(at(1_764_519_000_000))] {
            let pause = AskedPause { since: at(5), until };
            assert_eq!(parse(&text(pause)), Some(pause));
        }
        for other in ["", "\n", "soon", "5 soon", "99999999999999999999"] {
            assert_eq!(parse(other), None, "{other:?}");
        }
    }
}
