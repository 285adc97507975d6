// SPDX-License-Identifier: GPL-3.0-or-later
//! Method and path become one of the calls the Manager knows.

use super::{files, page::Asset};

/// A request, parsed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Call {
    Worker(WorkerCall),
    Manage(ManageCall),
    Push(PushCall),
    /// A file of the page.
    Page(Asset),
    /// A file of the storage, by its path there.
    JobFile(String),
    /// The path exists, the method does not. The Manager says 404 all the same.
    MethodNotAllowed,
    Unknown,
}

/// What workers call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum WorkerCall {
    Register,
    SignOn,
    SignOff,
    State,
    StateChanged,
    FetchTask,
    TaskUpdate(String),
    MayIRun(String),
    OutputProduced(String),
}

/// What people, tests and the page call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ManageCall {
    Version,
    Jobs,
    SubmitJob,
    Job(String),
    DeleteJob(String),
    JobTasks(String),
    SetJobStatus(String),
    Task(String),
    SetTaskStatus(String),
    TaskLogTail(String),
    TaskLog(String),
    LastRendered(String),
    /// Ours, not the Manager's: the jobs the page offers to submit.
    Samples,
    SubmitSample(String),
    Workers,
    Worker(String),
    DeleteWorker(String),
    AskWorker(String),
}

/// What is asked of the Socket.IO.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PushCall {
    Upgrade,
    OtherMethod,
}

/// One of the Manager's endpoints, for faults and for the list of requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Endpoint {
    Register,
    SignOn,
    SignOff,
    State,
    StateChanged,
    FetchTask,
    TaskUpdate,
    MayIRun,
    OutputProduced,
    Version,
    /// The request for a Socket.IO connection, `/socket.io/`.
    Push,
    /// Management calls and everything unknown.
    Other,
}

impl Call {
    pub(crate) fn parse(method: &str, path: &str) -> Self {
        match (method, path) {
            ("GET", "/socket.io/") => return Self::Push(PushCall::Upgrade),
            (_, "/socket.io/") => return Self::Push(PushCall::OtherMethod),
            (_, _) => {}
        }
        let Some(path) = path.strip_prefix("/api/v3/") else {
            return Self::outside_the_api(method, path);
        };
        let parts: Vec<&str> = path.split('/').collect();
        if parts.iter().any(|part| part.is_empty()) {
            return Self::Unknown;
        }
        match parts.as_slice() {
            ["worker", rest @ ..] => Self::worker(method, rest),
            rest => Self::manage(method, rest),
        }
    }

    fn outside_the_api(method: &str, path: &str) -> Self {
        if path == "/standin/samples" && method == "GET" {
            return Self::Manage(ManageCall::Samples);
        }
        if let Some(name) = path.strip_prefix("/standin/samples/")
            && method == "POST"
        {
            return Self::Manage(ManageCall::SubmitSample(name.to_owned()));
        }
        if let Some(file) = path.strip_prefix(files::PREFIX)
            && method == "GET"
        {
            return Self::JobFile(file.to_owned());
        }
        match Asset::at(path) {
            Some(asset) if method == "GET" => Self::Page(asset),
            Some(_) => Self::MethodNotAllowed,
            None => Self::Unknown,
        }
    }

    fn worker(method: &str, parts: &[&str]) -> Self {
        let call = match (method, parts) {
            ("POST", ["register-worker"]) => WorkerCall::Register,
            ("POST", ["sign-on"]) => WorkerCall::SignOn,
            ("POST", ["sign-off"]) => WorkerCall::SignOff,
            ("GET", ["state"]) => WorkerCall::State,
            ("POST", ["state-changed"]) => WorkerCall::StateChanged,
            ("POST", ["task"]) => WorkerCall::FetchTask,
            ("POST", ["task", id]) => WorkerCall::TaskUpdate((*id).to_owned()),
            ("GET", ["task", id, "may-i-run"]) => WorkerCall::MayIRun((*id).to_owned()),
            ("POST", ["task", id, "output-produced"]) => WorkerCall::OutputProduced((*id).to_owned()),
            (_, ["register-worker" | "sign-on" | "sign-off" | "state" | "state-changed" | "task"] | ["task", _])
            | (_, ["task", _, "may-i-run" | "output-produced"]) => return Self::MethodNotAllowed,
            (_, _) => return Self::Unknown,
        };
        Self::Worker(call)
    }

    fn manage(method: &str, parts: &[&str]) -> Self {
        let call = match (method, parts) {
            ("GET", ["version"]) => ManageCall::Version,
            ("GET", ["jobs"]) => ManageCall::Jobs,
            ("POST", ["jobs"]) => ManageCall::SubmitJob,
            ("GET", ["jobs", id]) => ManageCall::Job((*id).to_owned()),
            ("DELETE", ["jobs", id]) => ManageCall::DeleteJob((*id).to_owned()),
            ("GET", ["jobs", id, "tasks"]) => ManageCall::JobTasks((*id).to_owned()),
            ("POST", ["jobs", id, "setstatus"]) => ManageCall::SetJobStatus((*id).to_owned()),
            ("GET", ["tasks", id]) => ManageCall::Task((*id).to_owned()),
            ("POST", ["tasks", id, "setstatus"]) => ManageCall::SetTaskStatus((*id).to_owned()),
            ("GET", ["tasks", id, "logtail"]) => ManageCall::TaskLogTail((*id).to_owned()),
            ("GET", ["tasks", id, "log"]) => ManageCall::TaskLog((*id).to_owned()),
            ("GET", ["jobs", id, "last-rendered"]) => ManageCall::LastRendered((*id).to_owned()),
            ("GET", ["worker-mgt", "workers"]) => ManageCall::Workers,
            ("GET", ["worker-mgt", "workers", id]) => ManageCall::Worker((*id).to_owned()),
            ("DELETE", ["worker-mgt", "workers", id]) => ManageCall::DeleteWorker((*id).to_owned()),
            ("POST", ["worker-mgt", "workers", id, "setstatus"]) => ManageCall::AskWorker((*id).to_owned()),
            (
                _,
                ["version" | "jobs"] | ["jobs" | "tasks", _] | ["jobs", _, "tasks" | "setstatus" | "last-rendered"],
            )
            | (
                _,
                ["tasks", _, "setstatus" | "logtail" | "log"]
                | ["worker-mgt", "workers"]
                | ["worker-mgt", "workers", _],
            )
            | (_, ["worker-mgt", "workers", _, "setstatus"]) => return Self::MethodNotAllowed,
            (_, _) => return Self::Unknown,
        };
        Self::Manage(call)
    }

    pub(crate) fn endpoint(&self) -> Endpoint {
        match self {
            Self::Worker(call) => match call {
                WorkerCall::Register => Endpoint::Register,
                WorkerCall::SignOn => Endpoint::SignOn,
                WorkerCall::SignOff => Endpoint::SignOff,
                WorkerCall::State => Endpoint::State,
                WorkerCall::StateChanged => Endpoint::StateChanged,
                WorkerCall::FetchTask => Endpoint::FetchTask,
                WorkerCall::TaskUpdate(_) => Endpoint::TaskUpdate,
                WorkerCall::MayIRun(_) => Endpoint::MayIRun,
                WorkerCall::OutputProduced(_) => Endpoint::OutputProduced,
            },
            Self::Push(_) => Endpoint::Push,
            Self::Manage(ManageCall::Version) => Endpoint::Version,
            Self::Manage(_) | Self::Page(_) | Self::JobFile(_) | Self::MethodNotAllowed | Self::Unknown => {
                Endpoint::Other
            }
        }
    }

    /// The task this is about.
    pub(crate) fn task(&self) -> Option<&str> {
        match self {
            Self::Worker(WorkerCall::TaskUpdate(id) | WorkerCall::MayIRun(id) | WorkerCall::OutputProduced(id)) => {
                Some(id)
            }
            Self::Worker(_)
            | Self::Push(_)
            | Self::Manage(_)
            | Self::Page(_)
            | Self::JobFile(_)
            | Self::MethodNotAllowed
            | Self::Unknown => None,
        }
    }
}
