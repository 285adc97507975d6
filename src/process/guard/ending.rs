// SPDX-License-Identifier: GPL-3.0-or-later

//! How a guard ends what is below it: waits for what still works, asks, and sweeps.

use std::ops::ControlFlow;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, getpgid};

use super::Guard;
use super::footing::{FOR_EVER, holds};
use super::linger::{Holders, Left};
use super::stage::{End, Stage};
use crate::process::Stray;
use crate::process::ladder::{Climb, Rung};
use crate::process::messages::{Order, Said};
use crate::process::procfs::{Reaped, now};
use crate::process::tree::{Sweep, hidden, walk};

impl Guard {
    pub(super) fn obey(&mut self, order: Order) {
        // An end that came first stands, whatever was ordered in the same instant; but not while what it left works.
        self.asked |= self.end.is_none() || matches!(self.stage, Stage::Lingering(_));
        match (&self.stage, order) {
            (Stage::Sweeping { .. } | Stage::NotStarted(_), _) | (Stage::Climbing { .. }, Order::Climb) => {}
            // For one that has said its last word.
            (_, Order::Taken) => {}
            (Stage::Running | Stage::Lingering(_), Order::Climb) => {
                self.stage = Stage::Climbing {
                    climb: Climb::new(&self.ladder, now()),
                    outlived: self.end.is_some(),
                };
            }
            (Stage::Starting(_) | Stage::Draining { .. }, Order::Climb) | (_, Order::Force) => self.begin_sweep(),
        }
    }

    fn begin_sweep(&mut self) {
        let mut sweep = Sweep::new(self.terms.patience());
        if let Some(group) = self.group_of_program() {
            sweep.add_group(group);
        }
        if let Some(cgroup) = &self.cgroup {
            sweep.add_cgroup(cgroup.clone());
        }
        self.stage = Stage::Sweeping {
            sweep: Box::new(sweep),
            outlived: self.end.is_some(),
            output_held: false,
        };
    }

    /// Does what is due, and answers how long nothing will be.
    pub(super) fn advance(&mut self, reaped: Reaped) -> Duration {
        let at = now();
        match &self.stage {
            Stage::Climbing { outlived, .. } => self.climb(*outlived, at, reaped),
            Stage::Lingering(_) => self.linger(at),
            Stage::Draining { until } if *until <= at => self.drained(),
            Stage::Draining { .. }
            | Stage::Starting(_)
            | Stage::NotStarted(_)
            | Stage::Running
            | Stage::Sweeping { .. } => {}
        }
        match &mut self.stage {
            Stage::Starting(_) | Stage::NotStarted(_) | Stage::Running => FOR_EVER,
            Stage::Climbing { climb, .. } => climb.at(at).wait(),
            Stage::Lingering(linger) => linger.wait(at),
            Stage::Draining { until } => until.saturating_sub(at),
            Stage::Sweeping { .. } => self.sweep(reaped),
        }
    }

    /// Who was only just being forked at the first look holds the output by now.
    fn drained(&mut self) {
        match self.end.map(|end| self.after(end)) {
            Some(lingering @ Stage::Lingering(_)) => self.stage = lingering,
            Some(_) | None => self.begin_sweep(),
        }
    }

    fn linger(&mut self, at: Duration) {
        let Stage::Lingering(linger) = &mut self.stage else {
            return;
        };
        if !linger.wait(at).is_zero() {
            return;
        }
        match linger.look(&self.output, at) {
            Left::Waits(named) => self.tell_once(named, at),
            Left::Idle => self.begin_sweep(),
            Left::Nobody => {
                self.stage = Stage::Draining {
                    until: at + self.terms.drain,
                };
            }
        }
    }

    /// What ends with the program but for a moment is not worth a word.
    fn tell_once(&mut self, named: Vec<Stray>, at: Duration) {
        let is_over = |end: End| at >= end.at + self.terms.drain;
        if !self.left_is_said && self.end.is_some_and(is_over) {
            self.left_is_said = true;
            self.say(&Said::LeftRunning(named));
        }
    }

    /// The program's whole group is asked, for a wrapper that waits for its child would else be asked
    /// alone; so it is also the group that is waited for.
    fn climb(&mut self, outlived: bool, at: Duration, reaped: Reaped) {
        // Among the unreaped dead of a fork bomb it takes too long to look; time will tell.
        let groups = match self.group_of_program() {
            Some(group) => Some(vec![group]),
            None if reaped == Reaped::MaybeMore => None,
            None => Some(self.groups_left(outlived)),
        };
        if groups.as_ref().is_some_and(Vec::is_empty) {
            return self.begin_sweep();
        }
        while let Stage::Climbing { climb, .. } = &mut self.stage {
            match climb.at(at) {
                Rung::Wait(_) => return,
                Rung::Top => return self.begin_sweep(),
                Rung::Signal(signal) => {
                    self.writing.look_below();
                    for group in groups.iter().flatten() {
                        let group = Pid::from_raw(-group);
                        // Nobody in it any more is seen at the next call; not allowed, at the sweep.
                        kill(group, signal).ok();
                        // A stopped program hears nothing.
                        kill(group, Signal::SIGCONT).ok();
                    }
                }
            }
        }
    }

    /// The group that the program is in, which is not always the one it began in. Not reaped, it keeps the number
    /// from becoming a stranger's.
    fn group_of_program(&self) -> Option<i32> {
        if self.end.is_some() {
            return None;
        }
        Some(getpgid(Some(self.program)).unwrap_or(self.group).as_raw())
    }

    /// The groups that are asked once the program itself is reaped: its own, as long as a member of the tree is in it,
    /// for the number may be a stranger's by now; and with `outlived` those of what still held the output.
    fn groups_left(&self, outlived: bool) -> Vec<i32> {
        let own = [self.group.as_raw(), self.program.as_raw()];
        let is_empty = |group: &i32| kill(Pid::from_raw(-group), None) == Err(Errno::ESRCH);
        let holders = outlived.then(|| Holders::of(&self.output)).flatten();
        let mut left = holders.map_or_else(Vec::new, |holders| holders.groups);
        if !own.iter().all(is_empty) {
            walk(&|_| false, &mut |_, stat| {
                left.extend(own.contains(&stat.group).then_some(stat.group));
                ControlFlow::Continue(())
            });
        }
        left.sort_unstable();
        left.dedup();
        left
    }

    fn sweep(&mut self, reaped: Reaped) -> Duration {
        let Stage::Sweeping {
            sweep,
            outlived,
            output_held,
        } = &mut self.stage
        else {
            return Duration::ZERO;
        };
        let pause = sweep.step(reaped, &|_| false);
        if pause.is_zero() && *outlived && !*output_held {
            // They are stopped, and not yet killed.
            *output_held = sweep.met().iter().any(|stray| holds(stray.pid, &self.output));
        }
        // Not seen is not gone: only when there is no child left is this over.
        let unseen = reaped != Reaped::MaybeMore && sweep.is_spent(now());
        if !self.alone && (unseen || sweep.overdue(now())) {
            let mut left = sweep.left().to_vec();
            if left.is_empty() {
                left.push(hidden(0));
            }
            self.say(&Said::Ended(self.last_word(left)));
            self.alone = true;
        }
        pause
    }
}
