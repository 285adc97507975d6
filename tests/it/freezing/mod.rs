// SPDX-License-Identifier: GPL-3.0-or-later

//! A program that stands still with all below it while its machine is paused, and goes on as if nothing had been. Each case
//! once without control groups, and once in one of its own where that can be had.

mod ends;
mod time;
mod trees;

use std::fs;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use test_bed::{Farm, Group, Node, children, lives, pass, until};

/// Who uses no processor for so long uses none.
const WHILE: Duration = Duration::from_millis(150);

/// A farm with one node, whose programs have a control group of their own or not.
struct Place {
    farm: Farm,
    node: Node,
    group: Option<Group>,
}

/// What `/proc` says of a process.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Seen {
    pid: i32,
    state: char,
    ticks: u64,
    name: String,
}

impl Seen {
    fn of(pid: i32) -> Option<Self> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let (name, rest) = stat.split_once('(')?.1.rsplit_once(") ")?;
        let fields: Vec<_> = rest.split(' ').collect();
        Some(Self {
            pid,
            state: fields[0].chars().next()?,
            ticks: fields[11].parse::<u64>().ok()? + fields[12].parse::<u64>().ok()?,
            name: name.to_owned(),
        })
    }
}

/// One at a time: how soon all stand still is for the processor to say, and a storm of one test leaves none to another.
static STORMS: Mutex<()> = Mutex::new(());

/// Both places, or the first where there are no control groups.
fn each_place(timings: &[(&'static str, &'static str)], test: impl Fn(&mut Place)) {
    let _alone = STORMS.lock().unwrap_or_else(PoisonError::into_inner);
    for group in [None, Group::unified()] {
        let farm = Farm::new();
        let mut node = farm.node("node");
        node.config.timings.extend(timings);
        match &group {
            Some(group) => group.start(&mut node),
            None => drop(node.start()),
        }
        farm.awake();
        let mut place = Place { farm, node, group };
        test(&mut place);
        let Place { node, group, .. } = place;
        let dump = node.log();
        node.finish();
        if let Some(group) = group {
            until(
                "no group to be left",
                || group.below().is_empty().then_some(()),
                || dump,
            );
        }
    }
}

impl Place {
    /// Says a word to the worker, as `flamenco-worker pause` and `resume` do.
    fn tell(&self, word: &str) {
        let mut stream = UnixStream::connect(self.node.home().join("flamenco-worker.pause")).unwrap();
        stream.write_all(format!("{word}\n").as_bytes()).unwrap();
        let mut said = String::new();
        stream.read_to_string(&mut said).unwrap();
        assert!(said.starts_with("yes "), "{said}");
    }

    fn guard(&self) -> i32 {
        self.node.children()[0]
    }

    /// All that live below the guard.
    fn tree(&self) -> Vec<Seen> {
        let mut open = vec![self.guard()];
        let mut all = Vec::new();
        while let Some(pid) = open.pop() {
            let below = children(pid);
            all.extend(below.iter().copied().filter(|pid| lives(*pid)).filter_map(Seen::of));
            open.extend(below);
        }
        all.sort();
        all
    }

    /// Whether the program's group, if it has one, is `frozen 1`.
    fn group_is(&self, word: &str) -> bool {
        let Some(group) = &self.group else { return false };
        let below = group.below();
        let events = below
            .iter()
            .map(|name| fs::read_to_string(group.0.join(name).join("cgroup.events")).unwrap_or_default());
        events.into_iter().any(|text| text.lines().any(|line| line == word))
    }

    fn is_still(&self) -> bool {
        let tree = self.tree();
        let group_is_frozen = self.group_is("frozen 1");
        let is_member = |one: &Seen| {
            let groups = fs::read_to_string(format!("/proc/{}/cgroup", one.pid)).unwrap_or_default();
            groups
                .lines()
                .any(|line| line.starts_with("0::") && line.contains("/flamenco-test-"))
        };
        let is_still = |one: &Seen| one.state == 'T' || (group_is_frozen && is_member(one));
        !tree.is_empty() && tree.iter().all(is_still)
    }

    /// Pauses, and sees that all stand still: the same processes, which use no processor.
    fn pause(&self) -> Vec<Seen> {
        self.tell("pause");
        self.stands_still()
    }

    fn stands_still(&self) -> Vec<Seen> {
        // Who was not stopped yet at one look may have forked by the next.
        // In a frozen group each sleeps, once it has left the processor.
        let times = |tree: &[Seen]| tree.iter().map(|one| (one.pid, one.ticks)).collect::<Vec<_>>();
        let mut last = Vec::new();
        let mut unchanged = || {
            let before = std::mem::replace(&mut last, self.tree());
            (times(&before) == times(&last) && self.is_still()).then(|| last.clone())
        };
        let still = until("all to stand still", &mut unchanged, || self.node.log());
        pass(WHILE);
        let (now, before) = (self.tree(), times(&still));
        // Who was on its way out may have gone.
        let moved: Vec<_> = times(&now).into_iter().filter(|one| !before.contains(one)).collect();
        assert!(moved.is_empty(), "{moved:?} move: {before:?}\n{}", self.node.log());
        now
    }

    /// Resumes, and sees that all go on but who was stopped before.
    fn resume(&self, stopped: &[i32]) {
        self.tell("resume");
        let goes_on = |one: &Seen| (one.state == 'T') == stopped.contains(&one.pid);
        self.node.until("all to go on", || {
            !self.group_is("frozen 1") && self.tree().iter().all(goes_on)
        });
    }
}

fn kill_now(pid: i32) {
    kill(Pid::from_raw(pid), Signal::SIGKILL).unwrap();
}
