// SPDX-License-Identifier: GPL-3.0-or-later

//! Terminals, as `w` looks at them: the access time of one is when its program has last read what somebody typed. Here and over
//! ssh, in a window or at a text console; the kernel moves the time on every 8 seconds at most (`tty_update_time`).
//!
//! Serial lines do not count, because mostly it is a device that writes there; nor do the terminals in which a task runs a
//! program.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::time::{ClockId, clock_gettime};
use nix::unistd::geteuid;
use tokio::time::{Instant, sleep};
use tracing::{debug, warn};

use super::signs::Signs;
use crate::blocking::run_blocking;
use crate::chain::chain;
use crate::pause::PresenceSource;
use crate::process::terminals_of_programs;

/// Where terminals are.
pub(crate) const FOLDER: &str = "/dev";

/// Between two looks, of times that move every 8 seconds.
const PAUSE: Duration = Duration::from_secs(3);

/// Consoles of the kernel (`MAX_NR_CONSOLES`); number 0 is whichever is shown.
const CONSOLES: std::ops::RangeInclusive<u32> = 1..=63;

/// While the machine starts, consoles are made and logins begin to wait at them: that is nobody.
const BOOT: i64 = 30;

/// A terminal at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Terminal {
    /// When something was read from it, in seconds since 1970.
    read: i64,
    /// The number of its device.
    device: u64,
    owner: u32,
}

/// The clock of files at one moment, in seconds since 1970.
#[derive(Debug, Clone, Copy)]
struct Clock {
    now: i64,
    /// When the machine was started.
    booted: i64,
}

/// Tells of what is typed.
pub(super) async fn watch(dev: &Path, idle: Duration, signs: &Signs) -> Infallible {
    let mut known = BTreeMap::new();
    let mut said = false;
    loop {
        match all(dev) {
            Ok(terminals) => {
                let ages = used(&known, &terminals, Clock::now());
                known = terminals;
                let recent: Vec<_> = ages.into_iter().filter(|(_, age)| *age < idle).collect();
                if let Some(age) = youngest_of_people(recent).await
                    && let Some(at) = Instant::now().checked_sub(age)
                {
                    signs.seen_at(PresenceSource::Terminal, at);
                }
            }
            Err(error) => {
                if !std::mem::replace(&mut said, true) {
                    warn!(error = chain(&error), "terminals do not tell whether somebody is here");
                }
            }
        }
        sleep(PAUSE).await;
    }
}

/// How many there are.
///
/// # Errors
/// The folder of terminals cannot be read.
pub(crate) fn count(dev: &Path) -> io::Result<usize> {
    all(dev).map(|all| all.len())
}

/// Each terminal by its path. These are files of the kernel's own, which do not hang.
fn all(dev: &Path) -> io::Result<BTreeMap<PathBuf, Terminal>> {
    let is_number = |name: &str| !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_digit());
    let entries = fs::read_dir(dev.join("pts"))?.flatten();
    let pseudo = entries.filter(|entry| entry.file_name().to_str().is_some_and(is_number));
    let consoles = CONSOLES.map(|number| dev.join(format!("tty{number}")));
    let paths = pseudo.map(|entry| entry.path()).chain(consoles);
    Ok(paths
        .filter_map(|path| {
            let seen = fs::metadata(&path).ok()?;
            let terminal = Terminal {
                read: seen.atime(),
                device: seen.rdev(),
                owner: seen.uid(),
            };
            Some((path, terminal))
        })
        .collect())
}

/// Those that were used since they were last `known`, and how long ago. A change is a sign whatever the clock says, which may
/// be set; of a terminal that is new the time has to make sense.
fn used(
    known: &BTreeMap<PathBuf, Terminal>,
    terminals: &BTreeMap<PathBuf, Terminal>,
    clock: Clock,
) -> Vec<(Terminal, Duration)> {
    let each = terminals.iter().filter_map(|(path, terminal)| {
        let age = clock.now.saturating_sub(terminal.read);
        match known.get(path) {
            Some(before) if before.read == terminal.read && before.device == terminal.device => return None,
            Some(_) => {}
            None if age < 0 || terminal.read <= clock.booted.saturating_add(BOOT) => return None,
            None => {}
        }
        Some((*terminal, Duration::from_secs(u64::try_from(age).unwrap_or(0))))
    });
    each.collect()
}

/// How long ago the last of them was used, without those in which a task runs a program.
async fn youngest_of_people(used: Vec<(Terminal, Duration)>) -> Option<Duration> {
    let user = geteuid().as_raw();
    let (may_be_ours, others): (Vec<_>, Vec<_>) = used.into_iter().partition(|(terminal, _)| terminal.owner == user);
    let mut people: Vec<_> = others.into_iter().map(|(_, age)| age).collect();
    // A terminal belongs to the user who opened it, so that others need no look at each process of ours.
    if !may_be_ours.is_empty() {
        let programs = run_blocking(terminals_of_programs).await;
        let (of_tasks, of_people): (Vec<_>, Vec<_>) = may_be_ours
            .into_iter()
            .partition(|(terminal, _)| programs.contains(&terminal.device));
        if !of_tasks.is_empty() {
            debug!(count = of_tasks.len(), "terminals of tasks were used");
        }
        people.extend(of_people.into_iter().map(|(_, age)| age));
    }
    people.into_iter().min()
}

impl Clock {
    fn now() -> Self {
        let seconds = |clock| clock_gettime(clock).map_or(0, |time| time.tv_sec());
        let now = seconds(ClockId::CLOCK_REALTIME);
        Self {
            now,
            booted: now - seconds(ClockId::CLOCK_BOOTTIME),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLOCK: Clock = Clock {
        now: 100_000,
        booted: 10_000,
    };

    fn terminals(read: &[(&str, i64)]) -> BTreeMap<PathBuf, Terminal> {
        let terminal = |read| Terminal {
            read,
            device: 0x8800,
            owner: 1000,
        };
        read.iter().map(|(path, at)| (path.into(), terminal(*at))).collect()
    }

    fn ages(known: &[(&str, i64)], now: &[(&str, i64)]) -> Vec<u64> {
        let used = used(&terminals(known), &terminals(now), CLOCK);
        used.iter().map(|(_, age)| age.as_secs()).collect()
    }

    #[test]
    fn m10_a_terminal_is_used_when_its_time_moves_and_at_first_as_w_says() {
        assert_eq!(ages(&[], &[("pts/0", 99_960), ("pts/1", 50_000)]), [40, 50_000]);
        assert_eq!(ages(&[("pts/0", 99_960)], &[("pts/0", 99_960)]), [0; 0]);
        assert_eq!(ages(&[("pts/0", 99_960)], &[("pts/0", 99_992)]), [8]);
        // The clock was set back meanwhile.
        assert_eq!(ages(&[("pts/0", 99_960)], &[("pts/0", 100_500)]), [0]);
        assert_eq!(ages(&[], &[("pts/0", 100_500)]), [0; 0]);
        // A console that nobody has read from since the machine was started.
        assert_eq!(ages(&[], &[("tty1", 10_004), ("tty2", 10_100)]), [89_900]);
    }

    #[test]
    fn m10_pseudo_terminals_and_consoles_are_looked_at_and_nothing_else() {
        let dev = tempfile::tempdir().unwrap();
        fs::create_dir(dev.path().join("pts")).unwrap();
        for name in [
            "pts/0", "pts/17", "pts/ptmx", "tty", "tty0", "tty1", "tty63", "ttyS0", "ttyUSB0", "null",
        ] {
            fs::write(dev.path().join(name), "").unwrap();
        }
        let found = all(dev.path()).unwrap();
        let names: Vec<_> = found
            .keys()
            .map(|path| path.strip_prefix(dev.path()).unwrap().to_str().unwrap())
            .collect();
        assert_eq!(names, ["pts/0", "pts/17", "tty1", "tty63"]);
        assert!(all(Path::new("/nonexistent")).is_err());
    }

    #[tokio::test]
    async fn m10_a_terminal_that_was_used_is_a_sign_and_one_of_a_task_is_none() {
        let dev = tempfile::tempdir().unwrap();
        fs::create_dir(dev.path().join("pts")).unwrap();
        fs::write(dev.path().join("pts/0"), "").unwrap();
        let signs = Signs::new(None, &[]);
        let mut seen = signs.watch();
        tokio::select! {
            seen = seen.wait_for(|seen| seen.last.is_some()) => drop(seen.unwrap()),
            never = watch(dev.path(), Duration::from_secs(600), &signs) => match never {},
        }
        assert_eq!(signs.now().source(), "terminal");
        let ours = Terminal {
            read: 0,
            device: 0,
            owner: geteuid().as_raw(),
        };
        let another = Terminal { owner: 77_777, ..ours };
        let second = Duration::from_secs(1);
        let youngest = youngest_of_people(vec![(ours, second), (another, second * 2)]).await;
        // The device of processes without a terminal is nobody's.
        assert_eq!(youngest, Some(second));
        assert_eq!(youngest_of_people(vec![]).await, None);
    }
}
