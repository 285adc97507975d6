// SPDX-License-Identifier: GPL-3.0-or-later

//! How a guard ends what is below it: it waits for what still works, asks, and sweeps.

use std::ops::ControlFlow;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill as send_signal};
use nix::unistd::{Pid, getpgid};

use super::Guard;
use super::output_holders::{HoldersState, OutputHolders, holds};
use super::phase::{Phase, ProgramExit};
use super::setup::NO_TIMEOUT;
use crate::process::kill_sequence::{Escalation, EscalationStep};
use crate::process::messages::{FinalMessage, GuardCommand, GuardMessage};
use crate::process::procfs::{Reaped, now};
use crate::process::stray::Stray;
use crate::process::sweep::Sweep;
use crate::process::walk::walk;

impl Guard {
    pub(super) fn handle_command(&mut self, command: GuardCommand) {
        // An exit that came first stands, whatever command comes in the same instant; but not while what it left works.
        self.was_asked |= matches!(command, GuardCommand::Terminate | GuardCommand::Kill)
            && (self.exit.is_none() || matches!(self.phase, Phase::Lingering(_)));
        match (&self.phase, command) {
            (Phase::Sweeping { .. } | Phase::NotStarted(_), _)
            | (Phase::Terminating { .. }, GuardCommand::Terminate | GuardCommand::Freeze) => {}
            (_, GuardCommand::Freeze) => self.freezer.freeze(),
            (_, GuardCommand::Thaw) => self.freezer.thaw(),
            // It is for a guard that has sent its final message.
            (_, GuardCommand::Release) => {}
            (Phase::Running | Phase::Lingering(_), GuardCommand::Terminate) => {
                // Who stands still hears nothing.
                self.freezer.thaw();
                self.phase = Phase::Terminating {
                    escalation: Escalation::new(&self.kill_sequence, self.now()),
                    outlived: self.exit.is_some(),
                };
            }
            (Phase::Starting(_) | Phase::Draining { .. }, GuardCommand::Terminate) | (_, GuardCommand::Kill) => {
                self.begin_sweep();
            }
        }
    }

    fn begin_sweep(&mut self) {
        self.freezer.leave();
        let mut sweep = Sweep::new(self.options.sweep_limits());
        if let Some(group) = self.group_of_program() {
            sweep.add_group(group);
        }
        if let Some(cgroup) = &self.cgroup {
            sweep.add_cgroup(cgroup.clone());
        }
        self.phase = Phase::Sweeping {
            sweep: Box::new(sweep),
            outlived: self.exit.is_some(),
            output_held: false,
        };
    }

    /// Does what is due, and returns how long nothing will be.
    pub(super) fn advance(&mut self, reaped: Reaped) -> Duration {
        if let Some(pause) = self.stand_still(reaped) {
            return pause;
        }
        let at = self.now();
        match &self.phase {
            Phase::Terminating { outlived, .. } => self.terminate(*outlived, at, reaped),
            Phase::Lingering(_) => self.check_holders(at),
            Phase::Draining { until } if *until <= at => self.drained(),
            Phase::Draining { .. }
            | Phase::Starting(_)
            | Phase::NotStarted(_)
            | Phase::Running
            | Phase::Sweeping { .. } => {}
        }
        match &mut self.phase {
            Phase::Starting(_) | Phase::NotStarted(_) | Phase::Running => NO_TIMEOUT,
            Phase::Terminating { escalation, .. } => escalation.next_step(at).wait(),
            Phase::Lingering(holders) => holders.pause(at),
            Phase::Draining { until } => until.saturating_sub(at),
            Phase::Sweeping { .. } => self.sweep(reaped),
        }
    }

    /// Looks for holders of the output once more: a process that was just being forked at the first look holds it by now.
    fn drained(&mut self) {
        match self.exit.map(|exit| self.phase_after(exit)) {
            Some(lingering @ Phase::Lingering(_)) => self.phase = lingering,
            Some(_) | None => self.begin_sweep(),
        }
    }

    fn check_holders(&mut self, at: Duration) {
        let Phase::Lingering(holders) = &mut self.phase else {
            return;
        };
        if !holders.pause(at).is_zero() {
            return;
        }
        match holders.check(&self.output, at) {
            HoldersState::MayWork(named) => self.tell_left_running(named, at),
            HoldersState::Idle => self.begin_sweep(),
            HoldersState::Gone => {
                self.phase = Phase::Draining {
                    until: at + self.options.drain,
                };
            }
        }
    }

    /// Tells the worker once what still runs. What ends a moment after the program is not worth a word.
    fn tell_left_running(&mut self, named: Vec<Stray>, at: Duration) {
        let is_over = |exit: ProgramExit| at >= exit.at + self.options.drain;
        if !self.has_told_left_running && self.exit.is_some_and(is_over) {
            self.has_told_left_running = true;
            self.send(&GuardMessage::LeftRunning(named));
        }
    }

    /// Sends the signals of the kill sequence. They go to the program's whole group, because a wrapper that waits for its
    /// child would be asked alone otherwise; so it is also the group that is waited for.
    fn terminate(&mut self, outlived: bool, at: Duration, reaped: Reaped) {
        // Among the unreaped dead of a fork bomb a look takes too long; the grace ends all the same.
        let groups = match self.group_of_program() {
            Some(group) => Some(vec![group]),
            None if reaped == Reaped::MaybeMore => None,
            None => Some(self.groups_left(outlived)),
        };
        if groups.as_ref().is_some_and(Vec::is_empty) {
            return self.begin_sweep();
        }
        while let Phase::Terminating { escalation, .. } = &mut self.phase {
            match escalation.next_step(at) {
                EscalationStep::Wait(_) => return,
                EscalationStep::Exhausted => return self.begin_sweep(),
                EscalationStep::Signal(signal) => {
                    self.writing.scan_below();
                    for group in groups.iter().flatten() {
                        let group = Pid::from_raw(-group);
                        // An empty group is seen at the next call, a refusal at the sweep.
                        send_signal(group, signal).ok();
                        // A stopped program gets no signal.
                        send_signal(group, Signal::SIGCONT).ok();
                    }
                }
            }
        }
    }

    /// The group that the program is in, which is not always the one it began in. As long as the program is not reaped, it
    /// keeps the number from becoming a stranger's.
    fn group_of_program(&self) -> Option<i32> {
        if self.exit.is_some() {
            return None;
        }
        Some(getpgid(Some(self.program)).unwrap_or(self.group).as_raw())
    }

    /// The groups that are asked once the program itself is reaped: its own, as long as a member of the tree is in it (the
    /// number may be a stranger's otherwise), and with `outlived` those of what still held the output.
    fn groups_left(&self, outlived: bool) -> Vec<i32> {
        let own = [self.group.as_raw(), self.program.as_raw()];
        let is_empty = |group: &i32| send_signal(Pid::from_raw(-group), None) == Err(Errno::ESRCH);
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
            *output_held = sweep.strays().iter().any(|stray| holds(stray.pid, &self.output));
        }
        // A process that is not seen may be there: this is over only when there is no child left.
        let is_unseen = reaped != Reaped::MaybeMore && sweep.is_spent(now());
        if !self.is_alone && (is_unseen || sweep.overdue(now())) {
            let mut left = sweep.left().to_vec();
            if left.is_empty() {
                left.push(Stray::hidden(0));
            }
            self.send(&GuardMessage::Final(FinalMessage::Ended(self.exit_report(left))));
            self.is_alone = true;
        }
        pause
    }
}
