// SPDX-License-Identifier: GPL-3.0-or-later

//! One HTTP response, and whether it is the Manager's own or that of something on the way.

use std::time::Duration;

use reqwest::StatusCode;
use reqwest::header::{DATE, HeaderMap, LOCATION, RETRY_AFTER};
use serde::de::DeserializeOwned;
use url::Url;

use super::{Assignment, ManagerError};
use crate::manager_url::ManagerUrl;
use crate::protocol::{AssignedTask, ErrorBody, TASK_END, UnreadableTask};
use crate::{bounded, clock};

/// So many bytes of an answer that is not understood go into an error.
const EXCERPT: usize = 200;

/// The longest wait that `Retry-After` can ask for.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// A response of the Manager or of something on the way.
pub(super) struct ApiResponse {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: ResponseBody,
}

/// The body of a response, as far as it was kept.
#[derive(Debug)]
pub(super) struct ResponseBody {
    /// The whole body, or the end of one that was too long.
    kept: Vec<u8>,
    most: usize,
    too_long: bool,
}

impl ResponseBody {
    /// A body of which only the end is kept if it has more than `most` bytes.
    pub(super) fn new(most: usize) -> Self {
        Self {
            kept: Vec::new(),
            most,
            too_long: false,
        }
    }

    /// Appends what was received.
    pub(super) fn add(&mut self, chunk: &[u8]) {
        self.kept.extend_from_slice(chunk);
        if self.kept.len() > self.most || self.too_long {
            self.too_long = true;
            self.kept.drain(..self.kept.len().saturating_sub(TASK_END));
            self.kept.shrink_to(2 * TASK_END);
        }
    }

    /// The whole body; empty if it was too long.
    pub(super) fn whole(&self) -> &[u8] {
        if self.too_long { &[] } else { &self.kept }
    }
}

impl ApiResponse {
    /// Parses the body.
    ///
    /// # Errors
    /// Fails if the body was too long or has another form.
    pub(super) fn json<T: DeserializeOwned>(&self) -> Result<T, ManagerError> {
        if self.body.too_long {
            let most = self.body.most;
            return Err(ManagerError::NotTheManager(format!("more than {most} bytes came")));
        }
        serde_json::from_slice(self.body.whole()).map_err(|error| self.unreadable(&error.to_string()))
    }

    fn unreadable(&self, why: &str) -> ManagerError {
        let why = bounded::shorten(why, bounded::LONGEST_MESSAGE);
        ManagerError::NotTheManager(format!("{why}; it begins {:?}", self.excerpt()))
    }

    /// The task that was fetched.
    ///
    /// # Errors
    /// Fails if the body cannot be parsed and not even the task's id is found in it.
    pub(super) fn task(&self) -> Result<Assignment, ManagerError> {
        let read = match self.body.too_long {
            true => Err(UnreadableTask::too_long(&self.body.kept, self.body.most)),
            false => AssignedTask::parse(self.body.whole()),
        };
        match read {
            Ok(task) => Ok(Assignment::Task(Box::new(task))),
            Err(UnreadableTask { task: Some(task), why }) => Ok(Assignment::Unreadable { task, why }),
            Err(UnreadableTask { task: None, why }) => Err(self.unreadable(&why)),
        }
    }

    /// The answer to a change of state or a sign-off, which has no content.
    ///
    /// # Errors
    /// Fails with every status but 204.
    pub(super) fn accepted(&self) -> Result<(), ManagerError> {
        match self.status.as_u16() {
            204 => Ok(()),
            _ => Err(self.error()),
        }
    }

    /// Whether the Manager's own handlers made this error: its `code` repeats the status.
    pub(super) fn is_own_error(&self) -> bool {
        ErrorBody::parse(self.body.whole()).is_some_and(|error| error.code == Some(self.status.as_u16()))
    }

    /// Whether the Manager's authentication made this error: a proxy in front of it does not use these words.
    fn is_denial(&self) -> bool {
        self.status == StatusCode::FORBIDDEN
            && ErrorBody::parse(self.body.whole())
                .is_some_and(|error| error.message.starts_with("security requirements failed"))
    }

    /// Whether the Manager itself has answered: its own answers are 2xx, 423 or have the form of its errors. A page for a
    /// browser does not count, also one that the Manager sends for a path below `/app/`.
    pub(super) fn is_of_the_manager(&self) -> bool {
        let for_workers = self.status.is_success() || self.status == StatusCode::LOCKED;
        (for_workers && !self.body.whole().trim_ascii_start().starts_with(b"<")) || self.is_own_error()
    }

    /// The text of an error, or the start of whatever came.
    pub(super) fn message(&self) -> String {
        ErrorBody::parse(self.body.whole()).map_or_else(|| self.excerpt(), |error| error.message)
    }

    /// The time on the clock of the other side (RFC 9110, 6.6.1).
    pub(super) fn date(&self) -> Option<jiff::Timestamp> {
        let date = self.headers.get(DATE)?.to_str().ok()?;
        Some(jiff::fmt::rfc2822::parse(date.trim()).ok()?.timestamp())
    }

    fn excerpt(&self) -> String {
        let body = self.body.whole();
        let start = body.get(..EXCERPT).unwrap_or(body);
        String::from_utf8_lossy(start).trim().to_owned()
    }

    /// The error for a response that is no answer to the call.
    pub(super) fn error(&self) -> ManagerError {
        if self.is_denial() {
            return ManagerError::Denied;
        }
        let retry_after = self
            .headers
            .get(RETRY_AFTER)
            .and_then(|value| value.to_str().ok())
            .and_then(retry_after);
        let code = self.status.as_u16();
        match ErrorBody::parse(self.body.whole()) {
            Some(error) => ManagerError::Status {
                code,
                message: error.message,
                retry_after,
            },
            None => ManagerError::Intermediary {
                code,
                text: self.excerpt(),
                retry_after,
            },
        }
    }

    /// The error for a redirect of the call of `path` at `manager`; `None` if this is none.
    pub(super) fn redirect(&self, manager: &ManagerUrl, path: &str) -> Option<ManagerError> {
        if !matches!(self.status.as_u16(), 301 | 302 | 303 | 307 | 308) {
            return None;
        }
        let target = self.headers.get(LOCATION).and_then(|value| value.to_str().ok());
        let target = target.and_then(|target| manager.url().join(path).ok()?.join(target).ok());
        let Some(mut to) = target else {
            return Some(ManagerError::NotTheManager(format!("{} without a target", self.status)));
        };
        to.set_query(None);
        to.set_fragment(None);
        // A redirect of the same call names the Manager's other URL; any other target is a page of something else.
        let other = to.as_str().strip_suffix(path).and_then(|other| Url::parse(other).ok());
        let other = other.filter(|other| other != manager.url());
        let shown = |url| bounded::shorten_message(manager.with_url(url).to_string());
        Some(ManagerError::Redirected {
            code: self.status.as_u16(),
            manager: other.map(shown),
            to: shown(to),
        })
    }
}

/// Parses `Retry-After`, which is a number of seconds or an HTTP date (RFC 9110, 10.2.3). The wait is bounded, because the
/// worker neither asks for work nor notices a click meanwhile.
fn retry_after(value: &str) -> Option<Duration> {
    let value = value.trim();
    let asked = if value.bytes().all(|byte| byte.is_ascii_digit()) && !value.is_empty() {
        value.parse().map_or(LONGEST_WAIT, Duration::from_secs)
    } else {
        let then = jiff::fmt::rfc2822::parse(value).ok()?;
        then.timestamp().duration_since(clock::timestamp()).try_into().ok()?
    };
    Some(asked.min(LONGEST_WAIT))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole(bytes: &[u8]) -> ResponseBody {
        let mut body = ResponseBody::new(bytes.len());
        body.add(bytes);
        body
    }

    fn response(status: u16, body: &str) -> ApiResponse {
        ApiResponse {
            status: StatusCode::from_u16(status).unwrap(),
            headers: HeaderMap::new(),
            body: whole(body.as_bytes()),
        }
    }

    #[test]
    fn i3_of_an_answer_that_is_too_long_the_end_is_kept_and_names_the_task() {
        let mut response = response(200, "");
        response.body = ResponseBody::new(1 << 20);
        response.body.add(br#"{"commands":[{"name":""#);
        for _ in 0..300 {
            response.body.add(&[b'x'; 10_000]);
            assert!(response.body.kept.len() <= (1 << 20));
        }
        assert!(response.body.kept.capacity() < 100_000);
        response.body.add(br#""}],"uuid":"t1"}"#);
        let Ok(Assignment::Unreadable { task, why }) = response.task() else {
            panic!("not read");
        };
        assert_eq!((task.as_str(), why.as_str()), ("t1", "it has more than 1048576 bytes"));
        assert!(response.json::<serde_json::Value>().is_err());
    }

    #[test]
    fn c30_only_the_managers_own_shape_counts_as_its_word() {
        assert!(response(404, r#"{"code":404,"message":"task x not found"}"#).is_own_error());
        assert!(!response(404, r#"{"message":"Not Found"}"#).is_own_error());
        assert!(!response(404, r#"{"code":409,"message":"?"}"#).is_own_error());
        assert!(!response(404, "<html>Not Found</html>").is_own_error());
        assert!(response(204, "").is_of_the_manager() && response(200, "{}").is_of_the_manager());
        assert!(!response(200, "\n<!DOCTYPE html>").is_of_the_manager());
    }

    #[test]
    fn c24_a_proxys_403_is_no_denial() {
        let own = r#"{"message":"security requirements failed: authorization failed: no such worker known"}"#;
        assert!(response(403, own).is_denial());
        assert!(!response(403, r#"{"message":"Forbidden"}"#).is_denial());
        assert!(!response(403, "Forbidden").is_denial());
    }

    fn redirect(manager: &str, location: &str) -> String {
        let mut response = response(302, "");
        response.headers.insert(LOCATION, location.parse().unwrap());
        let redirect = response.redirect(&ManagerUrl::parse(manager).unwrap(), "api/v3/worker/task");
        redirect.map(|error| error.to_string()).unwrap_or_default()
    }

    #[test]
    fn c23_a_redirect_names_its_target_and_what_to_set() {
        let text = |location: &str| redirect("http://m/", location);
        assert_eq!(
            text("https://m.farm/flamenco/api/v3/worker/task"),
            "the answer was 302, a redirect to https://m.farm/flamenco/api/v3/worker/task; redirects are not \
             followed: set manager = \"https://m.farm/flamenco/\""
        );
        let login = text("/login?token=s3cret");
        assert!(
            login.contains("to http://m/login;") && login.contains("[headers]"),
            "{login}"
        );
        let manager = ManagerUrl::parse("http://m/").unwrap();
        assert!(response(304, "").redirect(&manager, "x").is_none());
    }

    #[test]
    fn j4_a_redirect_of_a_link_local_manager_names_the_host_and_the_interface_it_is_reached_by() {
        let text = |location: &str| redirect("http://[fe80::1%eth0]:8080/", location);
        let login = text("/login");
        assert!(login.contains("to http://[fe80::1%eth0]:8080/login;"), "{login}");
        let other = text("http://[fe80::1]/flamenco/api/v3/worker/task");
        assert!(
            other.ends_with("set manager = \"http://[fe80::1%eth0]/flamenco/\""),
            "{other}"
        );
    }

    #[test]
    fn c24_what_a_proxy_says_is_not_taken_for_the_managers_words() {
        let text = response(401, "<html>who are you?</html>").error().to_string();
        assert!(
            text.starts_with("something in front of the Manager answered 401"),
            "{text}"
        );
        assert!(text.contains("[headers]"), "{text}");
        let own = response(500, r#"{"code":500,"message":"db"}"#).error().to_string();
        assert_eq!(own, "the Manager answered 500: db");
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        assert_eq!(retry_after("3"), Some(Duration::from_secs(3)));
        let date = (clock::timestamp() + Duration::from_secs(50)).to_zoned_datetime(jiff::tz::TimeZone::UTC);
        let text = date.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
        assert!(
            retry_after(&text).is_some_and(|wait| wait > Duration::from_secs(40) && wait <= Duration::from_secs(50))
        );
        assert_eq!(retry_after("Tue, 15 Nov 1994 08:12:31 GMT"), None);
        assert_eq!(retry_after("soon"), None);
        assert_eq!(retry_after(""), None);
    }

    #[test]
    fn i12_no_peer_is_waited_for_longer_than_a_minute() {
        let far = "Fri, 01 Jan 2094 00:00:00 GMT";
        for value in ["86400", "18446744073709551615", "99999999999999999999999", far] {
            assert_eq!(retry_after(value), Some(Duration::from_secs(60)), "{value}");
        }
    }
}
