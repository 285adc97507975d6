// SPDX-License-Identifier: GPL-3.0-or-later

//! Moments in what a process hands over to its successor: each as the microseconds since, which are negative where it is
//! still to come. The clock behind an `Instant` has no zero that two processes could agree on.
//!
//! For `#[serde(with = "crate::elapsed")]`, and `elapsed::option` where there may be none.

use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use tokio::time::Instant;

/// Writes how long ago it is.
///
/// # Errors
/// Those of the serializer.
pub(crate) fn serialize<S: Serializer>(at: &Instant, serializer: S) -> Result<S::Ok, S::Error> {
    micros_since(*at).serialize(serializer)
}

/// The moment that was so long ago.
///
/// # Errors
/// Those of the deserializer.
pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Instant, D::Error> {
    i64::deserialize(deserializer).map(moment)
}

/// The same of a moment that may not be known.
pub(crate) mod option {
    use super::{Deserialize, Deserializer, Instant, Serialize, Serializer, micros_since, moment};

    /// Writes how long ago it is.
    ///
    /// # Errors
    /// Those of the serializer.
    #[expect(clippy::ref_option, reason = "what serde asks for")]
    pub(crate) fn serialize<S: Serializer>(at: &Option<Instant>, serializer: S) -> Result<S::Ok, S::Error> {
        at.map(micros_since).serialize(serializer)
    }

    /// The moment that was so long ago.
    ///
    /// # Errors
    /// Those of the deserializer.
    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Instant>, D::Error> {
        Ok(Option::<i64>::deserialize(deserializer)?.map(moment))
    }
}

fn micros_since(at: Instant) -> i64 {
    let now = Instant::now();
    let micros = |time: Duration| i64::try_from(time.as_micros()).unwrap_or(i64::MAX);
    match at.checked_duration_since(now) {
        Some(ahead) => -micros(ahead),
        None => micros(now - at),
    }
}

/// A time that no clock of this node reaches counts as now.
fn moment(micros: i64) -> Instant {
    let (now, time) = (Instant::now(), Duration::from_micros(micros.unsigned_abs()));
    let moment = match micros < 0 {
        true => now.checked_add(time),
        false => now.checked_sub(time),
    };
    moment.unwrap_or(now)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
    struct Handed {
        #[serde(with = "super")]
        at: Instant,
        #[serde(default, with = "super::option")]
        perhaps: Option<Instant>,
    }

    #[tokio::test(start_paused = true)]
    async fn a_moment_is_as_long_ago_or_as_far_ahead_as_it_was() {
        tokio::time::advance(Duration::from_secs(60)).await;
        let second = Duration::from_secs(1);
        let handed = Handed {
            at: Instant::now() - second,
            perhaps: Some(Instant::now() + second),
        };
        let text = serde_json::to_string(&handed).unwrap();
        assert_eq!(text, r#"{"at":1000000,"perhaps":-1000000}"#);
        assert_eq!(serde_json::from_str::<Handed>(&text).unwrap(), handed);
        let absurd = format!(r#"{{"at":{},"unknown":1}}"#, i64::MIN);
        let read = serde_json::from_str::<Handed>(&absurd).unwrap();
        assert!(read.perhaps.is_none() && read.at >= Instant::now());
    }
}
