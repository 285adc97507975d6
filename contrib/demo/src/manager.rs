// SPDX-License-Identifier: GPL-3.0-or-later
//! The three calls of a real Manager's API that a guest needs. None of them asks who is calling.

use std::{error::Error, time::Duration};

use reqwest::{Client, Method, StatusCode, Url, redirect::Policy};
use serde::Deserialize;
use standin_manager::{RequestedAction, When, WorkerStatus};
use tokio::runtime::{Builder, Runtime};

use crate::{
    show::tame,
    view::{Row, State, Work},
};

/// A Manager on a local network answers within milliseconds; Ctrl+C waits as long.
const PATIENCE: Duration = Duration::from_secs(2);
/// What is shown of an answer that is no Manager's.
const GLIMPSE: usize = 80;

/// A Manager somewhere.
pub(crate) struct Manager {
    runtime: Runtime,
    client: Client,
    /// Ends in a slash.
    api: Url,
}

#[derive(Deserialize)]
struct Version {
    name: String,
    version: String,
}

/// A worker in the Manager's list.
#[derive(Deserialize)]
struct Worker {
    name: String,
    status: String,
    /// The one it runs, or the one it ran last.
    task: Option<Task>,
    status_change: Option<StatusChange>,
}

#[derive(Deserialize)]
struct Task {
    name: String,
    status: String,
    #[serde(default)]
    steps_completed: i64,
    #[serde(default)]
    steps_total: i64,
}

#[derive(Deserialize)]
struct StatusChange {
    status: String,
    #[serde(default)]
    is_lazy: bool,
}

impl Manager {
    /// # Errors
    /// In words: HTTP cannot be prepared.
    pub(crate) fn at(url: &Url) -> Result<Self, String> {
        let in_words = |error: &dyn Error| format!("cannot prepare HTTP: {error}");
        // reqwest panics without a provider; that there is one already is no error.
        rustls::crypto::ring::default_provider().install_default().ok();
        let mut client = Client::builder().timeout(PATIENCE).redirect(Policy::none()).no_proxy();
        if url.scheme() == "http" {
            // With rustls a host without CA certificates could not even speak plain HTTP.
            client = client.tls_certs_only(std::iter::empty());
        }
        let runtime = Builder::new_current_thread().enable_all().build();
        Ok(Self {
            runtime: runtime.map_err(|error| in_words(&error))?,
            client: client.build().map_err(|error| in_words(&error))?,
            api: url.join("api/v3/").map_err(|error| in_words(&error))?,
        })
    }

    /// Its name and version.
    ///
    /// # Errors
    /// In words: nobody answers, or something else than a Manager.
    pub(crate) fn version(&self) -> Result<String, String> {
        let body = self.call(Method::GET, "version")?;
        let Version { name, version } = serde_json::from_str(&body)
            .map_err(|_| format!("The answer is not that of a Manager: {}", glimpse(&body)))?;
        Ok(format!("{name}, version {version},"))
    }

    /// The row of one worker.
    ///
    /// # Errors
    /// In words: nobody answers, or the Manager does not know it.
    pub(crate) fn worker(&self, id: &str) -> Result<Row, String> {
        let body = self.call(Method::GET, &format!("worker-mgt/workers/{id}"))?;
        row(&body).ok_or_else(|| "an answer without a name and a status".to_owned())
    }

    /// Takes the row out of its list. That it is not there any more is as good.
    ///
    /// # Errors
    /// In words: nobody answers, or the Manager refuses.
    pub(crate) fn delete(&self, id: &str) -> Result<(), String> {
        self.call(Method::DELETE, &format!("worker-mgt/workers/{id}")).map(drop)
    }

    fn call(&self, method: Method, path: &str) -> Result<String, String> {
        let url = self.api.join(path).map_err(|error| error.to_string())?;
        let deletes = method == Method::DELETE;
        let answer = self.runtime.block_on(async {
            let response = self.client.request(method, url).send().await?;
            Ok((response.status(), response.text().await?))
        });
        let (status, body) = answer.map_err(|error| root_cause(&error))?;
        if status.is_success() || (deletes && status == StatusCode::NOT_FOUND) {
            return Ok(body);
        }
        Err(format!("The answer is {status}: {}", glimpse(&body)))
    }
}

/// The last link of the chain says what a person can act on: connection refused, a name that is not known.
fn root_cause(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return format!("No answer within {} s.", PATIENCE.as_secs());
    }
    let mut cause: &dyn Error = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    format!("{cause}.")
}

fn glimpse(text: &str) -> String {
    tame(text.trim()).chars().take(GLIMPSE).collect()
}

fn row(body: &str) -> Option<Row> {
    let worker: Worker = serde_json::from_str(body).ok()?;
    let running = worker.task.filter(|task| task.status == "active");
    Some(Row {
        name: worker.name,
        state: State::Known(WorkerStatus::parse(&worker.status)?),
        work: running.map(|task| Work {
            task: task.name,
            done: task.steps_completed,
            total: task.steps_total,
        }),
        requested: worker.status_change.and_then(|change| {
            Some(RequestedAction {
                status: WorkerStatus::parse(&change.status)?,
                when: if change.is_lazy { When::AfterTask } else { When::Now },
            })
        }),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_read_as_the_manager_sends_it() {
        let answer = r#"{"can_restart": true, "id": "1", "name": "node-7", "status": "awake", "version": "1",
            "status_change": {"is_lazy": true, "status": "asleep"}, "task": {"name": "render-1-3",
            "status": "active", "steps_completed": 1, "steps_total": 3}}"#;
        let shown = row(answer).map(|row| row.sentence());
        assert_eq!(shown.as_deref(), Some("node-7: awake, render-1-3, then sleeps"));
    }

    #[test]
    fn the_last_task_of_an_idle_worker_is_not_its_work() {
        let answer = r#"{"name": "a", "status": "asleep", "task": {"name": "x", "status": "completed"}}"#;
        assert_eq!(row(answer).map(|row| row.sentence()).as_deref(), Some("a: asleep"));
        assert_eq!(row(r#"{"name": "a", "status": "dancing"}"#), None);
    }
}
