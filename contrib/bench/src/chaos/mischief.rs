// SPDX-License-Identifier: GPL-3.0-or-later

//! What goes wrong, one thing at a time, drawn from the seed.

use std::collections::BTreeMap;
use std::time::Duration;

use nix::sys::signal::Signal;
use standin_manager::{Endpoint, Fault, FaultKind, StandIn, TaskStatus};

use super::node::Node;
use super::text;

/// Errors that are nobody's decision. The Manager's own 400, 404 and 409 are not among them.
const STATUSES: &[u16] = &[401, 403, 407, 408, 425, 429, 500, 502, 503, 504];

/// Where faults strike. Not at the registration: one that is handled and not answered makes a second worker, rightly.
const ENDPOINTS: &[Endpoint] = &[
    Endpoint::SignOn,
    Endpoint::SignOff,
    Endpoint::State,
    Endpoint::StateChanged,
    Endpoint::FetchTask,
    Endpoint::TaskUpdate,
    Endpoint::TaskUpdate,
    Endpoint::MayIRun,
];

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Deed {
    Fault,
    ManagerAway,
    WorkerKilled,
    GuardKilled,
    BothKilled,
    WorkerStopped,
    Paused,
    DiskFull,
    AskedAgain,
}

impl Deed {
    /// How often, in a hundred.
    const ODDS: [(Self, u32); 9] = [
        (Self::Fault, 70),
        (Self::ManagerAway, 5),
        (Self::WorkerKilled, 4),
        (Self::GuardKilled, 4),
        (Self::BothKilled, 3),
        (Self::WorkerStopped, 3),
        (Self::Paused, 3),
        (Self::DiskFull, 3),
        (Self::AskedAgain, 5),
    ];

    fn draw(random: &mut fastrand::Rng) -> Self {
        let mut left = random.u32(..100);
        for (deed, odds) in Self::ODDS {
            if left < odds {
                return deed;
            }
            left -= odds;
        }
        Self::Fault
    }

    pub(super) fn words(self) -> &'static str {
        match self {
            Self::Fault => "faults injected",
            Self::ManagerAway => "times the Manager was away",
            Self::WorkerKilled => "workers killed",
            Self::GuardKilled => "guards killed",
            Self::BothKilled => "both killed",
            Self::WorkerStopped => "workers stopped and started",
            Self::Paused => "workers paused",
            Self::DiskFull => "disks filled",
            Self::AskedAgain => "tasks asked for again",
        }
    }
}

pub(super) struct Mischief {
    random: fastrand::Rng,
    pub(super) done: BTreeMap<Deed, usize>,
    /// How often each task was put back in the queue on purpose after it was completed.
    pub(super) asked_again: BTreeMap<String, usize>,
}

impl Mischief {
    pub(super) fn new(random: fastrand::Rng) -> Self {
        Self {
            random,
            done: BTreeMap::new(),
            asked_again: BTreeMap::new(),
        }
    }

    /// Waits a little and does one thing. Workers that died meanwhile are started again, as a supervisor would.
    pub(super) fn strike(&mut self, manager: &StandIn, job: &str, nodes: &mut [Node]) -> Result<(), String> {
        self.pause(20..250);
        for node in nodes.iter_mut() {
            node.start()?;
        }
        let deed = Deed::draw(&mut self.random);
        let chosen = self.random.usize(..nodes.len());
        let node = &mut nodes[chosen];
        let happened = match deed {
            Deed::Fault => {
                manager.inject(self.fault());
                true
            }
            Deed::ManagerAway => {
                manager.stop();
                self.pause(50..3_000);
                manager.start_again().map_err(text)?;
                true
            }
            Deed::WorkerKilled => {
                node.kill_worker();
                true
            }
            Deed::GuardKilled => node.kill_guards(),
            Deed::BothKilled => {
                let guard = node.kill_guards();
                node.kill_worker();
                guard
            }
            Deed::WorkerStopped => {
                node.stop()?;
                true
            }
            Deed::Paused => {
                node.signal(Signal::SIGSTOP);
                self.pause(100..1_500);
                node.signal(Signal::SIGCONT);
                true
            }
            Deed::DiskFull => {
                let filled = node.fill_disk();
                self.pause(100..1_500);
                node.free_disk();
                filled
            }
            Deed::AskedAgain => self.ask_again(manager, job)?,
        };
        if happened {
            *self.done.entry(deed).or_default() += 1;
        }
        Ok(())
    }

    /// Everything is well again.
    pub(super) fn end(&self, manager: &StandIn, nodes: &mut [Node]) -> Result<(), String> {
        manager.clear_faults();
        manager.start_again().map_err(text)?;
        nodes.iter_mut().try_for_each(Node::start)
    }

    fn fault(&mut self) -> Fault {
        let random = &mut self.random;
        let kind = match random.u8(..10) {
            0..3 => status(STATUSES[random.usize(..STATUSES.len())]),
            3 => FaultKind::Status {
                code: 404,
                headers: vec![("Content-Type".into(), "text/html".into())],
                body: "<html><body>404 from a proxy</body></html>".into(),
            },
            4 => FaultKind::Nonsense {
                body: b"<html>login".to_vec(),
                content_type: "text/html".into(),
            },
            5 => FaultKind::Hang,
            6 => FaultKind::HangAfter,
            7 => FaultKind::DropAnswer,
            8 => FaultKind::CloseBefore,
            _ => FaultKind::DelayAnswer(Duration::from_millis(random.u64(50..2_500))),
        };
        let endpoint = ENDPOINTS[random.usize(..ENDPOINTS.len())];
        Fault::at(endpoint, kind)
            .times(random.usize(1..4))
            .skip(random.usize(..3))
    }

    /// A person wants a completed task done once more.
    fn ask_again(&mut self, manager: &StandIn, job: &str) -> Result<bool, String> {
        let tasks = manager.tasks(job);
        let all = tasks.len();
        let completed: Vec<_> = tasks
            .into_iter()
            .filter(|task| task.status == TaskStatus::Completed)
            .collect();
        // Not towards the end, or there would be none.
        let Some(task) = self.random.choice(&completed).filter(|_| completed.len() < all / 2) else {
            return Ok(false);
        };
        manager.set_task_status(&task.id, TaskStatus::Queued).map_err(text)?;
        *self.asked_again.entry(task.id.clone()).or_default() += 1;
        Ok(true)
    }

    fn pause(&mut self, millis: std::ops::Range<u64>) {
        let time = Duration::from_millis(self.random.u64(millis));
        std::thread::sleep(time);
    }
}

/// The code as a proxy says it; 429 and 503 say when to come back.
fn status(code: u16) -> FaultKind {
    let headers = match code {
        429 | 503 => vec![("Retry-After".to_owned(), "1".to_owned())],
        _ => Vec::new(),
    };
    FaultKind::Status {
        code,
        headers,
        body: "{\"message\":\"injected\"}\n".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_deed_is_drawn() {
        assert_eq!(Deed::ODDS.iter().map(|(_, odds)| odds).sum::<u32>(), 100);
        let mut random = fastrand::Rng::with_seed(1);
        let drawn: std::collections::BTreeSet<_> = (0..1_000).map(|_| Deed::draw(&mut random)).collect();
        assert_eq!(drawn.len(), Deed::ODDS.len());
    }
}
