// SPDX-License-Identifier: GPL-3.0-or-later
//! The named samples, one after another, and what became of each.
//!
//! ```text
//! submit ─► watch until it ended (stubborn: cancel it once it is stubborn) ─► look: log, status, /proc ─► tell
//! ```

use std::{
    path::Path,
    time::{Duration, Instant},
};

use standin_manager::{JobStatus, Task};

use crate::{
    interrupt::{End, failed},
    programs,
    samples::{
        SampleName, Sampler,
        role::{FAILURE, FLOOD, Role, STUBBORN},
    },
    show::{counted, time},
    stage::RunningJob,
    watch::{Watch, is_over},
};

/// The long render on a machine many times slower than ours.
const LIMIT: Duration = Duration::from_secs(3600);
/// Longer than the grace of a program that does not end by itself, and than a worker takes to hear that it must.
const KILLED: Duration = Duration::from_secs(30);
/// The last lines of a log that are shown.
const TAIL: usize = 6;

/// What there is to say of a sample that ended.
#[derive(Debug, PartialEq, Eq)]
struct Tale {
    as_expected: bool,
    sentence: String,
    /// Lines of the task's log.
    quote: String,
}

/// What is seen of a sample that ended.
struct Seen {
    status: JobStatus,
    task: Task,
    log: String,
    /// What of it runs on.
    left: Vec<String>,
}

/// `finished` becomes true with the first pictures that are worth keeping.
///
/// # Errors
/// Interrupted, no worker is left, or a sample did not end as it should.
pub(crate) fn run(
    watch: &mut Watch<'_>,
    sampler: &Sampler<'_>,
    names: &[SampleName],
    finished: &mut bool,
) -> Result<(), End> {
    let mut astray = Vec::new();
    for name in names {
        let job = sampler.one(*name).job;
        let title = job.name.clone();
        let began = Instant::now();
        let id = watch.standin.submit(job).map_err(failed("submitting a job"))?;
        let mut took = None;
        if *name == SampleName::Stubborn {
            took = Some(cancel_once_stubborn(watch, &id, &sampler.place)?);
        }
        until(watch, LIMIT, "the job to end", |watch| {
            watch
                .standin
                .job(&id)
                .is_none_or(|job| is_over(job.status))
                .then_some(())
        })?;
        let took = took.unwrap_or_else(|| began.elapsed());
        let tale = tell(*name, watch, &id, &sampler.place, took);
        if tale.as_expected {
            watch.show.done(&title, took, &tale.sentence);
            *finished |= *name == SampleName::Render;
        } else {
            watch.show.not_done(&title, took, &tale.sentence);
            astray.push(name.word());
        }
        watch.show.quote(&tale.quote);
    }
    if astray.is_empty() {
        return Ok(());
    }
    Err(End::Failed(format!("Not as it should be: {}.", astray.join(", "))))
}

/// Waits while the person watches.
fn until<T>(
    watch: &mut Watch<'_>,
    limit: Duration,
    what: &str,
    mut fact: impl FnMut(&Watch<'_>) -> Option<T>,
) -> Result<T, End> {
    let end = Instant::now() + limit;
    loop {
        if let Some(found) = fact(watch) {
            return Ok(found);
        }
        if watch.all_left() {
            return Err(End::Failed("All workers have left.".to_owned()));
        }
        if Instant::now() > end {
            let (within, state) = (time(limit), watch.standin.dump());
            return Err(End::Failed(format!(
                "Waited {within} in vain: {what}.\nThe Manager's view:\n{state}"
            )));
        }
        watch.tick()?;
    }
}

/// As a person does it on the page. Returns the time from there to the end of the program.
fn cancel_once_stubborn(watch: &mut Watch<'_>, job: &str, place: &Path) -> Result<Duration, End> {
    until(watch, LIMIT, "the program to be stubborn", |watch| {
        let first = watch.standin.tasks(job).into_iter().next()?;
        watch.standin.task_log(&first.id).contains(STUBBORN).then_some(())
    })?;
    watch.standin.cancel_job(job).map_err(failed("cancelling the job"))?;
    let asked = Instant::now();
    let gone = until(watch, KILLED, "the stubborn program to be gone", |_| {
        programs::playing(place).is_empty().then_some(())
    });
    match gone {
        Ok(()) | Err(End::Failed(_)) => Ok(asked.elapsed()),
        Err(end @ End::Interrupted(_)) => Err(end),
    }
}

fn tell(name: SampleName, watch: &Watch<'_>, job: &str, place: &Path, took: Duration) -> Tale {
    let seen = watch.standin.look(|snapshot| {
        // The one that failed, if one did.
        let failed = |task: &&Task| task.failed_by.is_empty();
        let task = snapshot.tasks(job).min_by_key(failed)?.clone();
        Some(Seen {
            status: snapshot.job(job)?.status,
            log: snapshot.log(&task.id),
            task,
            left: programs::playing(place).into_iter().map(|(_, name)| name).collect(),
        })
    });
    let Some(seen) = seen else {
        return seen_nothing();
    };
    match name {
        SampleName::Render | SampleName::Long => {
            let contents = watch.standin.look(|snapshot| RunningJob::contents(snapshot, job));
            seen.completed(&contents)
        }
        SampleName::Failing => seen.failed(),
        SampleName::Stubborn => seen.killed(took),
        SampleName::Escape => seen.caught(),
        SampleName::Flood => seen.flooded(),
    }
}

fn seen_nothing() -> Tale {
    Tale {
        as_expected: false,
        sentence: "Somebody deleted the job.".to_owned(),
        quote: String::new(),
    }
}

impl Seen {
    fn tale(&self, as_expected: bool, sentence: &str) -> Tale {
        Tale {
            as_expected: as_expected && self.left.is_empty(),
            sentence: format!("{sentence} {}", self.what_is_left()),
            quote: if as_expected { String::new() } else { self.tail() },
        }
    }

    fn completed(&self, contents: &str) -> Tale {
        if self.status == JobStatus::Completed {
            return self.tale(true, &format!("Completed: {contents}."));
        }
        let sentence = format!("The job is {}: {}", self.status, self.task.activity);
        self.tale(false, &sentence)
    }

    /// The log is what a person looks at next, so it is shown.
    fn failed(&self) -> Tale {
        let failed =
            self.status == JobStatus::Failed && self.log.contains(&format!("exited abnormally with code {FAILURE}"));
        let Task { name, status, .. } = &self.task;
        let sentence = format!("The task {name} is {status}, the job {}. Its log ends:", self.status);
        Tale {
            as_expected: failed,
            sentence,
            quote: self.tail(),
        }
    }

    fn killed(&self, took: Duration) -> Tale {
        let heard = if self.log.contains("SIGTERM came. I stay.") {
            "It heard SIGTERM and stayed, "
        } else {
            "It was not asked to go, "
        };
        let killed = self.status == JobStatus::Canceled && self.left.is_empty();
        let end = if killed { "until it was killed" } else { "and stays" };
        self.tale(
            killed,
            &format!("Cancelled while it ran. {heard}{end}: {} from the click.", time(took)),
        )
    }

    fn caught(&self) -> Tale {
        let away = self.log.matches(" is on its own now.").count();
        let named = strays_named(&self.log);
        let caught = self.status == JobStatus::Completed && away == Role::RUNAWAYS.len() && named == away;
        let sentence = format!(
            "{} got away from the program, which then left. The log names {named} of them as left behind and ended.",
            counted(away, "process")
        );
        self.tale(caught, &sentence)
    }

    fn flooded(&self) -> Tale {
        let wanted = format!(" of {FLOOD}: the quick");
        let mut in_order = 0_u32;
        for line in self.log.lines().filter(|line| line.contains(&wanted)) {
            in_order += u32::from(line.contains(&format!("line {} of", in_order + 1)));
        }
        let all = self.status == JobStatus::Completed && in_order == FLOOD;
        self.tale(
            all,
            &format!("{in_order} of {FLOOD} lines are in the Manager's log, in their order."),
        )
    }

    fn what_is_left(&self) -> String {
        if self.left.is_empty() {
            return "Nothing of it is left running.".to_owned();
        }
        format!("Still running: {}.", self.left.join(", "))
    }

    fn tail(&self) -> String {
        let lines: Vec<_> = self.log.trim_end().lines().collect();
        lines[lines.len().saturating_sub(TAIL)..].join("\n")
    }
}

/// How many the worker's line about strays counts.
fn strays_named(log: &str) -> usize {
    let line = log.lines().find(|line| line.contains("left behind and ended: "));
    line.map_or(0, |line| line.matches(" (pid ").count())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strays_are_counted_in_the_worker_s_line_only() {
        let log = "escape-nohup (pid 4) is on its own now.\nleft behind and ended: a (pid 5), b c (pid 6)\n";
        assert_eq!(strays_named(log), 2);
        assert_eq!(strays_named("escape-nohup (pid 4) is on its own now.\n"), 0);
    }
}
