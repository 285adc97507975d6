// SPDX-License-Identifier: GPL-3.0-or-later
//! The four calls of a real Manager's API that a guest needs. None of them asks who is calling.

use std::time::Duration;

use reqwest::{Client, Method, StatusCode, Url, redirect::Policy};
use serde_json::Value;
use standin_manager::{RequestedAction, When, WorkerStatus};
use tokio::runtime::Runtime;

use crate::view::{Row, State, Work};

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

impl Manager {
    /// # Errors
    /// In words: HTTP cannot be prepared.
    pub(crate) fn at(url: &Url) -> Result<Self, String> {
        let in_words = |error: &dyn std::error::Error| format!("cannot prepare HTTP: {error}");
        // reqwest panics without a provider; that there is one already is no error.
        rustls::crypto::ring::default_provider().install_default().ok();
        let mut builder = Client::builder().timeout(PATIENCE).redirect(Policy::none()).no_proxy();
        if url.scheme() == "http" {
            // With rustls a host without CA certificates could not even speak plain HTTP.
            builder = builder.tls_certs_only(std::iter::empty());
        }
        Ok(Self {
            runtime: tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .map_err(|error| in_words(&error))?,
            client: builder.build().map_err(|error| in_words(&error))?,
            api: url.join("api/v3/").map_err(|error| in_words(&error))?,
        })
    }

    /// Its name and version.
    ///
    /// # Errors
    /// In words: nobody answers, or somebody else.
    pub(crate) fn version(&self) -> Result<String, String> {
        let answer = self.call(Method::GET, "version")?;
        let text = |key: &str| answer.get(key).and_then(Value::as_str).map(str::to_owned);
        match (text("name"), text("version")) {
            (Some(name), Some(version)) => Ok(format!("{name}, version {version},")),
            (_, _) => Err(format!(
                "Whoever answers there is none: {}.",
                glimpse(&answer.to_string())
            )),
        }
    }

    /// The row of one worker.
    ///
    /// # Errors
    /// In words: nobody answers, or the Manager does not know it.
    pub(crate) fn worker(&self, id: &str) -> Result<Row, String> {
        let answer = self.call(Method::GET, &format!("worker-mgt/workers/{id}"))?;
        row(&answer).ok_or_else(|| "an answer without a name and a status".to_owned())
    }

    /// Takes the row out of its list. That it is not there any more is as good.
    ///
    /// # Errors
    /// In words: nobody answers, or the Manager refuses.
    pub(crate) fn delete(&self, id: &str) -> Result<(), String> {
        self.call(Method::DELETE, &format!("worker-mgt/workers/{id}")).map(drop)
    }

    /// Null for an answer without a body, and for a deletion of what is not there.
    fn call(&self, method: Method, path: &str) -> Result<Value, String> {
        let url = self.api.join(path).map_err(|error| error.to_string())?;
        let gone = method == Method::DELETE;
        let answer = self.runtime.block_on(async {
            let response = self.client.request(method, url).send().await?;
            let status = response.status();
            Ok((status, response.text().await?))
        });
        let (status, body) = answer.map_err(|error: reqwest::Error| root_cause(&error))?;
        if gone && status == StatusCode::NOT_FOUND {
            return Ok(Value::Null);
        }
        if !status.is_success() {
            return Err(format!("The answer is {status}: {}", glimpse(&body)));
        }
        if body.is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_str(&body).map_err(|_| format!("The answer is no JSON: {}", glimpse(&body)))
    }
}

/// The last link of the chain says what a person can act on: connection refused, a name that is not known.
fn root_cause(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return format!("No answer within {} s.", PATIENCE.as_secs());
    }
    let mut cause: &dyn std::error::Error = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    format!("{cause}.")
}

fn glimpse(text: &str) -> String {
    let line = crate::show::tame(text.trim());
    let short: String = line.chars().take(GLIMPSE).collect();
    if short.len() < line.len() {
        format!("{short}…")
    } else {
        short
    }
}

/// The task in there is the one it runs, or the one it ran last.
fn row(answer: &Value) -> Option<Row> {
    let text = |value: &Value, key: &str| value.get(key).and_then(Value::as_str).map(str::to_owned);
    let number = |value: &Value, key: &str| value.get(key).and_then(Value::as_i64).unwrap_or(0);
    let task = answer
        .get("task")
        .filter(|task| text(task, "status").as_deref() == Some("active"));
    let requested = answer.get("status_change").and_then(|change| {
        let lazy = change.get("is_lazy").and_then(Value::as_bool).unwrap_or(false);
        Some(RequestedAction {
            status: WorkerStatus::parse(&text(change, "status")?)?,
            when: if lazy { When::AfterTask } else { When::Now },
        })
    });
    Some(Row {
        name: text(answer, "name")?,
        state: State::Known(WorkerStatus::parse(&text(answer, "status")?)?),
        work: task.and_then(|task| {
            Some(Work {
                task: text(task, "name")?,
                done: number(task, "steps_completed"),
                total: number(task, "steps_total"),
            })
        }),
        requested,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_read_as_the_manager_sends_it() {
        let answer = serde_json::json!({
            "can_restart": true, "id": "1", "name": "node-7", "status": "awake", "version": "1",
            "status_change": {"is_lazy": true, "status": "asleep"}, "task": {"name": "render-1-3",
            "status": "active", "steps_completed": 1, "steps_total": 3},
        });
        let shown = row(&answer).map(|row| row.sentence());
        assert_eq!(shown.as_deref(), Some("node-7: awake, render-1-3, then sleeps"));
    }

    #[test]
    fn the_last_task_of_an_idle_worker_is_not_its_work() {
        let answer = serde_json::json!({"name": "a", "status": "asleep", "task": {"name": "x", "status": "completed"}});
        assert_eq!(row(&answer).map(|row| row.sentence()).as_deref(), Some("a: asleep"));
        assert_eq!(row(&serde_json::json!({"name": "a", "status": "dancing"})), None);
    }

    #[test]
    fn nobody_at_the_address_is_said_in_the_system_s_words() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        drop(listener);
        let manager = Manager::at(&Url::parse(&url).unwrap()).unwrap();
        let why = manager.version().unwrap_err();
        assert!(why.contains("refused"), "{why}");
    }
}
