// SPDX-License-Identifier: GPL-3.0-or-later

//! What a worker does at one moment, as one value for all who show it: the service manager, `status`, the terminal, metrics.
//!
//! ```text
//! worker::Status ─┐
//! spool, manager ─┼─► Snapshot ─► a line for people
//! launcher ───────┘      └─► JSON, whose names stay: the other end may be another version
//! ```

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::pause::{Pause, time_of_day};
use crate::process::Stray;
use crate::progress::{Estimate, Unit};
use crate::warm::WarmStatus;

/// What a worker does at one moment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Snapshot {
    /// What the worker is.
    pub state: StateKind,
    /// Whether anything of a task lives. `None` where that is not known: a start may still end what an earlier worker left.
    pub activity: Option<Activity>,
    /// Why it sleeps or leaves.
    pub why: Option<String>,
    /// The task that runs.
    pub task: Option<TaskSnapshot>,
    /// When the last task ended.
    pub last_task_ended: Option<Timestamp>,
    /// Processes of tasks that are over, which could not be ended yet.
    pub processes_left: Vec<Stray>,
    /// The Blender that is kept between tasks, where that is switched on.
    pub warm_blender: Option<WarmStatus>,
    /// That this machine is not for tasks now, and why.
    #[serde(default)]
    pub paused: Option<Pause>,
    /// Tasks that are over, and have not told the Manager everything.
    pub updates_waiting: usize,
    /// The Manager's URL and why it did not answer the last call; while there is none, what the search for it waits for.
    pub trouble: Option<String>,
    /// When the Manager last answered.
    pub last_contact: Option<Timestamp>,
    /// Which worker it is.
    #[serde(flatten)]
    pub identity: Identity,
    /// When this was so.
    pub time: Timestamp,
}

/// What a worker is: its state, without what belongs to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum StateKind {
    /// Signing on.
    Starting,
    /// Asking for tasks, or running one.
    Awake,
    /// Taking no task.
    Asleep,
    /// On the way to its end.
    Leaving,
}

/// Whether anything of a task lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Activity {
    /// Nothing does.
    Idle,
    /// A task runs.
    Running,
    /// A task is being ended, or processes of one that is over could not be.
    Ending,
}

/// Which worker it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Identity {
    /// As the Manager shows it.
    pub name: String,
    /// Its process.
    pub pid: u32,
    /// Of the program.
    pub version: String,
    /// The directory it uses.
    pub home: String,
    /// The URL of its Manager; `None` while one is searched for.
    pub manager: Option<String>,
    /// When it started.
    pub started: Timestamp,
}

/// The task that runs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct TaskSnapshot {
    /// As the Manager knows it.
    pub id: String,
    /// For people.
    pub name: String,
    /// The id of its job.
    pub job: String,
    /// When it began.
    pub since: Timestamp,
    /// Since when its programs stand still.
    #[serde(default)]
    pub paused_since: Option<Timestamp>,
    /// What it counts.
    pub unit: Unit,
    /// So many of these are done.
    pub done: u32,
    /// So many there are, where that is known.
    pub of: Option<u32>,
    /// How long one takes in the mean.
    pub mean_seconds: Option<f64>,
    /// When it will have ended, as far as that can be told.
    pub expected_end: Option<Timestamp>,
    /// The worker leaves after it.
    pub is_last: bool,
    /// The worker sleeps after it.
    #[serde(default)]
    pub sleeps_after: bool,
    /// Why it is being ended.
    pub ending: Option<String>,
}

impl Snapshot {
    /// One line, of the worker that the reader knows he asks for.
    pub(crate) fn line(&self) -> String {
        let mut line = match (&self.task, self.state, &self.trouble) {
            (Some(task), _, _) => self.task_line(task),
            (None, StateKind::Starting, Some(trouble)) => format!("waiting for {trouble}"),
            (None, StateKind::Starting, None) => "signing on".to_owned(),
            (None, StateKind::Awake, _) => self.idle(),
            (None, StateKind::Asleep, _) => {
                let why = self.why.as_deref().unwrap_or("nobody knows why");
                format!("asleep: {why}{}", self.paused_until())
            }
            (None, StateKind::Leaving, _) => self.why.clone().unwrap_or_else(|| "leaving".to_owned()),
        };
        line.push_str(&match self.updates_waiting {
            0 => String::new(),
            1 => ", 1 update waiting".to_owned(),
            many => format!(", {many} updates waiting"),
        });
        if let Some(trouble) = self.trouble_text()
            && (self.task.is_some() || self.state != StateKind::Starting)
        {
            line.push_str(&format!("; {trouble}"));
        }
        line
    }

    fn task_line(&self, task: &TaskSnapshot) -> String {
        let line = task.line(self.time);
        match (task.paused_since, &task.ending) {
            (Some(since), None) => {
                let why = self.paused.map_or(String::new(), |pause| format!(", {}", pause.reason));
                let time = rough(elapsed(since, self.time));
                format!("paused for {time}{why}{}: {line}", self.paused_until())
            }
            (None, _) | (Some(_), Some(_)) => line,
        }
    }

    fn paused_until(&self) -> String {
        let until = self.paused.and_then(|pause| pause.until);
        until.map_or(String::new(), |until| format!(", until {}", time_of_day(until)))
    }

    /// The trouble in words: the Manager that does not answer, or while there is none, what the search for it waits for.
    pub(crate) fn trouble_text(&self) -> Option<String> {
        let trouble = self.trouble.as_deref()?;
        Some(match self.identity.manager {
            Some(_) => format!("no answer from {trouble}"),
            None => format!("waiting for {trouble}"),
        })
    }

    /// One line that also says which worker it is, and when the Manager answered.
    pub(crate) fn whole_line(&self) -> String {
        let Identity { name, pid, version, .. } = &self.identity;
        let version = version.split(' ').next().unwrap_or_default();
        let contact = match (&self.trouble, self.last_contact) {
            (None, Some(last)) => match elapsed(last, self.time).as_secs() {
                seconds @ 0..60 => format!("; Manager answered {seconds} s ago"),
                seconds => format!("; Manager answered {} ago", rough(Duration::from_secs(seconds))),
            },
            (Some(_), _) | (None, None) => String::new(),
        };
        format!("{name} (pid {pid}, {version}): {}{contact}", self.line())
    }

    fn idle(&self) -> String {
        if !self.processes_left.is_empty() {
            let left: Vec<_> = self.processes_left.iter().map(named).collect();
            return format!("cannot end what its last task left: {}", left.join(", "));
        }
        let idle = match self.last_task_ended {
            Some(last) => format!("idle, last task {} ago", rough(elapsed(last, self.time))),
            None => "idle, no task yet".to_owned(),
        };
        match self.warm_blender.as_ref().and_then(|warm| warm.kept.as_ref()) {
            Some(kept) => {
                let plural = if kept.tasks == 1 { "" } else { "s" };
                format!(
                    "{idle}, its Blender is kept (pid {}, {} task{plural})",
                    kept.pid, kept.tasks
                )
            }
            None => idle,
        }
    }
}

impl TaskSnapshot {
    /// How long it had run, at `time`.
    pub(crate) fn elapsed(&self, time: Timestamp) -> Duration {
        elapsed(self.since, time)
    }

    /// How far it is, at `time`.
    pub(crate) fn estimate(&self, time: Timestamp) -> Estimate {
        Estimate {
            unit: self.unit,
            done: self.done,
            all: self.of.unwrap_or_default(),
            each: self
                .mean_seconds
                .and_then(|each| Duration::try_from_secs_f64(each).ok()),
            left: self.expected_end.map(|end| elapsed(time, end)),
        }
    }

    fn line(&self, time: Timestamp) -> String {
        let name = &self.name;
        if let Some(reason) = &self.ending {
            return format!("ending {name}: {reason}");
        }
        let estimate = self.estimate(time);
        let what = match (self.unit, estimate.all) {
            (Unit::Frame, 0) => format!("rendering {name}"),
            (Unit::Frame, _) => format!("rendering {} of {name}", estimate.position()),
            (Unit::Step, 0 | 1) => format!("running {name}"),
            (Unit::Step, _) => format!("running {} of {name}", estimate.position()),
        };
        let last = match (self.is_last, self.sleeps_after) {
            (true, _) => "the last task before leaving: ",
            (false, true) => "the last task before sleeping: ",
            (false, false) => "",
        };
        format!("{last}{what}{}", estimate.pace())
    }
}

/// A process, for people.
pub(crate) fn named(process: &Stray) -> String {
    format!("{} (pid {})", process.name, process.pid)
}

/// From `earlier` to `later`; nothing where the clock was set back in between.
fn elapsed(earlier: Timestamp, later: Timestamp) -> Duration {
    Duration::try_from(later.duration_since(earlier)).unwrap_or_default()
}

/// In the largest unit that is full, rounded down.
fn rough(time: Duration) -> String {
    match time.as_secs() {
        0..60 => "less than a minute".to_owned(),
        seconds @ 60..3600 => format!("{} min", seconds / 60),
        seconds @ 3600..172_800 => format!("{} h", seconds / 3600),
        seconds => format!("{} days", seconds / 86400),
    }
}
