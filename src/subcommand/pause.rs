// SPDX-License-Identifier: GPL-3.0-or-later

//! `pause` and `resume`: say so at the socket of the worker, and tell what it answers.

use std::io::{self, Read, Write};
use std::path::Path;
use std::time::Duration;

use super::running_worker;
use crate::departure::Departure;
use crate::files::SocketListener;
use crate::home::ask_to_pause;

/// How long the worker may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// No answer is longer, in bytes.
const LONGEST: u64 = 4 << 10;

/// Pauses the worker of `home`, for `length` if there is one.
///
/// # Errors
/// How the process is to end. Why was said.
pub(super) fn pause(home: &Path, length: Option<Duration>) -> Result<(), Departure> {
    // No time at all would be for ever, or over before it is begun.
    let seconds = length.map(|length| length.as_secs_f64().ceil().max(1.0));
    tell(
        home,
        &seconds.map_or("pause".to_owned(), |seconds| format!("pause {seconds:.0}")),
    )
}

/// Ends that.
///
/// # Errors
/// As [`pause`].
pub(super) fn resume(home: &Path) -> Result<(), Departure> {
    tell(home, "resume")
}

fn tell(home: &Path, what: &str) -> Result<(), Departure> {
    let pid = running_worker::find(home).map_err(|error| super::failed(&error))?.pid;
    let refused = |why: &str| {
        super::say(&format!("worker {pid} {why}"));
        Departure::Failure
    };
    let mut stream = match ask_to_pause(home, PATIENCE).map_err(|error| super::failed(&error))? {
        SocketListener::Connected(stream) => stream,
        SocketListener::Busy => return Err(refused("does not answer")),
        SocketListener::Nobody => {
            return Err(refused(
                "cannot be paused: it is of an earlier version, or its home has no room for sockets; `sleep` has it take \
                 no new task",
            ));
        }
    };
    let said = (|| {
        let mut said = String::new();
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.write_all(format!("{what}\n").as_bytes())?;
        stream.take(LONGEST).read_to_string(&mut said)?;
        Ok::<_, io::Error>(said)
    })();
    let said = said.map_err(|_| refused("does not answer"))?;
    match said.trim_end().split_once(' ') {
        Some(("yes", done)) => {
            // It does not matter if standard output is closed.
            writeln!(io::stdout(), "worker {pid} {done}").ok();
            Ok(())
        }
        Some(("no", why)) => Err(refused(&format!("does not do that: {why}"))),
        Some(_) | None => Err(refused("does not answer")),
    }
}
