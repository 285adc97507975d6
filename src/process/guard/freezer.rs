// SPDX-License-Identifier: GPL-3.0-or-later

//! How a guard has all below it stand still, and go on later as if nothing had been.
//!
//! ```text
//! Freeze ─► Wanted ─► Frozen: rounds, soon and then now and then ─► Thaw: Off, and each goes on once
//!             └─ the program's exec is over                      ─► Terminate: the same, and it is asked to end
//!                                                                ─► Kill, the worker gone: swept as it stands
//! ```
//!
//! The program's control group is frozen where it has one: its members notice nothing. Those outside of it (snap and
//! flatpak move their programs), or all, are stopped as by a sweep. Nobody can tell that it was stopped, but its parent: so
//! a parent that waits for that (as a shell with job control does) stops first, each goes on after its children, and with
//! SIGCONT comes its handler, once. A process that was stopped already is left so, and one that its tracer holds is left
//! to that.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill as send_signal};
use nix::sys::time::TimeSpec;
use nix::time::{ClockId, ClockNanosleepFlags, clock_nanosleep};
use nix::unistd::Pid;

use super::Guard;
use super::phase::Phase;
use crate::process::cgroup::Cgroup;
use crate::process::child_watch::ChildWatch;
use crate::process::messages::GuardMessage;
use crate::process::procfs::{ProcessHandle, ProcessStat, Reaped, lives, now};
use crate::process::run_clock::RunClock;
use crate::process::stopped_tree::{Sight, StoppedTree};
use crate::process::stray::Stray;
use crate::process::sweep::NAMED_AT_MOST;

/// So long a freeze sees to it that who watches its children stands still before they are stopped: that takes some ten
/// microseconds, and on a busy machine its turn at the processor.
const ORDERLY: Duration = Duration::from_secs(1);
/// So long where it only may be that it watches them: among hundreds who want the processor each may.
const PERHAPS_ORDERLY: Duration = Duration::from_millis(60);
/// So long it waits for one of them, and for all of them together. After that others are stopped first.
const READY: Duration = Duration::from_millis(2);
const ALL_READY: Duration = Duration::from_millis(20);
/// The pause between two looks at who is about to stand still.
const NAP: Duration = Duration::from_micros(50);
/// So long one round follows another at once where processes appear all the time.
const HURRY: Duration = Duration::from_secs(2);
/// The first pause between rounds. It grows, because a fork may end late that had begun before its process was stopped.
const SHORTEST_PAUSE: Duration = Duration::from_millis(1);
/// By which it grows.
const GROWTH: u32 = 4;
/// The longest while somebody is on its way to a standstill.
const MOVING_PAUSE: Duration = Duration::from_millis(20);
/// The longest: another one may have sent SIGCONT, as the kernel does to groups whose parents have died.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// Whether the program and all below it stand still, and the clock of their guard with them.
#[derive(Debug, Default)]
pub(super) struct Freezer {
    state: FreezerState,
    clock: RunClock,
    /// The worker was told who cannot be frozen.
    has_told: bool,
}

#[derive(Debug, Default)]
enum FreezerState {
    #[default]
    Off,
    /// As soon as the program runs.
    Wanted,
    Frozen(Box<FrozenTree>),
}

/// All below this process, as it stands still.
#[derive(Debug)]
struct FrozenTree {
    /// The program's group, which is frozen.
    cgroup: Option<Cgroup>,
    /// `None` before the first round.
    tree: Option<StoppedTree>,
    stopped: Stopped,
    began: Duration,
    next: Duration,
    pause: Duration,
}

/// Whom we have stopped.
#[derive(Debug, Default)]
struct Stopped {
    /// By pid and start, each parent before its children.
    order: Vec<(i32, u64)>,
    known: HashSet<(i32, u64)>,
    /// By pid, those who may have waited for a child to be stopped when they were stopped themselves.
    watchers: HashMap<i32, Watcher>,
    /// By pid, those who run on in this round, lest their parent sees that they are stopped: so does all below them, whom
    /// they could see stopped in turn.
    postponed: HashSet<i32>,
    /// Another user's: they run on.
    refused: Vec<Stray>,
    /// Somebody was not yet at a standstill in this round.
    is_moving: bool,
}

/// One who may see that its child is stopped, until it stands still itself.
#[derive(Debug)]
struct Watcher {
    /// It counts for so long after the freeze has begun.
    patience: Duration,
    /// Whether it was seen to stand still in this round.
    stands: Option<bool>,
}

impl Freezer {
    /// The time that runs while the program does.
    pub(super) fn clock(&self) -> &RunClock {
        &self.clock
    }

    /// All is to stand still.
    pub(super) fn freeze(&mut self) {
        if matches!(self.state, FreezerState::Off) {
            self.state = FreezerState::Wanted;
        }
    }

    /// All goes on that was frozen.
    pub(super) fn thaw(&mut self) {
        if let FreezerState::Frozen(tree) = std::mem::take(&mut self.state) {
            tree.thaw();
        }
        self.clock.go_on();
    }

    /// What is frozen is left to a sweep, which ends it as it stands.
    pub(super) fn leave(&mut self) {
        self.state = FreezerState::Off;
        self.clock.go_on();
    }

    /// Somebody has ended: there may be others in its place.
    pub(super) fn look_again(&mut self) {
        if let FreezerState::Frozen(tree) = &mut self.state {
            tree.next = Duration::ZERO;
        }
    }
}

impl Guard {
    /// Does what is due of a freeze, and returns how long nothing will be; `None` where nothing is frozen.
    pub(super) fn stand_still(&mut self, reaped: Reaped) -> Option<Duration> {
        let Freezer { state, clock, has_told } = &mut self.freezer;
        match (&self.phase, &state) {
            (Phase::Starting(_) | Phase::NotStarted(_), _) | (_, FreezerState::Off) => return None,
            (_, FreezerState::Wanted) => {
                clock.stop();
                *state = FreezerState::Frozen(Box::new(FrozenTree::begin(self.cgroup.as_ref())));
            }
            (_, FreezerState::Frozen(_)) => {}
        }
        let FreezerState::Frozen(tree) = state else { return None };
        let pause = tree.step(reaped);
        if !tree.stopped.refused.is_empty() && !*has_told {
            *has_told = true;
            let refused = tree.stopped.refused.clone();
            self.send(&GuardMessage::NotFrozen(refused));
        }
        Some(pause)
    }
}

impl FrozenTree {
    fn begin(cgroup: Option<&Cgroup>) -> Self {
        let began = now();
        let cgroup = cgroup.filter(|cgroup| cgroup.freeze()).cloned();
        if let Some(cgroup) = &cgroup {
            // Its members may be parents of who is not in it.
            wait_until(began + ALL_READY, &|| cgroup.is_frozen());
        }
        Self {
            cgroup,
            tree: None,
            stopped: Stopped::default(),
            began,
            next: began,
            pause: SHORTEST_PAUSE,
        }
    }

    /// Does a round if it is time, and returns how long to wait. There is no last one.
    fn step(&mut self, reaped: Reaped) -> Duration {
        let begin = now();
        if begin < self.next {
            return self.next - begin;
        }
        let is_young = begin < self.began + HURRY;
        let all_were_seen = self.round(reaped);
        if !all_were_seen {
            self.pause = SHORTEST_PAUSE;
        }
        if !all_were_seen && is_young {
            return Duration::ZERO;
        }
        let is_moving = self.stopped.is_moving && is_young;
        let pause = self.pause.min(if is_moving { MOVING_PAUSE } else { LONGEST_PAUSE });
        self.pause = pause * GROWTH;
        self.next = now() + pause;
        pause
    }

    /// Stops who is found to run. Returns whether all have been seen.
    fn round(&mut self, reaped: Reaped) -> bool {
        let mut members = HashSet::new();
        self.stopped.is_moving = false;
        self.stopped.postponed.clear();
        self.stopped.watchers.values_mut().for_each(|one| one.stands = None);
        if let Some(cgroup) = &self.cgroup {
            if !cgroup.is_frozen() {
                self.stopped.is_moving = true;
                cgroup.freeze();
            }
            members.extend(cgroup.pids());
        }
        let refused = self.stopped.refused.len();
        let (stopped, began) = (&mut self.stopped, self.began);
        let mut visit = |handle: &ProcessHandle, stat: &ProcessStat, sight| {
            if sight == Sight::StoppedUnseen || !members.contains(&stat.pid) {
                stopped.see(handle, stat, sight, began);
            }
        };
        let all_were_seen = match &mut self.tree {
            Some(tree) => tree.round(reaped, &|pid| members.contains(&pid), &mut visit),
            // Who is stopped already has to be seen before anybody is stopped unseen.
            None => !self.tree.insert(StoppedTree::default()).walk(&|_| false, &mut visit),
        };
        // Where another user's processes fork, there is no end to it.
        all_were_seen || self.stopped.refused.len() > refused
    }

    /// Lets all go on whom we have stopped, children first: no parent meets a child that stands still.
    fn thaw(&self) {
        for (pid, start) in self.stopped.order.iter().rev() {
            if let Some(handle) = ProcessHandle::open(*pid)
                && lives(*pid, *start)
            {
                // It may end in this moment.
                handle.send(Signal::SIGCONT).ok();
            }
        }
        for pid in self.tree.iter().flat_map(StoppedTree::unseen) {
            // Safe by number: it is our child, and was not reaped since.
            send_signal(Pid::from_raw(*pid), Signal::SIGCONT).ok();
        }
        if let Some(cgroup) = &self.cgroup {
            cgroup.thaw();
        }
    }
}

impl Stopped {
    /// Stops this process if it runs, and in a freeze that `began` lately if its parent does not see that.
    fn see(&mut self, handle: &ProcessHandle, stat: &ProcessStat, sight: Sight, began: Duration) {
        let id = (stat.pid, stat.start);
        if sight == Sight::StoppedUnseen {
            self.add(id);
        }
        let is_ours = self.known.contains(&id);
        let is_over = if is_ours {
            stat.stands_still()
        } else {
            stat.is_stopped()
        };
        if stat.is_held_by_tracer() || is_over {
            return;
        }
        self.is_moving = true;
        // Of one that is stopped, some threads are on their way.
        if stat.is_stopped() {
            return;
        }
        if !is_ours && !self.sees_nothing(stat.parent, began) {
            self.postponed.insert(stat.pid);
            return;
        }
        if !is_ours && let Some(watcher) = Watcher::of(stat) {
            self.watchers.insert(stat.pid, watcher);
        }
        match handle.send(Signal::SIGSTOP) {
            Ok(()) => self.add(id),
            Err(Errno::EPERM) => self.refuse(stat),
            // It has just ended.
            Err(_) => {}
        }
    }

    /// Whether this parent does not see that a child of it is stopped now.
    fn sees_nothing(&mut self, parent: i32, began: Duration) -> bool {
        if self.postponed.contains(&parent) {
            return false;
        }
        let Some(watcher) = self.watchers.get_mut(&parent) else {
            return true;
        };
        if now() >= began + watcher.patience {
            return true;
        }
        *watcher.stands.get_or_insert_with(|| {
            let stands = || ProcessStat::read(parent).is_none_or(|parent| parent.stands_still());
            wait_until((now() + READY).min(began + ALL_READY), &stands);
            stands()
        })
    }

    fn add(&mut self, id: (i32, u64)) {
        if self.known.insert(id) {
            self.order.push(id);
        }
    }

    fn refuse(&mut self, stat: &ProcessStat) {
        let is_known = self.refused.iter().any(|stray| stray.pid == stat.pid);
        if !is_known && self.refused.len() < NAMED_AT_MOST {
            self.refused.push(stat.into());
        }
    }
}

impl Watcher {
    fn of(process: &ProcessStat) -> Option<Self> {
        let patience = match ChildWatch::of(process) {
            ChildWatch::No => return None,
            ChildWatch::Perhaps => PERHAPS_ORDERLY,
            ChildWatch::Yes => ORDERLY,
        };
        Some(Self { patience, stands: None })
    }
}

/// Waits for what is a matter of microseconds, and no longer than to `limit` on the monotonic clock.
fn wait_until(limit: Duration, is_so: &dyn Fn() -> bool) {
    let nap = TimeSpec::from_duration(NAP);
    while !is_so() && now() < limit {
        clock_nanosleep(ClockId::CLOCK_MONOTONIC, ClockNanosleepFlags::empty(), &nap).ok();
    }
}
