// SPDX-License-Identifier: GPL-3.0-or-later
//! Everything that plays a part, and the one place that waits for a fact.

use std::time::{Duration, Instant};

use standin_manager::{JobStatus, Snapshot, StandIn, Task, TaskStatus, When, WorkerStatus};

use crate::{
    interrupt::{End, Interrupt},
    programs::in_words,
    show::{Progress, Show, time},
    supervisor::Supervisor,
    view::steps,
};

/// How often the changing line is drawn and signals are looked for while nothing changes.
const TICK: Duration = Duration::from_millis(80);
/// The last lines of a failed task's log that are shown.
const TAIL: usize = 15;

/// The players.
pub(crate) struct Stage<'a> {
    pub(crate) standin: &'a StandIn,
    pub(crate) supervisor: &'a Supervisor,
    pub(crate) interrupt: &'a mut Interrupt,
    pub(crate) show: &'a mut Show,
    /// The job whose progress is shown.
    pub(crate) job: Option<RunningJob>,
    /// That the worker leaves for good is what we wait for.
    pub(crate) may_leave: bool,
}

/// A job that is being worked on.
pub(crate) struct RunningJob {
    pub(crate) id: String,
    pub(crate) submitted: Instant,
    /// Tasks already told about.
    ready: Vec<String>,
}

impl RunningJob {
    pub(crate) fn new(id: String) -> Self {
        Self {
            id,
            submitted: Instant::now(),
            ready: Vec::new(),
        }
    }

    /// `6 pictures from 2 tasks, and a video`.
    pub(crate) fn contents(snapshot: &Snapshot<'_>, id: &str) -> String {
        let renders = || snapshot.tasks(id).filter(|task| task.kind == "blender");
        let (pictures, tasks) = (renders().map(|task| task.steps_total).sum::<i64>(), renders().count());
        let video = if snapshot.tasks(id).count() > tasks {
            ", and a video"
        } else {
            ""
        };
        format!("{pictures} pictures from {tasks} tasks{video}")
    }

    fn progress(&self, snapshot: &Snapshot<'_>) -> Progress {
        let renders = || snapshot.tasks(&self.id).filter(|task| task.kind == "blender");
        let count = |of: fn(&Task) -> i64| steps(renders().map(of).sum());
        let active = snapshot.tasks(&self.id).find(|task| task.status == TaskStatus::Active);
        Progress {
            done: count(|task| task.steps_completed),
            total: count(|task| task.steps_total),
            of: "pictures",
            now: active.map_or_else(String::new, |task| task.name.clone()),
            took: self.submitted.elapsed(),
        }
    }

    fn newly_ready(&mut self, snapshot: &Snapshot<'_>) -> Vec<String> {
        let completed = snapshot
            .tasks(&self.id)
            .filter(|task| task.status == TaskStatus::Completed);
        let fresh: Vec<_> = completed
            .map(|task| task.name.clone())
            .filter(|name| !self.ready.contains(name))
            .collect();
        self.ready.extend_from_slice(&fresh);
        fresh
    }
}

impl Stage<'_> {
    /// Waits for a fact, showing how far the job is.
    ///
    /// # Errors
    /// Not within the deadline, interrupted, the worker left unasked, or a job failed.
    pub(crate) fn until<T>(
        &mut self,
        deadline: Duration,
        what: &str,
        mut fact: impl FnMut(&Snapshot<'_>) -> Option<T>,
    ) -> Result<T, End> {
        let end = Instant::now() + deadline;
        loop {
            let found = self.standin.wait_for(TICK, what, &mut fact);
            self.show_progress();
            if let Ok(found) = found {
                return Ok(found);
            }
            self.interrupt.check()?;
            self.check_worker()?;
            self.check_job()?;
            if Instant::now() >= end {
                let (within, state) = (time(deadline), self.standin.dump());
                return Err(End::Failed(format!(
                    "Waited {within} in vain: {what}.\nThe Manager's view:\n{state}"
                )));
            }
        }
    }

    /// As [`Stage::until`], for what the Manager knows nothing about. `fact` is asked at each tick.
    pub(crate) fn until_outside<T>(
        &mut self,
        deadline: Duration,
        what: &str,
        mut fact: impl FnMut() -> Option<T>,
    ) -> Result<T, End> {
        self.until(deadline, what, |_| fact())
    }

    /// Clicks an entry of the Worker Actions menu.
    ///
    /// # Errors
    /// The Manager refuses.
    pub(crate) fn ask(&self, worker: &str, status: WorkerStatus, when: When) -> Result<Instant, End> {
        let refused = |refused| End::Failed(format!("The Manager refuses to ask for \"{status}\": {refused}"));
        self.standin.ask(worker, status, when).map_err(refused)?;
        Ok(Instant::now())
    }

    fn show_progress(&mut self) {
        let Some(job) = &mut self.job else { return };
        let (progress, fresh) = self
            .standin
            .look(|snapshot| (job.progress(snapshot), job.newly_ready(snapshot)));
        for name in fresh {
            self.show.piece(&name, &progress);
        }
        self.show.progress(&progress);
    }

    fn check_worker(&self) -> Result<(), End> {
        match self.supervisor.over() {
            Some(Err(reason)) => Err(End::Failed(format!("There is no worker: {reason}."))),
            Some(Ok((_, status))) if !self.may_leave => {
                let how = in_words(status);
                Err(End::Failed(format!("The worker left unasked, with {how}.")))
            }
            Some(Ok(_)) | None => Ok(()),
        }
    }

    fn check_job(&self) -> Result<(), End> {
        let Some(job) = &self.job else { return Ok(()) };
        let failed = self.standin.look(|snapshot| {
            let bad = |task: &&Task| matches!(task.status, TaskStatus::Failed | TaskStatus::SoftFailed);
            let task = snapshot.tasks(&job.id).find(bad).cloned();
            let lost = snapshot.job(&job.id).is_none_or(|job| job.status == JobStatus::Failed);
            task.map(|task| (task.name, snapshot.log(&task.id)))
                .or_else(|| lost.then(|| ("The job".to_owned(), String::new())))
        });
        let Some((name, log)) = failed else { return Ok(()) };
        let lines: Vec<_> = log.lines().collect();
        let tail = lines[lines.len().saturating_sub(TAIL)..].join("\n");
        Err(End::Failed(format!("{name} failed. The end of its log:\n{tail}")))
    }
}
