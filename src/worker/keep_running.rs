// SPDX-License-Identifier: GPL-3.0-or-later

//! While a task runs: may it go on? Asked now and then and on every hint, beside the task, so that a slow answer holds
//! up nothing.

use tokio::time::Instant;
use tracing::{debug, info};

use super::pace::spread;
use super::session::{MAY_I_RUN, Retry, Session};
use crate::abort::AbortReason;
use crate::manager::push::{HintReceiver, PollInterval};
use crate::manager::{Backoff, Manager, ManagerError, Verdict};
use crate::protocol::WorkerStatus;
use crate::random::random;
use crate::timings::Timings;

/// Asks until the answer is no, and returns why. No answer at all means to go on, for as long as
/// [`Timings::manager_lost_timeout`] allows.
pub(super) async fn keep_running<M: Manager>(
    session: &mut Session<'_, M>,
    hints: &mut HintReceiver,
    task: &str,
    timings: &Timings,
) -> AbortReason {
    let manager = session.manager;
    let mut backoff = Backoff::new(timings.backoff_min, timings.may_i_run);
    let mut pause = PollInterval::from(timings.first_may_i_run);
    let mut owes_state = false;
    let mut answered = Instant::now();
    loop {
        hints.next_poll(pause).await;
        let answer = manager.may_i_run(task).await;
        if matches!(answer, Ok(_) | Err(ManagerError::Denied)) {
            answered = Instant::now();
        } else if answered.elapsed() >= timings.manager_lost_timeout {
            return AbortReason::Alone(timings.manager_lost_timeout);
        }
        pause = match session.settle(answer, &MAY_I_RUN, &mut backoff).await {
            Ok(Verdict::Stop(no)) if no.status_change_requested => return AbortReason::StateChange,
            Ok(Verdict::Stop(no)) => return AbortReason::ManagerStopped(no.reason),
            Ok(Verdict::Continue) => {
                owes_state |= manager.was_out_of_contact() | hints.was_marked_error();
                if owes_state && manager.state_changed(&WorkerStatus::Awake).await.is_ok() {
                    info!("the Manager had not heard of this worker for a while: told it that we are awake");
                    owes_state = false;
                }
                PollInterval {
                    without_hints: spread(timings.may_i_run, random()),
                    with_hints: spread(timings.may_i_run_hinted, random()),
                }
            }
            Err(Retry::After(pause)) => {
                debug!("no answer: the task goes on");
                pause.into()
            }
            Err(Retry::RegisterAnew) => return AbortReason::ManagerStopped("this worker was deleted".into()),
        };
    }
}
