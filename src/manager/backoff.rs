// SPDX-License-Identifier: GPL-3.0-or-later

//! How long to wait before the next try, and how much to say about it.

use std::time::Duration;

use tracing::{debug, info, warn};

use super::ManagerError;
use crate::chain::chain;
use crate::random::random;

/// Pauses that double up to a limit. Each is drawn evenly from zero to its full length ("full jitter"), so that
/// many workers that lost the Manager together do not come back together.
#[derive(Debug)]
pub(crate) struct Backoff {
    min: Duration,
    max: Duration,
    failures: u32,
}

impl Backoff {
    /// The first pause is `min` at most, and no pause is longer than `max`.
    pub(crate) fn new(min: Duration, max: Duration) -> Self {
        Self { min, max, failures: 0 }
    }

    /// How often it failed since the last success.
    pub(crate) fn failures(&self) -> u32 {
        self.failures
    }

    /// Notes a failure of `what` and returns the pause before the next try, which is never shorter than the other side asked
    /// for with `Retry-After`. The first failure is logged as a warning, the others for debugging.
    pub(crate) fn failed(&mut self, what: &str, error: &ManagerError) -> Duration {
        let mut pause = self.pause(random()).max(error.retry_after().unwrap_or_default());
        if error.needs_operator() {
            // Spread over time like the other pauses.
            pause = pause.max((self.max / 2).mul_f64(1.0 + random()));
        }
        if self.failures == 1 {
            warn!(error = chain(error), "cannot {what}; will retry");
        } else {
            debug!(error = chain(error), failures = self.failures, ?pause, "cannot {what}");
        }
        pause
    }

    /// Notes a success of `what`, and logs it if there were failures before.
    pub(crate) fn succeeded(&mut self, what: &str) {
        if self.failures > 0 {
            info!(failures = self.failures, "{what}: works again");
            self.failures = 0;
        }
    }

    /// The next pause for a random number in `0.0..1.0`. No pause is shorter than half of `min`: a Manager that refuses
    /// at once must not be asked again at once.
    pub(super) fn pause(&mut self, random: f64) -> Duration {
        let full = self
            .min
            .saturating_mul(1u32.checked_shl(self.failures).unwrap_or(u32::MAX))
            .min(self.max);
        self.failures = self.failures.saturating_add(1);
        full.mul_f64(random).max(self.min / 2)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_limit_and_start_again_after_a_success() {
        let mut backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(5));
        let full: Vec<_> = (0..5).map(|_| backoff.pause(1.0).as_secs()).collect();
        assert_eq!(full, [1, 2, 4, 5, 5]);
        backoff.succeeded("x");
        assert_eq!(backoff.pause(0.0), Duration::from_millis(500));
    }

    #[test]
    fn retry_after_is_honoured() {
        let mut backoff = Backoff::new(Duration::from_millis(1), Duration::from_millis(1));
        let error = ManagerError::Status {
            code: 503,
            message: String::new(),
            retry_after: Some(Duration::from_secs(7)),
        };
        assert_eq!(backoff.failed("x", &error), Duration::from_secs(7));
    }

    #[test]
    fn c25_what_needs_a_person_is_tried_again_slowly_from_the_first_time() {
        let mut backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(30));
        let expired = ManagerError::Untrusted(rustls::CertificateError::Expired);
        assert!(backoff.failed("x", &expired) >= Duration::from_secs(15));
    }

    #[test]
    fn a_thousand_failures_do_not_overflow() {
        let mut backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(30));
        let longest = (0..1000).map(|_| backoff.pause(0.999)).max();
        assert!(longest.is_some_and(|pause| pause <= Duration::from_secs(30)));
    }
}
