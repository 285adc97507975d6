// SPDX-License-Identifier: GPL-3.0-or-later

//! `reload`: has the worker of a home become its successor, and says what came of it.
//!
//! ```text
//! home ─► its socket ── connects, which is the question ──► "agreed", then "yes VERSION" or "no WHY"
//! ```
//!
//! The one who answers "yes" is the successor: the connection is handed over with everything else.

use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use tokio::time::Instant;

use super::running_worker;
use crate::departure::Departure;
use crate::files::SocketListener;
use crate::home::ask_to_reload;

/// How long the worker may take to find out whether there is a successor; which has 10 s to answer.
const TO_AGREE: Duration = Duration::from_secs(20);

/// How long it may then take. What cannot be handed over is waited for, and may be long.
const TO_FOLLOW: Duration = Duration::from_secs(10);

/// What came of it.
#[derive(Debug, PartialEq, Eq)]
enum Answer {
    /// It is the successor that says so, of this version.
    Reloaded(String),
    /// It will be.
    Agreed,
    /// Why not.
    Refused(String),
    /// It has said nothing in time.
    Silence,
    /// It is gone.
    Gone,
}

/// Has the worker of `home` reloaded.
///
/// # Errors
/// How the process is to end. Why was said.
pub(super) fn reload(home: &Path) -> Result<(), Departure> {
    let pid = running_worker::find(home).map_err(|error| super::failed(&error))?.pid;
    let asking = match ask_to_reload(home, TO_AGREE).map_err(|error| super::failed(&error))? {
        SocketListener::Connected(asking) => asking,
        SocketListener::Busy => return Err(refused(&format!("worker {pid} does not answer"))),
        SocketListener::Nobody => {
            return Err(refused(&format!(
                "worker {pid} cannot be reloaded: it is of an earlier version, or its home has no room for sockets; `drain` ends \
                 it when its task is finished"
            )));
        }
    };
    match answer(&asking).map_err(|error| super::failed(&error))? {
        Answer::Reloaded(version) => say(&format!("worker {pid} goes on as flamenco-worker {version}")),
        Answer::Agreed => say(&format!(
            "worker {pid} will reload when what it does now is finished: it works on files, or renders in a Blender that is kept"
        )),
        Answer::Refused(why) => return Err(refused(&format!("worker {pid} goes on as it was: {why}"))),
        Answer::Silence => return Err(refused(&format!("worker {pid} does not answer"))),
        Answer::Gone => return Err(refused(&format!("worker {pid} has left, or did not live through it"))),
    }
    Ok(())
}

fn answer(asking: &UnixStream) -> io::Result<Answer> {
    let mut lines = BufReader::new(asking);
    let (mut deadline, mut otherwise) = (Instant::now() + TO_AGREE, Answer::Silence);
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        asking.set_read_timeout(Some(left.max(Duration::from_millis(1))))?;
        let mut line = String::new();
        match lines.read_line(&mut line) {
            Ok(0) => return Ok(Answer::Gone),
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return Ok(Answer::Gone),
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                return Ok(otherwise);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            read => read?,
        };
        match line.trim_end().split_once(' ').unwrap_or((line.trim_end(), "")) {
            ("yes", version) => return Ok(Answer::Reloaded(version.to_owned())),
            ("no", why) => return Ok(Answer::Refused(rest(why, &mut lines))),
            ("agreed", _) => (deadline, otherwise) = (Instant::now() + TO_FOLLOW, Answer::Agreed),
            // A newer one may say more.
            _ => {}
        }
    }
}

/// Why may take more than a line.
fn rest(first: &str, lines: &mut impl BufRead) -> String {
    let more = lines.lines().map_while(Result::ok);
    [first.to_owned()]
        .into_iter()
        .chain(more)
        .collect::<Vec<_>>()
        .join("\n")
}

/// It does not matter if standard output is closed.
fn say(line: &str) {
    writeln!(io::stdout(), "{line}").ok();
}

fn refused(why: &str) -> Departure {
    super::say(&why);
    Departure::Failure
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(said: &str) -> Answer {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        theirs.write_all(said.as_bytes()).unwrap();
        drop(theirs);
        answer(&ours).unwrap()
    }

    #[test]
    fn the_last_word_counts() {
        assert_eq!(heard("agreed\nyes 1.2.3 (x)\n"), Answer::Reloaded("1.2.3 (x)".into()));
        assert_eq!(
            heard("no a:1:2: wrong\n  |\n"),
            Answer::Refused("a:1:2: wrong\n  |".into())
        );
        assert_eq!(heard("agreed\nnews of a later version\n"), Answer::Gone);
        assert_eq!(heard(""), Answer::Gone);
    }
}
