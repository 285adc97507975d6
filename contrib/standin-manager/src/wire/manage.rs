// SPDX-License-Identifier: GPL-3.0-or-later
//! The part of the Manager's API that people, tests and the page use. It has no authentication.

use std::path::Path;

use serde_json::Value;

use super::{
    Asked,
    answer::Answer,
    files,
    route::ManageCall,
    schema,
    shapes::{
        JobInfo, Jobs, LastRenderedInfo, SampleInfo, StatusChange, TaskInfo, TaskLogInfo, TaskSummary, TaskWorker,
        Tasks, VersionInfo, WorkerInfo, WorkerSummary, WorkerTask, Workers,
    },
    worker::{text, valid},
};
use crate::{
    farm::{Farm, Job, PICTURE_NAMES, Refused, Task, When, Worker, is_id, no_metadata},
    spec::{CommandSpec, JobSpec, RAW_TASKS, TaskSpec},
    words::{JobStatus, TaskStatus, WorkerStatus},
};

pub(crate) fn answer(farm: &mut Farm, call: &ManageCall, asked: &Asked<'_>) -> Answer {
    attempt(farm, call, asked).unwrap_or_else(|refusal| refusal)
}

fn attempt(farm: &mut Farm, call: &ManageCall, asked: &Asked<'_>) -> Result<Answer, Answer> {
    Ok(match call {
        ManageCall::Version => version(farm),
        ManageCall::Jobs => Answer::json(
            200,
            &Jobs {
                jobs: farm.jobs.iter().map(job_info).collect(),
            },
        ),
        ManageCall::SubmitJob => submit(farm, asked)?,
        ManageCall::Job(id) => Answer::json(200, &job_info(&farm.jobs[job(farm, id)?])),
        ManageCall::DeleteJob(id) => {
            job(farm, id)?;
            done(farm.delete_job(id))?
        }
        ManageCall::JobTasks(id) => tasks(farm, id)?,
        ManageCall::SetJobStatus(id) => {
            let body = valid(&schema::JOB_STATUS, asked)?;
            job(farm, id)?;
            let status = JobStatus::parse(&text(&body, "status")).unwrap_or(JobStatus::UnderConstruction);
            done(farm.change_job(id, status, &text(&body, "reason")))?
        }
        ManageCall::Task(id) => task_info(farm, id)?,
        ManageCall::SetTaskStatus(id) => {
            let body = valid(&schema::TASK_STATUS, asked)?;
            let status = TaskStatus::parse(&text(&body, "status")).unwrap_or(TaskStatus::Queued);
            done(farm.change_task(id, status, &text(&body, "reason")))?
        }
        ManageCall::TaskLogTail(id) => log_tail(farm, id)?,
        ManageCall::TaskLog(id) => log_info(farm, id)?,
        ManageCall::LastRendered(id) => last_rendered(farm, id)?,
        ManageCall::Samples => samples(farm),
        ManageCall::SubmitSample(name) => submit_sample(farm, name)?,
        ManageCall::Workers => {
            let workers = farm
                .workers
                .iter()
                .filter(|worker| !worker.deleted)
                .map(summary)
                .collect();
            Answer::json(200, &Workers { workers })
        }
        ManageCall::Worker(id) => worker_info(farm, &farm.workers[worker(farm, id)?]),
        ManageCall::DeleteWorker(id) => {
            worker(farm, id)?;
            done(farm.delete_worker(id))?
        }
        ManageCall::AskWorker(id) => ask_worker(farm, id, asked)?,
    })
}

fn done(outcome: Result<(), Refused>) -> Result<Answer, Answer> {
    outcome?;
    Ok(Answer::empty(204))
}

fn job(farm: &Farm, id: &str) -> Result<usize, Refused> {
    if is_id(id) {
        farm.known_job(id)
    } else {
        Err(Refused::new(400, "job ID not valid"))
    }
}

fn worker(farm: &Farm, id: &str) -> Result<usize, Refused> {
    if is_id(id) {
        farm.known_worker(id)
    } else {
        Err(Refused::new(400, "not a valid UUID"))
    }
}

fn version(farm: &Farm) -> Answer {
    let (name, version) = (&farm.options.name, &farm.options.version);
    let info = VersionInfo {
        git: &version.git,
        name,
        shortversion: &version.short,
        version: &version.long,
    };
    Answer::json(200, &info)
}

/// Any job type is taken for the harness's own: `settings.tasks_json` lists the tasks.
fn submit(farm: &mut Farm, asked: &Asked<'_>) -> Result<Answer, Answer> {
    let body = valid(&schema::SUBMITTED_JOB, asked)?;
    if text(&body, "type") != RAW_TASKS {
        return Err(Answer::error(400, "job type unknown"));
    }
    let settings = body.get("settings").cloned().unwrap_or_else(no_metadata);
    let tasks = settings
        .get("tasks_json")
        .and_then(Value::as_str)
        .unwrap_or("undefined");
    let tasks: Vec<Value> =
        serde_json::from_str(tasks).map_err(|why| Answer::error(400, &format!("SyntaxError: {why}")))?;
    let spec = JobSpec {
        name: text(&body, "name"),
        priority: body.get("priority").and_then(Value::as_i64).unwrap_or_default(),
        job_type: text(&body, "type"),
        tasks: tasks.iter().map(task_spec).collect(),
    };
    let metadata = body.get("metadata").cloned().unwrap_or_else(no_metadata);
    let at = farm.submit(spec, settings, metadata)?;
    Ok(Answer::json(200, &job_info(&farm.jobs[at])))
}

fn task_spec(task: &Value) -> TaskSpec {
    let or = |key: &str, otherwise: &str| match text(task, key) {
        word if word.is_empty() => otherwise.to_owned(),
        word => word.trim().to_owned(),
    };
    let list = |key: &str| task.get(key).and_then(Value::as_array).into_iter().flatten();
    let command = |command: &Value| CommandSpec {
        name: text(command, "name"),
        parameters: command.get("parameters").cloned().unwrap_or(Value::Null),
        total_step_count: command
            .get("total_step_count")
            .and_then(Value::as_i64)
            .unwrap_or_default(),
    };
    TaskSpec {
        name: or("name", "task"),
        kind: or("type", "misc"),
        commands: list("commands").map(command).collect(),
        after: list("after")
            .filter_map(Value::as_u64)
            .map(|at| usize::try_from(at).unwrap_or(usize::MAX))
            .collect(),
    }
}

fn job_info(job: &Job) -> JobInfo<'_> {
    JobInfo {
        metadata: &job.metadata,
        name: &job.name,
        priority: job.priority,
        settings: &job.settings,
        submitter_platform: "",
        r#type: &job.job_type,
        activity: &job.activity,
        created: job.created.to_string(),
        id: &job.id,
        status: job.status,
        steps_completed: job.steps_completed,
        steps_total: job.steps_total,
        updated: job.updated.to_string(),
    }
}

/// A deleted owner keeps only its id; in the list of those who failed it keeps everything.
fn task_owner<'a>(farm: &'a Farm, id: Option<&String>) -> TaskWorker<'a> {
    let owner = task_worker(farm, id);
    if farm.worker(owner.id).is_some() {
        owner
    } else {
        TaskWorker {
            id: owner.id,
            ..TaskWorker::default()
        }
    }
}

fn task_worker<'a>(farm: &'a Farm, id: Option<&String>) -> TaskWorker<'a> {
    let worker = farm.workers.iter().find(|worker| Some(&worker.id) == id);
    worker
        .map(|worker| TaskWorker {
            address: &worker.address,
            id: &worker.id,
            name: &worker.name,
        })
        .unwrap_or_default()
}

fn task_summary<'a>(farm: &'a Farm, task: &'a Task) -> TaskSummary<'a> {
    TaskSummary {
        id: &task.id,
        index_in_job: task.index,
        name: &task.name,
        priority: task.priority,
        status: task.status,
        steps_completed: task.steps_completed,
        steps_total: task.steps_total,
        task_type: &task.kind,
        updated: task.updated.to_string(),
        worker: task_owner(farm, task.worker.as_ref()),
    }
}

fn tasks(farm: &Farm, id: &str) -> Result<Answer, Answer> {
    if !is_id(id) {
        return Err(Answer::error(400, "job ID not valid"));
    }
    let tasks = farm
        .tasks
        .iter()
        .filter(|task| task.job == id)
        .map(|task| task_summary(farm, task))
        .collect();
    Ok(Answer::json(200, &Tasks { tasks }))
}

fn task_info(farm: &Farm, id: &str) -> Result<Answer, Answer> {
    if !is_id(id) {
        // Its own words, though it is a task's.
        return Err(Answer::error(400, "job ID not valid"));
    }
    let task = &farm.tasks[farm.known_task(id)?];
    let info = TaskInfo {
        activity: &task.activity,
        commands: task.commands.as_deref().map(Vec::as_slice),
        created: task.created.to_string(),
        failed_by_workers: task.failed_by.iter().map(|id| task_worker(farm, Some(id))).collect(),
        id: &task.id,
        index_in_job: task.index,
        job_id: &task.job,
        last_touched: task.touched.map(|then| then.to_string()),
        name: &task.name,
        priority: task.priority,
        status: task.status,
        steps_completed: task.steps_completed,
        steps_total: task.steps_total,
        task_type: &task.kind,
        updated: task.updated.to_string(),
        worker: task_owner(farm, task.worker.as_ref()),
    };
    Ok(Answer::json(200, &info))
}

/// The Manager's page shows this many bytes of a log's end, from the first whole line; the file itself has no limit.
const TAIL: usize = 2048;

fn log_tail(farm: &Farm, id: &str) -> Result<Answer, Answer> {
    if !is_id(id) {
        return Err(Answer::error(400, "bad task ID"));
    }
    farm.known_task(id)?;
    let log = farm.task_log(id).into_bytes();
    if log.is_empty() {
        return Ok(Answer::empty(204));
    }
    let mut tail = &log[log.len().saturating_sub(TAIL)..];
    if tail.len() < log.len()
        && let Some(end) = tail.iter().position(|byte| *byte == b'\n')
        && end + 1 < tail.len()
    {
        tail = &tail[end + 1..];
    }
    Ok(Answer::typed(200, "text/plain; charset=UTF-8", tail.to_vec()))
}

fn log_info(farm: &Farm, id: &str) -> Result<Answer, Answer> {
    if !is_id(id) {
        return Err(Answer::error(400, "bad task ID"));
    }
    let task = &farm.tasks[farm.known_task(id)?];
    let path = farm.log_path(&task.job, id);
    let size = std::fs::metadata(&path).map_or(0, |file| file.len());
    if size == 0 {
        return Ok(Answer::empty(204));
    }
    let info = TaskLogInfo {
        job_id: &task.job,
        size,
        task_id: id,
        url: address(farm, &path),
    };
    Ok(Answer::json(200, &info))
}

/// The real one does not look whether there is such a job.
fn last_rendered(farm: &Farm, id: &str) -> Result<Answer, Answer> {
    if !is_id(id) {
        return Err(Answer::error(400, "job ID should be a UUID"));
    }
    let folder = farm.job_folder(id);
    if !PICTURE_NAMES.iter().all(|name| folder.join(name).is_file()) {
        return Ok(Answer::empty(204));
    }
    let info = LastRenderedInfo {
        base: address(farm, &folder),
        suffixes: PICTURE_NAMES,
    };
    Ok(Answer::json(200, &info))
}

/// Where a file of the storage is served.
fn address(farm: &Farm, path: &Path) -> String {
    let path = path.strip_prefix(&farm.storage).unwrap_or(path);
    format!("{}{}", files::PREFIX, path.display())
}

fn samples(farm: &Farm) -> Answer {
    let samples = farm.options.samples.iter().map(|sample| SampleInfo {
        about: &sample.about,
        name: &sample.name,
    });
    Answer::json(200, &samples.collect::<Vec<_>>())
}

fn submit_sample(farm: &mut Farm, name: &str) -> Result<Answer, Answer> {
    let sample = farm.options.samples.iter().find(|sample| sample.name == name);
    let job = sample.ok_or_else(|| Answer::error(404, "no such sample"))?.job.clone();
    let at = farm.submit(job, no_metadata(), no_metadata())?;
    Ok(Answer::json(200, &job_info(&farm.jobs[at])))
}

fn summary(worker: &Worker) -> WorkerSummary<'_> {
    let change = worker.requested.map(|asked| StatusChange {
        is_lazy: asked.when == When::AfterTask,
        status: asked.status,
    });
    WorkerSummary {
        can_restart: worker.can_restart,
        id: &worker.id,
        last_seen: worker.last_seen.map(|then| then.to_string()),
        name: &worker.name,
        status: worker.status,
        status_change: change,
        version: &worker.version,
    }
}

fn worker_info(farm: &Farm, worker: &Worker) -> Answer {
    let own = farm
        .tasks
        .iter()
        .filter(|task| task.worker.as_ref() == Some(&worker.id));
    let last = own
        .rev()
        .max_by_key(|task| (farm.runs_in_active_job(task), task.updated));
    let info = WorkerInfo {
        summary: summary(worker),
        ip_address: &worker.address,
        platform: &worker.platform,
        supported_task_types: &worker.task_types,
        task: last.map(|task| WorkerTask {
            summary: task_summary(farm, task),
            job_id: &task.job,
        }),
    };
    Answer::json(200, &info)
}

fn ask_worker(farm: &mut Farm, id: &str, asked: &Asked<'_>) -> Result<Answer, Answer> {
    let body = valid(&schema::ASK_WORKER, asked)?;
    worker(farm, id)?;
    let lazy = body.get("is_lazy").and_then(Value::as_bool).unwrap_or(false);
    let status = WorkerStatus::parse(&text(&body, "status")).unwrap_or(WorkerStatus::Unset);
    done(farm.ask(id, status, if lazy { When::AfterTask } else { When::Now }))
}
