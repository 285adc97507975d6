// SPDX-License-Identifier: GPL-3.0-or-later

//! What is seen of the worker of a home, in a line and as JSON.

use std::error::Error;
use std::path::Path;

use jiff::Timestamp;
use serde::Serialize;

use crate::chain::chain;
use crate::clock;
use crate::departure::Departure;
use crate::process::Stray;
use crate::snapshot::{Activity, Snapshot, named};

/// What is seen of the worker of a home.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Observation {
    /// It said what it does.
    Answered(Box<Snapshot>),
    /// It listens, and does not answer.
    Stuck {
        /// `None` where it has no number here.
        pid: Option<i32>,
        is_stopped: bool,
    },
    /// It runs, and cannot be asked.
    Unasked {
        pid: i32,
        is_leaving: bool,
        /// Whose processes live.
        task: Option<TaskName>,
        why: String,
    },
    /// No worker runs.
    NotRunning {
        /// Those of its last task that still live, guards included.
        processes: Vec<Stray>,
    },
    /// It cannot be told whether a worker runs.
    Unknown { why: String },
}

/// A task, as the spool has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct TaskName {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) job: String,
}

/// What programs are told where no worker has answered: the keys of a [`Snapshot`]. Those of type `()` only a worker knows.
#[derive(Serialize)]
struct NoAnswer<'a> {
    state: &'static str,
    activity: Option<Activity>,
    why: Option<String>,
    task: Option<&'a TaskName>,
    last_task_ended: (),
    processes_left: &'a [Stray],
    warm_blender: (),
    paused: (),
    updates_waiting: (),
    trouble: (),
    last_contact: (),
    name: (),
    pid: Option<i32>,
    version: (),
    home: String,
    manager: (),
    started: (),
    time: Timestamp,
}

impl Observation {
    pub(super) fn unknown(error: &(dyn Error + 'static)) -> Self {
        Self::Unknown { why: chain(error) }
    }

    /// One line for people.
    pub(super) fn line(&self, home: &Path) -> String {
        match self {
            Self::Answered(snapshot) => snapshot.whole_line(),
            Self::Stuck { .. } | Self::Unknown { .. } => self.why().unwrap_or_default(),
            Self::Unasked { pid, task, why, .. } => match task {
                Some(task) => format!("worker {pid} runs {} and cannot be asked more: {why}", task.name),
                None => format!("worker {pid} runs and cannot be asked what it does: {why}"),
            },
            Self::NotRunning { processes } => {
                let home = home.display();
                let named: Vec<_> = processes.iter().map(named).collect();
                match named.len() {
                    0 => format!("no worker runs in the home {home}"),
                    1 => format!(
                        "no worker runs in the home {home}; of its last task 1 process still ends: {}",
                        named[0]
                    ),
                    many => format!(
                        "no worker runs in the home {home}; of its last task {many} processes still end: {}",
                        named.join(", ")
                    ),
                }
            }
        }
    }

    /// One line of JSON.
    pub(super) fn json(&self, home: &Path) -> String {
        let no_answer = |state| NoAnswer {
            state,
            activity: None,
            why: self.why(),
            task: None,
            last_task_ended: (),
            processes_left: &[],
            warm_blender: (),
            paused: (),
            updates_waiting: (),
            trouble: (),
            last_contact: (),
            name: (),
            pid: None,
            version: (),
            home: home.to_string_lossy().into_owned(),
            manager: (),
            started: (),
            time: clock::timestamp_of_millis(clock::unix_millis()),
        };
        let text = match self {
            Self::Answered(snapshot) => serde_json::to_string(snapshot),
            Self::Stuck { pid, .. } => serde_json::to_string(&NoAnswer {
                pid: *pid,
                ..no_answer("stuck")
            }),
            Self::Unasked {
                pid, is_leaving, task, ..
            } => serde_json::to_string(&NoAnswer {
                activity: task.as_ref().map(|_| Activity::Running),
                task: task.as_ref(),
                pid: Some(*pid),
                ..no_answer(if *is_leaving { "leaving" } else { "unknown" })
            }),
            Self::NotRunning { processes } => serde_json::to_string(&NoAnswer {
                activity: (!processes.is_empty()).then_some(Activity::Ending),
                processes_left: processes,
                ..no_answer("not running")
            }),
            Self::Unknown { .. } => serde_json::to_string(&no_answer("unknown")),
        };
        // None of these has a key that is no text, or a number that JSON has not.
        text.unwrap_or_default()
    }

    fn why(&self) -> Option<String> {
        match self {
            Self::Answered(_) | Self::NotRunning { .. } => None,
            Self::Unasked { why, .. } | Self::Unknown { why } => Some(why.clone()),
            Self::Stuck { pid, is_stopped } => {
                let worker = pid.map_or_else(|| "the worker".to_owned(), |pid| format!("worker {pid}"));
                Some(match (is_stopped, pid) {
                    (true, Some(pid)) => format!("{worker} is stopped: `kill -CONT {pid}` lets it go on"),
                    (_, _) => format!("{worker} does not answer: it hangs, or its node has no time for it"),
                })
            }
        }
    }

    /// How `status` ends with it.
    pub(super) fn departure(&self) -> Result<(), Departure> {
        match self {
            Self::Answered(_) | Self::Unasked { .. } => Ok(()),
            Self::NotRunning { .. } => Err(Departure::NotRunning),
            Self::Stuck { .. } | Self::Unknown { .. } => Err(Departure::Failure),
        }
    }

    /// This without what changes by itself: where it is another than before, something has happened.
    pub(super) fn facts(&self) -> Self {
        let Self::Answered(snapshot) = self else {
            return self.clone();
        };
        let mut facts = snapshot.clone();
        (facts.last_contact, facts.time) = (None, Timestamp::UNIX_EPOCH);
        if let Some(task) = &mut facts.task {
            (task.mean_seconds, task.expected_end) = (None, None);
        }
        Self::Answered(facts)
    }

    /// What stays the same while a task goes on, or nothing is to be done.
    pub(super) fn subject(&self) -> String {
        match self {
            Self::Answered(snapshot) => {
                let task = snapshot.task.as_ref().map(|task| (&task.id, task.since));
                format!("{} {:?} {task:?}", snapshot.identity.pid, snapshot.state)
            }
            other @ (Self::Stuck { .. } | Self::Unasked { .. } | Self::NotRunning { .. } | Self::Unknown { .. }) => {
                format!("{:?}", std::mem::discriminant(other))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(seen: &Observation) -> (serde_json::Value, String) {
        let home = Path::new("/h");
        (serde_json::from_str(&seen.json(home)).unwrap(), seen.line(home))
    }

    #[test]
    fn j12_where_no_worker_runs_what_still_lives_is_named() {
        let process = |pid| Stray {
            pid,
            name: "blender".into(),
        };
        let (json, line) = said(&Observation::NotRunning { processes: vec![] });
        assert_eq!(
            (&json["state"], &json["activity"]),
            (&"not running".into(), &serde_json::Value::Null)
        );
        assert_eq!(line, "no worker runs in the home /h");
        let seen = Observation::NotRunning {
            processes: vec![process(7), process(8)],
        };
        let (json, line) = said(&seen);
        assert_eq!(json["activity"], "ending");
        assert_eq!(json["processes_left"][1]["pid"], 8);
        assert!(
            line.ends_with("2 processes still end: blender (pid 7), blender (pid 8)"),
            "{line}"
        );
        assert_eq!(seen.departure(), Err(Departure::NotRunning));
    }

    #[test]
    fn j11_one_that_does_not_answer_is_named_with_what_helps() {
        let stuck = |is_stopped| Observation::Stuck {
            pid: Some(77),
            is_stopped,
        };
        let (json, line) = said(&stuck(true));
        assert_eq!((&json["state"], &json["pid"]), (&"stuck".into(), &77.into()));
        assert_eq!(line, "worker 77 is stopped: `kill -CONT 77` lets it go on");
        assert!(said(&stuck(false)).1.starts_with("worker 77 does not answer"));
        assert_eq!(stuck(true).departure(), Err(Departure::Failure));
    }

    #[test]
    fn j13_one_that_cannot_be_asked_is_told_by_what_is_in_its_home() {
        let mut seen = Observation::Unasked {
            pid: 5,
            is_leaving: false,
            task: None,
            why: "no socket".into(),
        };
        assert_eq!(
            said(&seen).1,
            "worker 5 runs and cannot be asked what it does: no socket"
        );
        if let Observation::Unasked { task, .. } = &mut seen {
            *task = Some(TaskName {
                id: "t".into(),
                name: "shot".into(),
                job: "j".into(),
            });
        }
        let (json, line) = said(&seen);
        assert_eq!(
            (&json["activity"], &json["task"]["name"]),
            (&"running".into(), &"shot".into())
        );
        assert_eq!(line, "worker 5 runs shot and cannot be asked more: no socket");
        assert_eq!(seen.departure(), Ok(()));
    }
}
