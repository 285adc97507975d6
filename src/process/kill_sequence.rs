// SPDX-License-Identifier: GPL-3.0-or-later

//! How a program is asked to end: signal by signal, each with its grace, and then it is killed.

use std::time::Duration;

use nix::sys::signal::Signal;

/// The signals an abort sends, each with the time that the program has to end after it. SIGKILL comes last.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct KillSequence(pub Vec<(Signal, Duration)>);

impl KillSequence {
    /// The time from the first signal to SIGKILL.
    pub(crate) fn length(&self) -> Duration {
        self.0.iter().map(|(_, grace)| *grace).sum()
    }
}

/// A kill sequence that has begun. It is pure: callers tell it the time.
#[derive(Debug)]
pub(super) struct Escalation {
    signals: std::vec::IntoIter<(Signal, Duration)>,
    /// When the grace of the last signal is over.
    due: Duration,
}

/// What an escalation asks for now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum EscalationStep {
    /// Send this signal, then ask again.
    Signal(Signal),
    /// The grace has this long to run.
    Wait(Duration),
    /// The last grace is over: kill.
    Exhausted,
}

impl Escalation {
    /// Begins at `now`, when the first signal is due.
    pub(super) fn new(kill_sequence: &KillSequence, now: Duration) -> Self {
        Self {
            signals: kill_sequence.0.clone().into_iter(),
            due: now,
        }
    }

    pub(super) fn next_step(&mut self, now: Duration) -> EscalationStep {
        if now < self.due {
            return EscalationStep::Wait(self.due - now);
        }
        match self.signals.next() {
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

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(number: u64) -> Duration {
        Duration::from_millis(number)
    }

    #[test]
    fn a1_a2_each_signal_is_sent_once_and_has_its_grace() {
        let sequence = KillSequence(vec![(Signal::SIGINT, ms(800)), (Signal::SIGTERM, ms(200))]);
        let mut escalation = Escalation::new(&sequence, ms(5000));
        assert_eq!(escalation.next_step(ms(5000)), EscalationStep::Signal(Signal::SIGINT));
        assert_eq!(escalation.next_step(ms(5000)), EscalationStep::Wait(ms(800)));
        assert_eq!(escalation.next_step(ms(5799)), EscalationStep::Wait(ms(1)));
        assert_eq!(escalation.next_step(ms(5800)), EscalationStep::Signal(Signal::SIGTERM));
        assert_eq!(escalation.next_step(ms(5900)), EscalationStep::Wait(ms(100)));
        assert_eq!(escalation.next_step(ms(6000)), EscalationStep::Exhausted);
        assert_eq!(sequence.length(), ms(1000));
    }

    #[test]
    fn an_empty_kill_sequence_is_exhausted_at_once() {
        let mut escalation = Escalation::new(&KillSequence::default(), ms(1));
        assert_eq!(escalation.next_step(ms(1)), EscalationStep::Exhausted);
    }
}
