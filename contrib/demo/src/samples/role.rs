// SPDX-License-Identifier: GPL-3.0-or-later
//! The hidden role of a program that misbehaves. The last word names a folder, so that whatever plays a role can be found
//! by its command line, whatever it did to its session, its parents and its environment.
//!
//! ```text
//! demo demo-sample escape FOLDER ─┬─► escape-setsid
//!                                 ├─► escape-nohup
//!                                 ├─► escape-no-env
//!                                 ├─► escape-fork ─► escape-orphan        the middle one goes at once
//!                                 └─► escape-daemonize ─► escape-daemon
//! ```

use std::{
    ffi::{CString, OsStr, OsString},
    io::{self, Write},
    path::Path,
    process::ExitCode,
    time::{Duration, Instant},
};

use nix::{
    sys::{prctl, signal::Signal},
    unistd::setsid,
};

use crate::{
    interrupt::Interrupt,
    programs::{self, Dress},
};

/// The hidden first word.
pub(crate) const ROLE: &str = "demo-sample";
/// What the failing program ends with.
pub(crate) const FAILURE: u8 = 3;
/// Lines of the flood.
pub(crate) const FLOOD: u32 = 100_000;
/// What the stubborn program says once signals cannot move it any more.
pub(crate) const STUBBORN: &str = "Nothing but SIGKILL ends me now.";

/// How often the stubborn program says that it is there.
const HEARTBEAT: Duration = Duration::from_secs(2);
/// Whoever runs away would come home after this long, should nobody end it.
const LONG_ENOUGH: Duration = Duration::from_secs(600);
/// The tree stays this long, to be looked at from outside.
const WATCHED: Duration = Duration::from_secs(2);
/// Starting five small programs takes milliseconds.
const UP: Duration = Duration::from_secs(10);
/// How often the tree is counted until it is whole.
const COUNT: Duration = Duration::from_millis(20);

/// Who one of them is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    Failing,
    Stubborn,
    Flood,
    Escape,
    /// Leads a session of its own, and keeps the output open.
    Setsid,
    /// Does not hear SIGHUP.
    Nohup,
    /// Knows nothing of where it came from.
    NoEnvironment,
    /// Goes, and leaves an orphan.
    Fork,
    Orphan,
    /// Goes, and leaves a daemon: a session of its own, the root directory, no input, no output.
    Daemonize,
    Daemon,
}

impl Role {
    const ALL: [(Self, &str); 11] = [
        (Self::Failing, "failing"),
        (Self::Stubborn, "stubborn"),
        (Self::Flood, "flood"),
        (Self::Escape, "escape"),
        (Self::Setsid, "escape-setsid"),
        (Self::Nohup, "escape-nohup"),
        (Self::NoEnvironment, "escape-no-env"),
        (Self::Fork, "escape-fork"),
        (Self::Orphan, "escape-orphan"),
        (Self::Daemonize, "escape-daemonize"),
        (Self::Daemon, "escape-daemon"),
    ];
    /// Those that the tree consists of once the two in the middle have gone.
    pub(crate) const RUNAWAYS: [Self; 5] = [
        Self::Setsid,
        Self::Nohup,
        Self::NoEnvironment,
        Self::Orphan,
        Self::Daemon,
    ];

    pub(crate) fn word(self) -> &'static str {
        let entry = Self::ALL.iter().find(|(role, _)| *role == self);
        entry.map_or("", |(_, word)| word)
    }

    fn parse(word: &OsStr) -> Option<Self> {
        let entry = Self::ALL.iter().find(|(_, known)| word == *known)?;
        Some(entry.0)
    }

    fn play(self, folder: &Path) -> io::Result<ExitCode> {
        match self {
            Self::Failing => return fail(),
            Self::Stubborn => hold_on()?,
            Self::Flood => talk()?,
            Self::Escape => run_away(folder)?,
            Self::Setsid => {
                setsid()?;
                stay_away()?;
            }
            Self::Nohup | Self::NoEnvironment | Self::Orphan | Self::Daemon => stay_away()?,
            Self::Fork => drop(programs::again(Self::Orphan, folder, Dress::AsItIs)?),
            Self::Daemonize => {
                setsid()?;
                drop(programs::again(Self::Daemon, folder, Dress::Daemon)?);
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// Plays the role that the words name.
pub(crate) fn play(mut words: impl Iterator<Item = OsString>) -> ExitCode {
    let (role, folder) = (words.next().and_then(|word| Role::parse(&word)), words.next());
    let (Some(role), Some(folder)) = (role, folder) else {
        return ExitCode::from(2);
    };
    if let Ok(name) = CString::new(role.word()) {
        // Only for people.
        prctl::set_name(&name).ok();
    }
    role.play(Path::new(&folder)).unwrap_or_else(|error| {
        // Nobody else to tell.
        say(&format!("Error: {error}")).ok();
        ExitCode::FAILURE
    })
}

fn say(line: &str) -> io::Result<()> {
    let mut out = io::stdout();
    writeln!(out, "{line}").and_then(|()| out.flush())
}

fn fail() -> io::Result<ExitCode> {
    say("Reading the cache of frame 12 ...")?;
    say("Error: cache/smoke-0012.vdb: unexpected end of file (0 of 48 MB)")?;
    say("Error: the simulation cannot go on from a broken cache")?;
    Ok(ExitCode::from(FAILURE))
}

fn talk() -> io::Result<()> {
    let mut out = io::BufWriter::new(io::stdout().lock());
    for line in 1..=FLOOD {
        writeln!(
            out,
            "line {line} of {FLOOD}: the quick brown fox jumps over the lazy dog"
        )?;
    }
    out.flush()
}

fn hold_on() -> io::Result<()> {
    let signals = Interrupt::listen()?;
    say(STUBBORN)?;
    let began = Instant::now();
    while began.elapsed() < LONG_ENOUGH {
        match signals.another(HEARTBEAT).map(Signal::try_from) {
            Some(Ok(signal)) => say(&format!("{signal} came. I stay."))?,
            Some(Err(_)) | None => say(&format!("Still here after {} s.", began.elapsed().as_secs()))?,
        }
    }
    Ok(())
}

fn stay_away() -> io::Result<()> {
    let signals = Interrupt::listen()?;
    let began = Instant::now();
    while began.elapsed() < LONG_ENOUGH {
        signals.another(LONG_ENOUGH);
    }
    Ok(())
}

fn run_away(folder: &Path) -> io::Result<()> {
    let start = |role, dress| programs::again(role, folder, dress);
    for (role, dress) in [
        (Role::Setsid, Dress::AsItIs),
        (Role::Nohup, Dress::AsItIs),
        (Role::NoEnvironment, Dress::Bare),
    ] {
        drop(start(role, dress)?);
    }
    for role in [Role::Fork, Role::Daemonize] {
        start(role, Dress::AsItIs)?.wait()?;
    }
    let signals = Interrupt::listen()?;
    let began = Instant::now();
    let gone = || {
        let there = programs::playing(folder);
        let role = |role: &Role| there.iter().find(|(_, name)| name == role.word()).cloned();
        Role::RUNAWAYS.iter().filter_map(role).collect::<Vec<_>>()
    };
    while gone().len() < Role::RUNAWAYS.len() && began.elapsed() < UP {
        signals.another(COUNT);
    }
    for (pid, name) in gone() {
        say(&format!("{name} (pid {pid}) is on its own now."))?;
    }
    signals.another(WATCHED);
    say("I leave now. They stay.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_role_is_found_by_its_word_and_its_name_fits_the_kernel_s_sixteen_bytes() {
        for (role, word) in Role::ALL {
            assert_eq!((Role::parse(OsStr::new(word)), role.word()), (Some(role), word));
        }
        assert!(Role::RUNAWAYS.iter().all(|role| role.word().len() < 16));
        assert_eq!(Role::parse(OsStr::new("escape-")), None);
    }
}
