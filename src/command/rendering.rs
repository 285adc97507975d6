// SPDX-License-Identifier: GPL-3.0-or-later

//! A run of Blender, as far as its pictures go: what was there before, what was saved, and, unless it ends well, what
//! is to be set aside.
//!
//! ```text
//! begin: look ─► journal on disk ─► Blender: `Saved:` ─► journal ─► end: unfinished set aside, journal gone
//!                    └─ the worker was killed: the next start sets aside
//! ```
//!
//! A disk that does not answer delays a run by seconds, and fails nothing.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use tokio::task::spawn_blocking;
use tokio::time::{sleep, timeout};
use tracing::warn;

use super::blender_output::outputs;
use super::ending::Ending;
use super::journal::{Head, Journal, leftovers};
use super::tools::Stage;
use super::unfinished::{Pictures, Run, Unfinished, look};
use crate::clock;
use crate::process::OpenFile;

/// How long a look at the output's folder may hold up Blender's start, and a search after its end the task.
const LOOK_PATIENCE: Duration = Duration::from_secs(5);
/// How long the same may hold up a start of the worker.
const START_PATIENCE: Duration = Duration::from_secs(30);
/// Between two looks at a file: whoever writes it is seen by that.
const MOMENT: Duration = Duration::from_millis(200);

/// What is kept in mind while Blender runs.
#[derive(Debug)]
pub(super) struct Rendering {
    arguments: Vec<String>,
    directory: PathBuf,
    tmpdir: PathBuf,
    before: Option<Pictures>,
    saved: Vec<PathBuf>,
    began: SystemTime,
    journal: Option<Journal>,
}

impl Rendering {
    /// Before Blender starts.
    pub(super) async fn begin(stage: &mut Stage<'_>, arguments: &[String]) -> Self {
        let directory = std::env::current_dir().unwrap_or_default();
        let outputs = outputs(arguments, &directory);
        let mut rendering = Self {
            arguments: arguments.to_owned(),
            directory,
            tmpdir: stage.identity.tmpdir.clone(),
            before: None,
            saved: Vec::new(),
            began: clock::system(),
            journal: None,
        };
        if outputs.is_empty() {
            return rendering;
        }
        let looked = tokio::select! {
            looked = off_the_loop(LOOK_PATIENCE, move || look(&outputs)) => looked,
            // Nothing will run.
            _reason = stage.abort.raised() => return rendering,
        };
        match looked {
            Some(Ok(before)) => rendering.before = Some(before),
            Some(Err(error)) => stage.voice.line(&format!(
                "Cannot look into the folder of the output: {error}; a picture that is not finished may stay there"
            )),
            None => stage
                .voice
                .line("The folder of the output does not answer; a picture that is not finished may stay there"),
        }
        if let (Some(folder), Some(before)) = (stage.tools.journals(), &rendering.before) {
            let head = Head {
                task: stage.identity.task.clone(),
                boot: clock::boot(),
                arguments: rendering.arguments.clone(),
                directory: rendering.directory.clone(),
                before: before.iter().map(|(path, look)| (path.clone(), *look)).collect(),
            };
            rendering.journal = Some(Journal::begin(folder, &head).await);
        }
        rendering
    }

    /// Blender says that it has written this.
    pub(super) fn saved(&mut self, path: PathBuf) {
        if let Some(journal) = &self.journal {
            journal.saved(&path);
        }
        self.saved.push(path);
    }

    /// After Blender's end: sets aside what it did not finish.
    pub(super) async fn end(self, ended: &Result<(), Ending>, writing: Vec<OpenFile>, stage: &mut Stage<'_>) {
        if ended.is_err() {
            let run = Run {
                outputs: outputs(&self.arguments, &self.directory),
                before: self.before,
                saved: self.saved,
                writing,
                tmpdir: self.tmpdir,
                began: self.began,
                not_after: None,
            };
            for line in set_aside(run, LOOK_PATIENCE).await {
                stage.voice.line(&line);
            }
        }
        if let Some(journal) = self.journal {
            journal.end().await;
        }
    }
}

/// Finds what was not finished and sets it aside; in lines for a log.
async fn set_aside(run: Run, patience: Duration) -> Vec<String> {
    let Some((found, mut lines)) = off_the_loop(patience, move || run.find()).await else {
        return vec![
            "The folder of the output does not answer; a picture that was not finished may be left there, and the next \
             run would take it for done"
                .to_owned(),
        ];
    };
    if found.is_empty() {
        return lines;
    }
    sleep(MOMENT).await;
    let done = off_the_loop(patience, || {
        found.into_iter().filter_map(Unfinished::set_aside).collect::<Vec<_>>()
    });
    match done.await {
        Some(done) => lines.extend(done),
        None => lines.push("The folder of the output does not answer; it is tried on in the background".to_owned()),
    }
    lines
}

/// Sets aside what runs began whose worker was killed with them, and says of which tasks. For the start, when nothing
/// of them runs any more and before a task can be given out again.
/// Of a task that `is_completed` there is nothing.
pub(crate) async fn set_aside_leftovers(journals: &Path, is_completed: impl Fn(&str) -> bool) -> Vec<(String, String)> {
    let folder = journals.to_owned();
    let tmpdir = std::env::temp_dir();
    let Some(found) = off_the_loop(START_PATIENCE, move || leftovers(&folder)).await else {
        warn!(folder = %journals.display(), "does not answer: pictures that were not finished may be taken for done");
        return Vec::new();
    };
    let mut said = Vec::new();
    for leftover in found {
        let run = Run {
            outputs: outputs(&leftover.head.arguments, &leftover.head.directory),
            before: Some(leftover.head.before.into_iter().collect()),
            saved: leftover.saved,
            writing: Vec::new(),
            tmpdir: tmpdir.clone(),
            began: SystemTime::UNIX_EPOCH,
            not_after: leftover.not_after,
        };
        if !is_completed(&leftover.head.task) {
            for line in set_aside(run, START_PATIENCE).await {
                said.push((leftover.head.task.clone(), line));
            }
        }
        let path = leftover.path;
        off_the_loop(START_PATIENCE, move || std::fs::remove_file(path).ok()).await;
    }
    said
}

/// `None` when it takes too long, or a thread cannot be had; it then goes on by itself.
async fn off_the_loop<T: Send + 'static>(patience: Duration, work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    timeout(patience, spawn_blocking(work)).await.ok()?.ok()
}
