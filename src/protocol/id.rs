// SPDX-License-Identifier: GPL-3.0-or-later

//! The ids that the Manager assigns.

use std::fmt;
use std::ops::Deref;

use serde::{Deserialize, Serialize};

/// The longest id, in bytes. The Manager's ids are UUIDs of 36 bytes.
const LONGEST: usize = 100;

/// The id of a worker or of a task: one word of letters, digits, `-`, `_` and `.` that does not begin with a dot. So it
/// can be used in a path, a URL, a file and a log without escaping. An id can only be made by parsing one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Id(String);

/// A text is not a valid id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an id is a word of at most {LONGEST} letters, digits, '-', '_' and '.' that does not begin with a dot")]
pub struct NotAnId;

impl Id {
    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Id {
    type Error = NotAnId;

    fn try_from(text: String) -> Result<Self, NotAnId> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
        match (1..=LONGEST).contains(&text.len()) && !text.starts_with('.') && text.bytes().all(plain) {
            true => Ok(Self(text)),
            false => Err(NotAnId),
        }
    }
}

impl From<Id> for String {
    fn from(id: Id) -> Self {
        id.0
    }
}

impl Deref for Id {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn i26_what_would_mean_something_in_a_path_or_a_file_is_no_id() {
        for id in ["3b241101-e2bb-4255-8caf-4136c566a962", "t1", "a.b_C"] {
            assert_eq!(Id::try_from(id.to_owned()).unwrap().as_str(), id);
        }
        let long = "a".repeat(LONGEST + 1);
        for other in [
            "", ".", "..", ".x", "a/b", "a\nb", "a b", "ä", "a\"b", "a%2f", "a\0", &long,
        ] {
            assert_eq!(Id::try_from(other.to_owned()), Err(NotAnId), "{other:?}");
        }
    }
}
