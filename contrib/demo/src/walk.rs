// SPDX-License-Identifier: GPL-3.0-or-later
//! The steps of the demonstration, in their order. Each does one thing, waits for what must come of it, and says how long it took.

use std::time::{Duration, Instant};

use standin_manager::{JobSpec, JobStatus, Snapshot, TaskStatus, When, Worker, WorkerStatus};

use crate::{
    farm::{self, Shot},
    interrupt::{End, failed},
    programs::{self, in_words},
    show::{counted, time},
    stage::{RunningJob, Stage},
};

/// A worker signs on within a second; a machine that is just unpacking Blender may need longer.
const AWAKE: Duration = Duration::from_secs(30);
/// A job of a few time, on a machine many times slower than ours.
const JOB: Duration = Duration::from_secs(300);
/// Longer than a worker waits between two questions to the Manager (30 s asleep), and than a renderer's grace.
const ACTION: Duration = Duration::from_secs(60);
/// Pictures of a task that are there before it is interrupted.
const SOME: u16 = 2;

/// From a worker that is starting to one that has left.
///
/// # Errors
/// The first step that does not come to its end.
pub(crate) fn walk(stage: &mut Stage<'_>, shot: &Shot<'_>, finished: &mut bool) -> Result<(), End> {
    let worker = signed_on(stage)?;
    stage.show.heading("A job of Blender's kind, first part");
    submit(stage, shot.first_part())?;
    job_completed(stage, "")?;
    *finished = true;
    stage.show.heading("The Worker Actions, during the second part");
    submit(stage, shot.second_part())?;
    restart_after_task(stage, &worker)?;
    let kept = sleep_at_once(stage, &worker, shot)?;
    restart_asleep(stage, &worker)?;
    wake_up(stage, &worker)?;
    job_completed(stage, &kept)?;
    shut_down(stage, &worker)
}

fn signed_on(stage: &mut Stage<'_>) -> Result<String, End> {
    let began = Instant::now();
    let awake = |snapshot: &Snapshot<'_>| {
        let worker = snapshot.workers().find(|worker| worker.status == WorkerStatus::Awake);
        worker.cloned()
    };
    let Worker { id, name, version, .. } = stage.until(AWAKE, "the worker to be awake", awake)?;
    let took = time(began.elapsed());
    let version = version.split(" (").next().unwrap_or_default();
    let text = format!("{name}, version {version}, awake {took} after its start");
    stage.show.fact("Worker", &text);
    Ok(id)
}

fn submit(stage: &mut Stage<'_>, job: JobSpec) -> Result<(), End> {
    let id = stage.standin.submit(job).map_err(failed("submitting a job"))?;
    stage.job = Some(RunningJob::new(id));
    Ok(())
}

/// Waits for the end of the job, and says what it made.
fn job_completed(stage: &mut Stage<'_>, sentence: &str) -> Result<(), End> {
    let Some(job) = stage.job.as_ref() else { return Ok(()) };
    let (id, submitted) = (job.id.clone(), job.submitted);
    let completed = |snapshot: &Snapshot<'_>| {
        let job = snapshot.job(&id).filter(|job| job.status == JobStatus::Completed);
        job.map(|_| RunningJob::contents(snapshot, &id))
    };
    let contents = stage.until(JOB, "the job to be completed", completed)?;
    stage.show.done(&contents, submitted.elapsed(), sentence);
    stage.job = None;
    Ok(())
}

/// The task that runs, or will in a moment: its name and id.
fn running_task(stage: &mut Stage<'_>) -> Result<(String, String), End> {
    let Some(id) = stage.job.as_ref().map(|job| job.id.clone()) else {
        return Err(End::Failed("There is no job to interrupt.".to_owned()));
    };
    let running = |snapshot: &Snapshot<'_>| {
        let active = snapshot.tasks(&id).find(|task| task.status == TaskStatus::Active)?;
        Some((active.name.clone(), active.id.clone()))
    };
    stage.until(ACTION, "a task to run", running)
}

fn restart_after_task(stage: &mut Stage<'_>, worker: &str) -> Result<(), End> {
    let (name, task) = running_task(stage)?;
    let lives = stage.supervisor.lives().len();
    let asked = stage.ask(worker, WorkerStatus::Restart, When::AfterTask)?;
    let (left, back) = restarted(stage, worker, lives)?;
    let finished = stage
        .standin
        .task(&task)
        .is_some_and(|task| task.status == TaskStatus::Completed);
    if !finished {
        return Err(End::Failed(format!("The worker restarted without finishing {name}.")));
    }
    let sentence = format!(
        "Finished {name} first ({}), left with exit code {}, was back at work {} later.",
        time(left - asked),
        crate::RESTART_CODE,
        time(back - left)
    );
    stage
        .show
        .done("Restart (after task is finished)", back - asked, &sentence);
    Ok(())
}

/// Waits until one life is over and the next one says what it is. Returns both moments.
fn restarted(stage: &mut Stage<'_>, worker: &str, lives: usize) -> Result<(Instant, Instant), End> {
    let supervisor = stage.supervisor;
    let again = |snapshot: &Snapshot<'_>| {
        let all = supervisor.lives();
        let (left, _) = all.get(lives.checked_sub(1)?)?.end?;
        let status = snapshot.worker(worker)?.status;
        let settled = matches!(status, WorkerStatus::Awake | WorkerStatus::Asleep);
        (all.len() > lives && settled).then_some(left)
    };
    let left = stage.until(JOB, "the worker to be back after a restart", again)?;
    Ok((left, Instant::now()))
}

/// Interrupts a task in the middle. Returns a sentence about what it had, for when it has the rest.
fn sleep_at_once(stage: &mut Stage<'_>, worker: &str, shot: &Shot<'_>) -> Result<String, End> {
    let (name, task) = running_task(stage)?;
    let made = || shot.rendered().saturating_sub(farm::BEFORE_THE_LAST);
    stage.until_outside(JOB, "some of the task's pictures", || (made() >= SOME).then_some(()))?;
    let asked = stage.ask(worker, WorkerStatus::Asleep, When::Now)?;
    let asleep = |snapshot: &Snapshot<'_>| {
        let (worker, task) = (snapshot.worker(worker)?, snapshot.task(&task)?);
        let stopped = worker.status == WorkerStatus::Asleep && task.status != TaskStatus::Active;
        stopped.then_some(task.status)
    };
    let status = stage.until(ACTION, "the worker to stop its task and to sleep", asleep)?;
    let slept = Instant::now();
    only_the_worker_is_left(stage)?;
    let kept = pictures(made());
    let (sentence, later) = if status == TaskStatus::Queued {
        (
            format!("Stopped {name} after {kept}. Nothing of it runs any more, and it is back in the queue."),
            format!("{name} was taken up again, and kept the {kept} it had."),
        )
    } else {
        let sentence = format!("{name} was {status} before the worker heard of it. It sleeps now.");
        (sentence, String::new())
    };
    stage.show.done("Send to Sleep (immediately)", slept - asked, &sentence);
    Ok(later)
}

/// The proof that stopping a task stopped all of it: who else has our worker's environment?
fn only_the_worker_is_left(stage: &mut Stage<'_>) -> Result<(), End> {
    let (supervisor, home) = (stage.supervisor, stage.supervisor.home());
    let alone = || {
        let worker = supervisor.lives().last().map(|life| life.pid);
        programs::running_in(&home)
            .iter()
            .all(|(pid, _)| Some(*pid) == worker)
            .then_some(())
    };
    stage.until_outside(ACTION, "the renderer to be gone", alone)
}

fn restart_asleep(stage: &mut Stage<'_>, worker: &str) -> Result<(), End> {
    let lives = stage.supervisor.lives().len();
    let asked = stage.ask(worker, WorkerStatus::Restart, When::Now)?;
    let (left, back) = restarted(stage, worker, lives)?;
    let status = stage.standin.worker(worker).map(|worker| worker.status);
    let sleeps = status == Some(WorkerStatus::Asleep);
    let sentence = format!(
        "Left with exit code {} {} after the click, and was {} again {} later.",
        crate::RESTART_CODE,
        time(left - asked),
        if sleeps { "asleep" } else { "awake" },
        time(back - left)
    );
    stage
        .show
        .done("Restart (immediately), while asleep", back - asked, &sentence);
    Ok(())
}

fn wake_up(stage: &mut Stage<'_>, worker: &str) -> Result<(), End> {
    let asked = stage.ask(worker, WorkerStatus::Awake, When::Now)?;
    let status = |snapshot: &Snapshot<'_>| {
        snapshot
            .worker(worker)
            .filter(|it| it.status == WorkerStatus::Awake)
            .map(drop)
    };
    stage.until(ACTION, "the worker to wake up", status)?;
    let awake = Instant::now();
    let (name, _) = running_task(stage)?;
    let sentence = format!("Works on {name} {} after the click.", time(asked.elapsed()));
    stage.show.done("Wake Up", awake - asked, &sentence);
    Ok(())
}

fn shut_down(stage: &mut Stage<'_>, worker: &str) -> Result<(), End> {
    stage.may_leave = true;
    let asked = stage.ask(worker, WorkerStatus::Offline, When::AfterTask)?;
    let supervisor = stage.supervisor;
    let (left, status) = stage.until_outside(ACTION, "the worker to shut down", || supervisor.over()?.ok())?;
    if !status.success() {
        let how = in_words(status);
        return Err(End::Failed(format!("The worker shut down with {how} instead of 0.")));
    }
    let offline = |snapshot: &Snapshot<'_>| {
        snapshot
            .worker(worker)
            .filter(|it| it.status == WorkerStatus::Offline)
            .map(drop)
    };
    stage.until(ACTION, "the worker to have signed off", offline)?;
    stage.show.done(
        "Shut Down (after task is finished)",
        left - asked,
        "Signed off and left with exit code 0.",
    );
    Ok(())
}

fn pictures(count: u16) -> String {
    counted(count.into(), "picture")
}
