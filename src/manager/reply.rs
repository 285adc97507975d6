// SPDX-License-Identifier: GPL-3.0-or-later

//! One answer as it came, and whose it is: the Manager's, or of something on the way.

use std::time::Duration;

use reqwest::StatusCode;
use reqwest::header::{DATE, HeaderMap, LOCATION, RETRY_AFTER};
use serde::de::DeserializeOwned;
use url::Url;

use super::{Assignment, ManagerError};
use crate::protocol::{AssignedTask, ErrorBody, TASK_END, UnreadableTask};
use crate::{bounded, clock};

/// How much of an answer that is not understood goes into an error.
const EXCERPT: usize = 200;

/// Longest wait that is granted to who asks for one.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// What came back.
pub(super) struct Reply {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Body,
}

/// What came, as far as it was kept.
#[derive(Debug)]
pub(super) struct Body {
    /// All of it, or the end of what was too long.
    kept: Vec<u8>,
    most: usize,
    too_long: bool,
}

impl Body {
    /// Of more than `most` bytes only the end will be kept.
    pub(super) fn new(most: usize) -> Self {
        Self {
            kept: Vec::new(),
            most,
            too_long: false,
        }
    }

    pub(super) fn add(&mut self, chunk: &[u8]) {
        self.kept.extend_from_slice(chunk);
        if self.kept.len() > self.most || self.too_long {
            self.too_long = true;
            self.kept.drain(..self.kept.len().saturating_sub(TASK_END));
            self.kept.shrink_to(2 * TASK_END);
        }
    }

    /// Nothing of what was too long.
    pub(super) fn whole(&self) -> &[u8] {
        if self.too_long { &[] } else { &self.kept }
    }
}

impl Reply {
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

    /// The task that was fetched. Without an id there is nothing to be done for one that cannot be read.
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

    /// The answer to what is only told: a change of state, or a sign-off.
    pub(super) fn accepted(&self) -> Result<(), ManagerError> {
        match self.status.as_u16() {
            204 => Ok(()),
            _ => Err(self.error()),
        }
    }

    /// The shape of the Manager's own handlers: a `code` that repeats the status.
    pub(super) fn is_own_error(&self) -> bool {
        ErrorBody::parse(self.body.whole()).is_some_and(|error| error.code == Some(self.status.as_u16()))
    }

    /// The words of the Manager's authentication, which a proxy in front of it does not use.
    fn is_denial(&self) -> bool {
        self.status == StatusCode::FORBIDDEN
            && ErrorBody::parse(self.body.whole())
                .is_some_and(|error| error.message.starts_with("security requirements failed"))
    }

    /// Whether the Manager itself has seen us: its own answers are 2xx, 423 or shaped like its errors. A page for a
    /// browser is none, such as it gives itself for what is below `/app/`.
    pub(super) fn is_of_the_manager(&self) -> bool {
        let for_workers = self.status.is_success() || self.status == StatusCode::LOCKED;
        (for_workers && !self.body.whole().trim_ascii_start().starts_with(b"<")) || self.is_own_error()
    }

    pub(super) fn message(&self) -> String {
        ErrorBody::parse(self.body.whole()).map_or_else(|| self.excerpt(), |error| error.message)
    }

    /// The clock of who answered (RFC 9110, 6.6.1).
    pub(super) fn date(&self) -> Option<jiff::Timestamp> {
        let date = self.headers.get(DATE)?.to_str().ok()?;
        Some(jiff::fmt::rfc2822::parse(date.trim()).ok()?.timestamp())
    }

    fn excerpt(&self) -> String {
        let body = self.body.whole();
        let start = body.get(..EXCERPT).unwrap_or(body);
        String::from_utf8_lossy(start).trim().to_owned()
    }

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
            None => ManagerError::Between {
                code,
                says: self.excerpt(),
                retry_after,
            },
        }
    }

    /// An answer that sends us elsewhere: the call of `path` below `base` went to `asked`.
    pub(super) fn redirect(&self, base: &Url, asked: &Url, path: &str) -> Option<ManagerError> {
        if !matches!(self.status.as_u16(), 301 | 302 | 303 | 307 | 308) {
            return None;
        }
        let target = self.headers.get(LOCATION).and_then(|value| value.to_str().ok());
        let target = target.and_then(|target| asked.join(target).ok());
        let Some(mut to) = target else {
            return Some(ManagerError::NotTheManager(format!("{} without a target", self.status)));
        };
        to.set_query(None);
        to.set_fragment(None);
        // The same call elsewhere is the Manager under another URL; anything else is somebody's page.
        let manager = to.as_str().strip_suffix(path).filter(|other| *other != base.as_str());
        Some(ManagerError::Redirected {
            code: self.status.as_u16(),
            manager: manager.map(|url| bounded::shorten_message(url.to_owned())),
            to: bounded::shorten_message(to.into()),
        })
    }
}

/// `Retry-After` is a number of seconds or an HTTP date (RFC 9110, 10.2.3), and no more than we grant: meanwhile nobody
/// is asked for work, and no click is heard.
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

    fn whole(bytes: &[u8]) -> Body {
        let mut body = Body::new(bytes.len());
        body.add(bytes);
        body
    }

    fn reply(status: u16, body: &str) -> Reply {
        Reply {
            status: StatusCode::from_u16(status).unwrap(),
            headers: HeaderMap::new(),
            body: whole(body.as_bytes()),
        }
    }

    #[test]
    fn i3_of_an_answer_that_is_too_long_the_end_is_kept_and_names_the_task() {
        let mut reply = reply(200, "");
        reply.body = Body::new(1 << 20);
        reply.body.add(br#"{"commands":[{"name":""#);
        for _ in 0..300 {
            reply.body.add(&[b'x'; 10_000]);
            assert!(reply.body.kept.len() <= (1 << 20));
        }
        assert!(reply.body.kept.capacity() < 100_000);
        reply.body.add(br#""}],"uuid":"t1"}"#);
        let Ok(Assignment::Unreadable { task, why }) = reply.task() else {
            panic!("not read");
        };
        assert_eq!((task.as_str(), why.as_str()), ("t1", "it has more than 1048576 bytes"));
        assert!(reply.json::<serde_json::Value>().is_err());
    }

    #[test]
    fn c30_only_the_managers_own_shape_counts_as_its_word() {
        assert!(reply(404, r#"{"code":404,"message":"task x not found"}"#).is_own_error());
        assert!(!reply(404, r#"{"message":"Not Found"}"#).is_own_error());
        assert!(!reply(404, r#"{"code":409,"message":"?"}"#).is_own_error());
        assert!(!reply(404, "<html>Not Found</html>").is_own_error());
        assert!(reply(204, "").is_of_the_manager() && reply(200, "{}").is_of_the_manager());
        assert!(!reply(200, "\n<!DOCTYPE html>").is_of_the_manager());
    }

    #[test]
    fn c24_a_proxys_403_is_no_denial() {
        let own = r#"{"message":"security requirements failed: authorization failed: no such worker known"}"#;
        assert!(reply(403, own).is_denial());
        assert!(!reply(403, r#"{"message":"Forbidden"}"#).is_denial());
        assert!(!reply(403, "Forbidden").is_denial());
    }

    #[test]
    fn c23_a_redirect_names_its_target_and_what_to_set() {
        let base = Url::parse("http://m/").unwrap();
        let asked = base.join("api/v3/worker/task").unwrap();
        let text = |location: &str| {
            let mut reply = reply(302, "");
            reply.headers.insert(LOCATION, location.parse().unwrap());
            let redirect = reply.redirect(&base, &asked, "api/v3/worker/task");
            redirect.map(|error| error.to_string()).unwrap_or_default()
        };
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
        assert!(reply(304, "").redirect(&base, &asked, "x").is_none());
    }

    #[test]
    fn c24_what_a_proxy_says_is_not_taken_for_the_managers_words() {
        let text = reply(401, "<html>who are you?</html>").error().to_string();
        assert!(
            text.starts_with("something in front of the Manager answered 401"),
            "{text}"
        );
        assert!(text.contains("[headers]"), "{text}");
        let own = reply(500, r#"{"code":500,"message":"db"}"#).error().to_string();
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
