// SPDX-License-Identifier: GPL-3.0-or-later

//! How a program is asked to end: rung by rung, each with its grace, and the sweep at the top.

use std::time::Duration;

use nix::sys::signal::Signal;

use super::KillSequence;

/// A kill sequence somebody is on. Pure: it is told the time.
#[derive(Debug)]
pub(super) struct Escalation {
    rungs: std::vec::IntoIter<(Signal, Duration)>,
    /// When the grace of the present rung is over.
    due: Duration,
}

/// What the climb asks for now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum EscalationStep {
    /// Send this signal, then ask again.
    Signal(Signal),
    /// The grace has this long to run.
    Wait(Duration),
    /// SweepLimits is over.
    Exhausted,
}

impl Escalation {
    /// Starts at `now`; the first rung is due at once.
    pub(super) fn new(kill_sequence: &KillSequence, now: Duration) -> Self {
        Self {
            rungs: kill_sequence.0.clone().into_iter(),
            due: now,
        }
    }

    pub(super) fn at(&mut self, now: Duration) -> EscalationStep {
        if now < self.due {
            return EscalationStep::Wait(self.due - now);
        }
        match self.rungs.next() {
            Some((signal, grace)) => {
                self.due = now + grace;
                EscalationStep::Signal(signal)
            }
            None => EscalationStep::Exhausted,
        }
    }
}

impl EscalationStep {
    /// How long to wait before asking again.
    pub(super) fn wait(self) -> Duration {
        match self {
            Self::Wait(pause) => pause,
            Self::Signal(_) | Self::Exhausted => Duration::ZERO,
        }
    }
}

impl KillSequence {
    /// From the first signal to SIGKILL.
    pub fn length(&self) -> Duration {
        self.0.iter().map(|(_, grace)| *grace).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(number: u64) -> Duration {
        Duration::from_millis(number)
    }

    #[test]
    fn a1_a2_each_signal_is_sent_once_and_has_its_grace() {
        let kill_sequence = KillSequence(vec![(Signal::SIGINT, ms(800)), (Signal::SIGTERM, ms(200))]);
        let mut climb = Escalation::new(&kill_sequence, ms(5000));
        assert_eq!(climb.at(ms(5000)), EscalationStep::Signal(Signal::SIGINT));
        assert_eq!(climb.at(ms(5000)), EscalationStep::Wait(ms(800)));
        assert_eq!(climb.at(ms(5799)), EscalationStep::Wait(ms(1)));
        assert_eq!(climb.at(ms(5800)), EscalationStep::Signal(Signal::SIGTERM));
        assert_eq!(climb.at(ms(5900)), EscalationStep::Wait(ms(100)));
        assert_eq!(climb.at(ms(6000)), EscalationStep::Exhausted);
        assert_eq!(kill_sequence.length(), ms(1000));
    }

    #[test]
    fn an_empty_ladder_is_at_its_top() {
        assert_eq!(
            Escalation::new(&KillSequence(Vec::new()), ms(1)).at(ms(1)),
            EscalationStep::Exhausted
        );
    }
}
