// SPDX-License-Identifier: GPL-3.0-or-later

//! A tree that is paused at random moments before its end, and resumed, or ended as it stands still.
//!
//! While it is paused all of it stands still, and when it goes on nobody of it is left stopped, but who has stopped itself.

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use fastrand::Rng;
use test_bed::{children, lives};

use super::tree::HALTS;
use super::{LOOK, PATIENCE};
use crate::node::Node;

/// So many pauses at most.
const MOST: usize = 3;
/// Between two of them, and in each, at most so many microseconds go by.
const LONGEST: u64 = 20_000;
/// Where control groups of version 2 are.
const MOUNTS: [&str; 2] = ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"];

/// When a tree is paused, and for how long.
#[derive(Debug)]
pub(super) struct Pauses {
    times: Vec<(Duration, Duration)>,
    /// It is ended in the last of them.
    ends_still: bool,
}

/// What they came to.
#[derive(Debug, Default)]
pub(super) struct PauseTotals {
    pauses: u64,
    /// Those that were seen to stand still, all in all.
    frozen: usize,
    worst_freeze: Duration,
    worst_thaw: Duration,
}

impl Pauses {
    pub(super) fn new(chance: &mut Rng) -> Self {
        let mut time = |_| Duration::from_micros(chance.u64(..LONGEST));
        let times: Vec<_> = (0..MOST).map(|number| (time(number), time(number))).collect();
        let count = chance.usize(..=MOST);
        Self {
            times: times.into_iter().take(count).collect(),
            ends_still: chance.u8(..3) == 0,
        }
    }

    /// Does all that comes before the tree's end. `living` finds who bears its tag.
    ///
    /// # Errors
    /// Somebody goes on who should stand still, or the other way round.
    pub(super) fn go_by(
        &self,
        node: &Node,
        living: &dyn Fn() -> Vec<i32>,
        totals: &mut PauseTotals,
    ) -> Result<(), String> {
        for (number, (before, still)) in self.times.iter().enumerate() {
            std::thread::sleep(*before);
            let begin = Instant::now();
            tell(node, "pause")?;
            let frozen = frozen(node)?;
            totals.worst_freeze = totals.worst_freeze.max(begin.elapsed());
            totals.pauses += 1;
            totals.frozen += frozen.len();
            std::thread::sleep(*still);
            let now: BTreeSet<i32> = below(node).into_iter().collect();
            // The program may have been about to start.
            if !frozen.is_empty() && !now.is_subset(&frozen) {
                return Err(format!("{frozen:?} stood still, and there are {now:?}"));
            }
            if !self.ends_still || number + 1 < self.times.len() {
                let begin = Instant::now();
                self.resume(node, living)?;
                totals.worst_thaw = totals.worst_thaw.max(begin.elapsed());
            }
        }
        Ok(())
    }

    /// Lets go on who still is there.
    ///
    /// # Errors
    /// Somebody is left stopped.
    pub(super) fn resume(&self, node: &Node, living: &dyn Fn() -> Vec<i32>) -> Result<(), String> {
        if self.times.is_empty() {
            return Ok(());
        }
        tell(node, "resume")?;
        within(node, "is left stopped", || stopped(&living())).map(drop)
    }
}

/// Waits until all stand still, and two looks find the same: who was not stopped yet in the first may have forked.
fn frozen(node: &Node) -> Result<BTreeSet<i32>, String> {
    let mut found = within(node, "runs on", || moving(&below(node)))?;
    loop {
        let again = within(node, "runs on", || moving(&below(node)))?;
        if again == found {
            return Ok(found);
        }
        found = again;
    }
}

/// All that live below the guard. Who is just being executed bears no tag.
fn below(node: &Node) -> Vec<i32> {
    let mut open: Vec<i32> = children(node.worker.pid().cast_signed());
    let mut all = Vec::new();
    while let Some(parent) = open.pop() {
        let found: Vec<i32> = children(parent).into_iter().filter(|pid| lives(*pid)).collect();
        all.extend(&found);
        open.extend(found);
    }
    all
}

/// Says a word to the worker, as `flamenco-worker pause` and `resume` do.
fn tell(node: &Node, word: &str) -> Result<(), String> {
    let socket = node.worker.folder().join("home/flamenco-worker.pause");
    let said = UnixStream::connect(socket).and_then(|mut stream| {
        let mut said = String::new();
        stream.write_all(format!("{word}\n").as_bytes())?;
        stream.read_to_string(&mut said)?;
        Ok(said)
    });
    match said {
        Ok(said) if said.starts_with("yes ") => Ok(()),
        Ok(said) => Err(format!("{word}: {said}")),
        Err(error) => Err(format!("{word}: {error}")),
    }
}

/// Waits until nobody is found to do what it should not, and returns who was looked at.
fn within(
    node: &Node,
    what: &str,
    mut look: impl FnMut() -> (BTreeSet<i32>, Vec<String>),
) -> Result<BTreeSet<i32>, String> {
    let begin = Instant::now();
    loop {
        let (all, wrong) = look();
        if wrong.is_empty() {
            return Ok(all);
        }
        if begin.elapsed() > PATIENCE {
            return Err(format!("{what}: {wrong:?}\n{}", node.worker.log()));
        }
        std::thread::sleep(LOOK);
    }
}

fn moving(living: &[i32]) -> (BTreeSet<i32>, Vec<String>) {
    let moves = |pid: &&i32| {
        let stat = stat(**pid);
        let is_still = |(_, state): &(String, char)| match state {
            'T' | 'Z' | 'X' => true,
            // The parent of a vfork, until its child, which may stand still, has executed.
            'D' => !children(**pid).is_empty(),
            _ => false,
        };
        stat.is_some_and(|stat| !is_still(&stat)) && !is_in_frozen_group(**pid)
    };
    let wrong = living.iter().filter(moves).map(ToString::to_string).collect();
    (living.iter().copied().collect(), wrong)
}

fn stopped(living: &[i32]) -> (BTreeSet<i32>, Vec<String>) {
    let stands = |pid: &&i32| {
        let is_stopped = |(name, state): (String, char)| state == 'T' && name != HALTS;
        stat(**pid).is_some_and(is_stopped) || is_in_frozen_group(**pid)
    };
    let wrong = living.iter().filter(stands).map(ToString::to_string).collect();
    (living.iter().copied().collect(), wrong)
}

/// The name and the state of a process (proc_pid_stat(5)).
fn stat(pid: i32) -> Option<(String, char)> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (name, rest) = stat.split_once('(')?.1.rsplit_once(") ")?;
    Some((name.to_owned(), rest.chars().next()?))
}

fn is_in_frozen_group(pid: i32) -> bool {
    let groups = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default();
    let Some(group) = groups.lines().find_map(|line| line.strip_prefix("0::/")) else {
        return false;
    };
    let events = MOUNTS.map(|mount| fs::read_to_string(format!("{mount}/{group}/cgroup.events")));
    events
        .into_iter()
        .flatten()
        .any(|text| text.lines().any(|line| line == "frozen 1"))
}
