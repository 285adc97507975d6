// SPDX-License-Identifier: GPL-3.0-or-later

//! Setting aside what a run of Blender did not finish, with patience for its storage.

use std::time::Duration;

use tokio::time::sleep;

use super::unfinished_pictures::{RenderRun, UnfinishedPicture, UnfinishedSearch};
use crate::abort::Abort;
use crate::sandbox::{HeldTo, run_held_within};

/// How long a stamp at the output's folder may hold up Blender's start, and a search after its end the task.
pub(super) const LOOK_PATIENCE: Duration = Duration::from_secs(5);
/// Between two looks at a file: whoever writes it is seen by that.
const MOMENT: Duration = Duration::from_millis(200);

/// What came of setting aside.
#[derive(Debug, Default)]
pub(super) struct SetAsideReport {
    /// What was done, in lines for a log.
    done: Vec<String>,
    /// What could not be; without any, there is nothing left to do.
    pub(super) problems: Vec<String>,
    /// The storage did not answer.
    pub(super) is_late: bool,
}

/// Finds what was not finished and sets it aside.
pub(super) async fn set_aside(
    run: RenderRun,
    held: Option<HeldTo>,
    patience: Duration,
    abort: &Abort,
) -> SetAsideReport {
    let Some(UnfinishedSearch { unfinished, problems }) =
        run_held_within(held.clone(), abort.patience(patience), move || run.find()).await
    else {
        return SetAsideReport::late(
            "The folder of the output does not answer; a picture that was not finished may be left there, and another node \
             would take it for done",
        );
    };
    let mut result = SetAsideReport {
        problems,
        ..SetAsideReport::default()
    };
    if unfinished.is_empty() {
        return result;
    }
    sleep(MOMENT).await;
    let setting = run_held_within(held, abort.patience(patience), || {
        unfinished
            .into_iter()
            .map(UnfinishedPicture::set_aside)
            .collect::<Vec<_>>()
    });
    let Some(done) = setting.await else {
        return SetAsideReport::late("The folder of the output does not answer; it is tried on in the background");
    };
    for one in done {
        match one {
            Ok(line) => result.done.extend(line),
            Err(line) => result.problems.push(line),
        }
    }
    result
}

impl SetAsideReport {
    fn late(why: &str) -> Self {
        Self {
            problems: vec![why.to_owned()],
            is_late: true,
            ..Self::default()
        }
    }

    /// A failure is told the first time, and the last.
    pub(super) fn bound(&mut self, is_new: bool, is_old: bool) {
        if is_old && !self.problems.is_empty() {
            self.problems.push("This was the last try".to_owned());
        } else if !is_new {
            self.problems.clear();
        }
    }

    pub(super) fn lines(self) -> impl Iterator<Item = String> {
        self.done.into_iter().chain(self.problems)
    }
}
