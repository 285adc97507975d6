// SPDX-License-Identifier: GPL-3.0-or-later
//! The worker endpoints. Always in this order: authentication, the validator, the handler.

use base64::{Engine, engine::general_purpose::STANDARD};
use serde::Serialize;
use serde_json::Value;

use super::{Asked, answer::Answer, route::WorkerCall, schema};
use crate::{
    farm::{Farm, Handed, Refused, Registration, SignOn, Update, Worker},
    words::{TaskStatus, WorkerStatus},
};

const UNAUTHORISED: &str = "security requirements failed: authorization failed: ";

#[derive(Serialize)]
struct RegisteredWorker<'a> {
    address: &'a str,
    name: &'a str,
    platform: &'a str,
    /// Empty, as the real one leaves it.
    software: &'a str,
    /// Empty: not one of the seven.
    status: &'a str,
    supported_task_types: &'a [String],
    uuid: &'a str,
}

#[derive(Serialize)]
struct StateChange {
    status_requested: WorkerStatus,
}

#[derive(Serialize)]
struct MayKeepRunning {
    #[serde(rename = "mayKeepRunning")]
    may: bool,
    reason: String,
    #[serde(rename = "statusChangeRequested")]
    status_change: bool,
}

pub(crate) fn answer(farm: &mut Farm, call: &WorkerCall, asked: &Asked<'_>) -> Answer {
    let outcome = if *call == WorkerCall::Register {
        register(farm, asked)
    } else {
        match authenticate(farm, asked) {
            Ok(worker) => known(farm, call, asked, worker),
            Err(why) => return Answer::bare_error(403, &format!("{UNAUTHORISED}{why}")),
        }
    };
    outcome.unwrap_or_else(|refusal| refusal)
}

/// The worker whose id and secret these are.
fn authenticate(farm: &Farm, asked: &Asked<'_>) -> Result<usize, &'static str> {
    let (user, secret) = asked
        .header("authorization")
        .and_then(basic)
        .ok_or("no auth header found")?;
    let worker = farm.worker(&user).filter(|at| farm.workers[*at].secret == secret);
    worker.ok_or("no such worker known")
}

fn basic(header: &str) -> Option<(String, String)> {
    let (scheme, coded) = header.split_once(' ')?;
    let bytes = scheme
        .eq_ignore_ascii_case("basic")
        .then(|| STANDARD.decode(coded).ok())??;
    let text = String::from_utf8(bytes).ok()?;
    let (user, secret) = text.split_once(':')?;
    Some((user.to_owned(), secret.to_owned()))
}

/// Who a request says it comes from, for the list of requests.
pub(crate) fn claimed_worker(header: Option<&str>) -> Option<String> {
    header.and_then(basic).map(|(user, _)| user)
}

fn register(farm: &mut Farm, asked: &Asked<'_>) -> Result<Answer, Answer> {
    let body = valid(&schema::REGISTRATION, asked)?;
    let wish = Registration {
        secret: text(&body, "secret"),
        name: text(&body, "name"),
        platform: text(&body, "platform"),
        task_types: texts(&body, "supported_task_types"),
        address: asked.address(),
    };
    let at = farm.register(wish)?;
    let Worker {
        id,
        name,
        platform,
        address,
        version,
        task_types,
        status,
        ..
    } = &farm.workers[at];
    Ok(Answer::json(
        200,
        &RegisteredWorker {
            address,
            name,
            platform,
            software: version,
            status: status.as_str(),
            supported_task_types: task_types,
            uuid: id,
        },
    ))
}

fn known(farm: &mut Farm, call: &WorkerCall, asked: &Asked<'_>, worker: usize) -> Result<Answer, Answer> {
    match call {
        WorkerCall::Register => register(farm, asked),
        WorkerCall::SignOn => sign_on(farm, asked, worker),
        WorkerCall::SignOff => {
            farm.sign_off(worker);
            Ok(Answer::empty(204))
        }
        WorkerCall::State => Ok(match farm.asked_of(worker) {
            Some(status_requested) => Answer::json(200, &StateChange { status_requested }),
            None => Answer::empty(204),
        }),
        WorkerCall::StateChanged => {
            let body = valid(&schema::STATE_CHANGED, asked)?;
            farm.state_changed(
                worker,
                WorkerStatus::parse(&text(&body, "status")).unwrap_or(WorkerStatus::Unset),
            );
            Ok(Answer::empty(204))
        }
        WorkerCall::FetchTask => Ok(match farm.hand_out(worker)? {
            Handed::Task(task) => Answer::json(200, &task),
            Handed::Nothing => Answer::empty(204),
            Handed::Locked(status_requested) => Answer::json(423, &StateChange { status_requested }),
        }),
        WorkerCall::TaskUpdate(id) => update(farm, asked, worker, id),
        WorkerCall::MayIRun(id) => {
            let verdict = farm.may_i_run(id, worker)?;
            let (may, reason, status_change) = (verdict.may, verdict.reason, verdict.status_change);
            Ok(Answer::json(
                200,
                &MayKeepRunning {
                    may,
                    reason,
                    status_change,
                },
            ))
        }
        WorkerCall::OutputProduced(id) => picture(farm, asked, worker, id),
    }
}

fn sign_on(farm: &mut Farm, asked: &Asked<'_>, worker: usize) -> Result<Answer, Answer> {
    let body = valid(&schema::SIGN_ON, asked)?;
    let wish = SignOn {
        name: text(&body, "name"),
        version: text(&body, "software_version"),
        task_types: texts(&body, "supported_task_types"),
        can_restart: body.get("can_restart").and_then(Value::as_bool).unwrap_or(false),
        address: asked.address(),
    };
    Ok(Answer::json(
        200,
        &StateChange {
            status_requested: farm.sign_on(worker, wish),
        },
    ))
}

fn update(farm: &mut Farm, asked: &Asked<'_>, worker: usize, id: &str) -> Result<Answer, Answer> {
    let body = valid(&schema::TASK_UPDATE, asked)?;
    let task = farm.task_to_update(id)?;
    let steps = body
        .get("steps_completed")
        .map(|steps| steps.as_i64().ok_or(Refused::new(400, "invalid format")));
    let optional = |key: &str| body.get(key).and_then(Value::as_str).map(str::to_owned);
    let update = Update {
        status: optional("taskStatus").and_then(|word| TaskStatus::parse(&word)),
        activity: optional("activity"),
        log: optional("log"),
        steps: steps.transpose()?,
    };
    farm.update_task(task, worker, update)?;
    Ok(Answer::empty(204))
}

/// The Manager's one error that is a bare string is here.
fn picture(farm: &mut Farm, asked: &Asked<'_>, worker: usize, id: &str) -> Result<Answer, Answer> {
    schema::has_body_of_type(asked, &["image/jpeg", "image/png"]).map_err(|why| Answer::bare_error(400, &why))?;
    let mime = asked.header("content-type").unwrap_or_default();
    let known = farm.picture(id, worker, mime, asked.body)?;
    Ok(if known {
        Answer::empty(202)
    } else {
        Answer::json(404, &"Task does not exist")
    })
}

pub(super) fn valid(schema: &schema::Schema, asked: &Asked<'_>) -> Result<Value, Answer> {
    schema.check(asked).map_err(|why| Answer::bare_error(400, &why))
}

pub(super) fn text(body: &Value, key: &str) -> String {
    body.get(key).and_then(Value::as_str).unwrap_or_default().to_owned()
}

fn texts(body: &Value, key: &str) -> Vec<String> {
    let items = body.get(key).and_then(Value::as_array).into_iter().flatten();
    items.filter_map(Value::as_str).map(str::to_owned).collect()
}
