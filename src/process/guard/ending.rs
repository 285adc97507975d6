// SPDX-License-Identifier: GPL-3.0-or-later

//! How a guard ends what is below it: waits for what still works, asks, and sweeps.

use std::ops::ControlFlow;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, getpgid};

use super::Guard;
use super::output_holders::{HoldersState, OutputHolders};
use super::phase::{Phase, ProgramExit};
use super::setup::{NO_TIMEOUT, holds};
use crate::process::Stray;
use crate::process::kill_sequence::{Escalation, EscalationStep};
use crate::process::messages::{GuardCommand, GuardMessage};
use crate::process::procfs::{Reaped, now};
use crate::process::tree::{Sweep, hidden, walk};

impl Guard {
    pub(super) fn obey(&mut self, order: GuardCommand) {
        // An end that came first stands, whatever was ordered in the same instant; but not while what it left works.
        self.asked |= self.end.is_none() || matches!(self.phase, Phase::Lingering(_));
        match (&self.phase, order) {
            (Phase::Sweeping { .. } | Phase::NotStarted(_), _)
            | (Phase::Terminating { .. }, GuardCommand::Terminate) => {}
            // For one that has said its last word.
            (_, GuardCommand::Release) => {}
            (Phase::Running | Phase::Lingering(_), GuardCommand::Terminate) => {
                self.phase = Phase::Terminating {
                    climb: Escalation::new(&self.kill_sequence, now()),
                    outlived: self.end.is_some(),
                };
            }
            (Phase::Starting(_) | Phase::Draining { .. }, GuardCommand::Terminate) | (_, GuardCommand::Kill) => {
                self.begin_sweep()
            }
        }
    }

    fn begin_sweep(&mut self) {
        let mut sweep = Sweep::new(self.options.patience());
        if let Some(group) = self.group_of_program() {
            sweep.add_group(group);
        }
        if let Some(cgroup) = &self.cgroup {
            sweep.add_cgroup(cgroup.clone());
        }
        self.phase = Phase::Sweeping {
            sweep: Box::new(sweep),
            outlived: self.end.is_some(),
            output_held: false,
        };
    }

    /// Does what is due, and answers how long nothing will be.
    pub(super) fn advance(&mut self, reaped: Reaped) -> Duration {
        let at = now();
        match &self.phase {
            Phase::Terminating { outlived, .. } => self.climb(*outlived, at, reaped),
            Phase::Lingering(_) => self.linger(at),
            Phase::Draining { until } if *until <= at => self.drained(),
            Phase::Draining { .. }
            | Phase::Starting(_)
            | Phase::NotStarted(_)
            | Phase::Running
            | Phase::Sweeping { .. } => {}
        }
        match &mut self.phase {
            Phase::Starting(_) | Phase::NotStarted(_) | Phase::Running => NO_TIMEOUT,
            Phase::Terminating { climb, .. } => climb.at(at).wait(),
            Phase::Lingering(linger) => linger.wait(at),
            Phase::Draining { until } => until.saturating_sub(at),
            Phase::Sweeping { .. } => self.sweep(reaped),
        }
    }

    /// Who was only just being forked at the first look holds the output by now.
    fn drained(&mut self) {
        match self.end.map(|end| self.after(end)) {
            Some(lingering @ Phase::Lingering(_)) => self.phase = lingering,
            Some(_) | None => self.begin_sweep(),
        }
    }

    fn linger(&mut self, at: Duration) {
        let Phase::Lingering(linger) = &mut self.phase else {
            return;
        };
        if !linger.wait(at).is_zero() {
            return;
        }
        match linger.look(&self.output, at) {
            HoldersState::MayWork(named) => self.tell_once(named, at),
            HoldersState::Idle => self.begin_sweep(),
            HoldersState::Gone => {
                self.phase = Phase::Draining {
                    until: at + self.options.drain,
                };
            }
        }
    }

    /// What ends with the program but for a moment is not worth a word.
    fn tell_once(&mut self, named: Vec<Stray>, at: Duration) {
        let is_over = |end: ProgramExit| at >= end.at + self.options.drain;
        if !self.left_is_said && self.end.is_some_and(is_over) {
            self.left_is_said = true;
            self.say(&GuardMessage::LeftRunning(named));
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
        while let Phase::Terminating { climb, .. } = &mut self.phase {
            match climb.at(at) {
                EscalationStep::Wait(_) => return,
                EscalationStep::Exhausted => return self.begin_sweep(),
                EscalationStep::Signal(signal) => {
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
        let holders = outlived.then(|| OutputHolders::of(&self.output)).flatten();
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
        let Phase::Sweeping {
            sweep,
            outlived,
            output_held,
        } = &mut self.phase
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
            self.say(&GuardMessage::Ended(self.last_word(left)));
            self.alone = true;
        }
        pause
    }
}
