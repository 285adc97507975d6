// SPDX-License-Identifier: GPL-3.0-or-later

//! What is asked of the Manager, and what each of its answers means.

use reqwest::Method;

use super::HttpManager;
use crate::home::Credentials;
use crate::manager::api_request::ApiRequest;
use crate::manager::{Assignment, Delivery, Manager, ManagerError, ManagerInfo, Picture, PictureAnswer, Verdict};
use crate::metrics::ApiCall;
use crate::protocol::{
    ErrorBody, LARGEST_TASK, MayKeepRunning, Registered, Registration, SignOn, StateChange, StateChanged, TaskUpdate,
    WorkerStatus,
};

impl Manager for HttpManager {
    fn identify(&self, credentials: &Credentials) {
        *self.credentials.borrow_mut() = Some(credentials.clone());
    }

    fn move_on(&self) {
        self.go_to_next_place();
    }

    fn was_out_of_contact(&self) -> bool {
        self.contact.take_gap()
    }

    async fn info(&self) -> Result<ManagerInfo, ManagerError> {
        let call = ApiRequest {
            authenticated: false,
            ..self.get(ApiCall::Version, "api/v3/version")
        };
        let response = self.call(call).await?;
        match response.status.as_u16() {
            200 => Ok(ManagerInfo {
                version: response.json()?,
                date: response.date(),
            }),
            _ => Err(response.error()),
        }
    }

    async fn register(&self, registration: &Registration) -> Result<Registered, ManagerError> {
        let response = self
            .post_json(
                ApiCall::Register,
                "api/v3/worker/register-worker",
                registration,
                self.timings.request_timeout,
            )
            .await?;
        match response.status.as_u16() {
            200 => response.json(),
            _ => Err(response.error()),
        }
    }

    async fn sign_on(&self, sign_on: &SignOn) -> Result<WorkerStatus, ManagerError> {
        let response = self
            .post_json(
                ApiCall::SignOn,
                "api/v3/worker/sign-on",
                sign_on,
                self.timings.request_timeout,
            )
            .await?;
        match response.status.as_u16() {
            200 => Ok(response.json::<StateChange>()?.status_requested),
            _ => Err(response.error()),
        }
    }

    async fn sign_off(&self) -> Result<(), ManagerError> {
        self.post(ApiCall::SignOff, "api/v3/worker/sign-off", self.timings.request_timeout)
            .await?
            .accepted()
    }

    async fn requested_status(&self) -> Result<Option<WorkerStatus>, ManagerError> {
        let response = self.call(self.get(ApiCall::State, "api/v3/worker/state")).await?;
        match response.status.as_u16() {
            200 => Ok(Some(response.json::<StateChange>()?.status_requested)),
            204 => Ok(None),
            _ => Err(response.error()),
        }
    }

    async fn state_changed(&self, status: &WorkerStatus) -> Result<(), ManagerError> {
        let body = StateChanged { status };
        self.post_json(
            ApiCall::StateChanged,
            "api/v3/worker/state-changed",
            &body,
            self.timings.request_timeout,
        )
        .await?
        .accepted()
    }

    async fn fetch(&self) -> Result<Assignment, ManagerError> {
        let limit = self.timings.request_timeout;
        let call = ApiRequest {
            most: LARGEST_TASK,
            ..ApiRequest::new(ApiCall::FetchTask, Method::POST, "api/v3/worker/task", limit)
        };
        let response = self.call(call).await?;
        match response.status.as_u16() {
            200 => response.task(),
            204 => Ok(Assignment::Nothing),
            423 => Ok(Assignment::GoTo(response.json::<StateChange>()?.status_requested)),
            409 if response.is_own_error() => Ok(Assignment::NotAwake(response.message())),
            400 if response.is_own_error() => Ok(Assignment::Refused(response.message())),
            _ => Err(response.error()),
        }
    }

    async fn may_i_run(&self, task: &str) -> Result<Verdict, ManagerError> {
        let response = self
            .call(self.get(ApiCall::MayIRun, &task_path(task, "/may-i-run")))
            .await?;
        match response.status.as_u16() {
            200 => Ok(match response.json::<MayKeepRunning>()? {
                MayKeepRunning {
                    may_keep_running: true, ..
                } => Verdict::Continue,
                stop => Verdict::Stop(stop),
            }),
            _ => Err(response.error()),
        }
    }

    async fn update(&self, task: &str, update: &TaskUpdate) -> Result<Delivery, ManagerError> {
        let response = self
            .post_json(
                ApiCall::TaskUpdate,
                &task_path(task, ""),
                update,
                self.timings.update_timeout,
            )
            .await?;
        match response.status.as_u16() {
            204 => Ok(Delivery::Accepted),
            404 if response.is_own_error() => Ok(Delivery::Gone),
            409 if response.is_own_error() => Ok(Delivery::NotOurs),
            413 => Ok(Delivery::TooLarge),
            400 if ErrorBody::parse(response.body.whole()).is_some() => Ok(Delivery::Refused(response.message())),
            _ => Err(response.error()),
        }
    }

    async fn output_produced(&self, task: &str, picture: Picture) -> Result<PictureAnswer, ManagerError> {
        let path = task_path(task, "/output-produced");
        let limit = self.timings.update_timeout;
        let call = ApiRequest {
            content: Some((picture.mime, picture.bytes)),
            ..ApiRequest::new(ApiCall::OutputProduced, Method::POST, &path, limit)
        };
        let response = self.call(call).await?;
        match response.status.as_u16() {
            202 => Ok(PictureAnswer::Taken),
            429 => Ok(PictureAnswer::Busy),
            400 | 404 | 413 => Ok(PictureAnswer::NotWanted),
            _ => Err(response.error()),
        }
    }

    async fn is_registered(&self) -> Result<bool, ManagerError> {
        let path = format!("api/v3/worker-mgt/workers/{}", segment(&self.worker_id()));
        let call = ApiRequest {
            authenticated: false,
            ..self.get(ApiCall::Worker, &path)
        };
        let response = self.call(call).await?;
        match response.status.as_u16() {
            200 => Ok(true),
            404 if response.is_own_error() => Ok(false),
            _ => Err(response.error()),
        }
    }
}

fn task_path(task: &str, what: &str) -> String {
    format!("api/v3/worker/task/{}{what}", segment(task))
}

/// An id as one segment of a path, whatever it contains.
fn segment(id: &str) -> String {
    url::form_urlencoded::byte_serialize(id.as_bytes()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_cannot_leave_its_place_in_the_path() {
        assert_eq!(segment("../x?y"), "..%2Fx%3Fy");
    }
}
