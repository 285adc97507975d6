// SPDX-License-Identifier: GPL-3.0-or-later

//! `sleep` waits.

use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use super::context::CommandContext;
use super::handed::{CommandStop, HandedCommand};
use super::parameters::{ParameterError, Parameters};
use super::text::seconds;
use crate::outcome::Incomplete;

/// The longest sleep, in seconds: what fits Go's nanoseconds in 63 bits, 292 years. Beyond it the Go worker
/// overflows, and is done at once.
const LONGEST: f64 = 9_223_372_036.0;

/// The parameter is `duration_in_seconds`, a number that is cut to whole seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Sleep {
    /// Whole seconds, 0 to 292 years.
    pub duration: Duration,
}

impl Sleep {
    pub(super) fn parse(parameters: Parameters<'_>) -> Result<Self, ParameterError> {
        const NAME: &str = "duration_in_seconds";
        let number = parameters.number(NAME, "a number of seconds")?;
        let whole = number.as_f64().unwrap_or(f64::INFINITY).trunc();
        if whole < 0.0 {
            return Err(parameters.error(NAME, "a number that is not negative"));
        }
        if whole > LONGEST {
            return Err(parameters.error(NAME, "at most 9223372036 seconds"));
        }
        Ok(Self {
            duration: Duration::from_secs_f64(whole.abs()),
        })
    }

    pub(super) async fn run(
        &self,
        handed: Option<HandedCommand>,
        context: &mut CommandContext<'_>,
    ) -> Result<(), CommandStop> {
        let left = match handed {
            Some(HandedCommand::Sleep { left }) => left,
            Some(HandedCommand::Program(_) | HandedCommand::Video { .. } | HandedCommand::Render { .. }) | None => {
                self.duration
            }
        };
        let wakes = Instant::now() + left;
        let to_hand_over = context.abort.to_hand_over();
        tokio::select! {
            biased;
            reason = context.abort.raised() => return Err(Incomplete::Aborted(reason).into()),
            () = sleep_until(wakes) => {}
            () = to_hand_over => {
                let left = wakes.saturating_duration_since(Instant::now());
                return Err(HandedCommand::Sleep { left }.into());
            }
        }
        context.log.line(&format!("slept {}", seconds(self.duration.as_secs())));
        Ok(())
    }
}
