// SPDX-License-Identifier: GPL-3.0-or-later

//! Pictures for the Manager's "last rendered" view: the newest wins, and any failure just drops it.

use std::convert::Infallible;
use std::future::pending;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;
use std::{fs, io};

use tokio::sync::watch;
use tokio::time::sleep;
use tracing::debug;

use super::preview_process::PREVIEW_ROLE;
use crate::blocking::run_blocking;
use crate::chain::chain;
use crate::files;
use crate::manager::{Manager, Picture};
use crate::process::{Exit, Launcher, ProcessSpec, StartError};
use crate::timings::Timings;

/// The Manager refuses more than 25 MiB; ours are far below that, or something is wrong with them.
const LARGEST: u64 = 25 << 20;

/// A picture that a task wrote.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Candidate {
    task: String,
    path: PathBuf,
}

/// The newest picture that a task wrote, until the sender takes it. Clones lead to the same sender.
#[derive(Debug, Clone)]
pub(crate) struct PreviewQueue(Rc<watch::Sender<Option<Candidate>>>);

/// Makes small pictures of them, in a process of its own, and sends them.
#[derive(Debug)]
pub(crate) struct PreviewSender {
    newest: watch::Receiver<Option<Candidate>>,
    /// The small picture. There is never more than one.
    output: PathBuf,
    /// How long one may take to be read and scaled.
    limit: Duration,
}

impl PreviewQueue {
    /// The sender keeps the picture it works on in `folder`, which is ours and exists.
    pub(crate) fn new(folder: &Path, timings: &Timings) -> (Self, PreviewSender) {
        let (queue, newest) = watch::channel(None);
        let sender = PreviewSender {
            newest,
            output: folder.join("picture.jpg"),
            limit: timings.picture,
        };
        (Self(Rc::new(queue)), sender)
    }

    /// A task wrote a picture. It takes the place of one that was not taken yet.
    pub(super) fn produced(&self, task: &str, path: &Path) {
        self.0.send_replace(Some(Candidate {
            task: task.to_owned(),
            path: path.to_owned(),
        }));
    }
}

impl PreviewSender {
    /// Sends one after the other, until it is dropped. Of those that come while one is in work only the newest is sent.
    pub(crate) async fn run<M: Manager>(mut self, manager: &M, launcher: &Launcher) -> Infallible {
        loop {
            let candidate = self.next().await;
            match self.make(launcher, &candidate).await {
                Ok(picture) => send(manager, &candidate, picture).await,
                Err(error) => {
                    debug!(path = %candidate.path.display(), error = chain(&error), "no picture of this");
                }
            }
            let output = self.output.clone();
            // Where none was made there is nothing to remove.
            run_blocking(move || fs::remove_file(output).ok()).await;
        }
    }

    async fn next(&mut self) -> Candidate {
        loop {
            if self.newest.changed().await.is_err() {
                // There is no queue any more that could get one.
                return pending().await;
            }
            if let Some(candidate) = self.newest.borrow_and_update().clone() {
                return candidate;
            }
        }
    }

    async fn make(&self, launcher: &Launcher, candidate: &Candidate) -> Result<Picture, PreviewError> {
        let spec = self.spec(&candidate.path);
        let captured = launcher
            .run_within(&spec, sleep(self.limit))
            .await
            .map_err(PreviewError::NotStarted)?;
        for line in captured.lines {
            debug!("picture: {line}");
        }
        match captured.exit {
            Exit::Success => self.read().await.map_err(PreviewError::NotRead),
            exit @ (Exit::Code(_) | Exit::Signal { .. } | Exit::Aborted(_) | Exit::Lost) => {
                Err(PreviewError::Ended(exit))
            }
        }
    }

    /// This program itself, in the hidden role; killed at once when it takes too long.
    fn spec(&self, input: &Path) -> ProcessSpec {
        ProcessSpec {
            argv0: Some("flamenco-picture".into()),
            args: vec![PREVIEW_ROLE.into(), input.into(), self.output.clone().into()],
            label: "picture".to_owned(),
            ..ProcessSpec::new("/proc/self/exe")
        }
    }

    /// Reads the small picture, beside the event loop: the home, where it is, may stand still.
    async fn read(&self) -> io::Result<Picture> {
        let output = self.output.clone();
        Ok(Picture {
            mime: "image/jpeg",
            bytes: run_blocking(move || files::read(&output, LARGEST)).await?,
        })
    }
}

async fn send<M: Manager>(manager: &M, candidate: &Candidate, picture: Picture) {
    let bytes = picture.bytes.len();
    match manager.output_produced(&candidate.task, picture).await {
        Ok(answer) => debug!(task = candidate.task, bytes, ?answer, "sent a picture"),
        Err(error) => debug!(task = candidate.task, error = chain(&error), "a picture was not sent"),
    }
}

/// Why there is no preview of a picture.
#[derive(Debug, thiserror::Error)]
enum PreviewError {
    #[error("its process could not be started")]
    NotStarted(#[source] StartError),
    #[error("its process ended with {0:?}")]
    Ended(Exit),
    #[error("the small picture cannot be read")]
    NotRead(#[source] io::Error),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_newest_picture_wins_and_each_is_taken_once() {
        let (queue, mut sender) = PreviewQueue::new(Path::new("/home"), &Timings::default());
        for name in ["1.png", "2.png", "3.png"] {
            queue.produced("t", Path::new(name));
        }
        assert_eq!(sender.next().await.path, Path::new("3.png"));
        let late = tokio::time::timeout(Duration::from_secs(60), sender.next()).await;
        assert!(late.is_err(), "{late:?}");
        queue.clone().produced("t", Path::new("3.png"));
        assert_eq!(sender.next().await.path, Path::new("3.png"), "written anew");
    }

    #[test]
    fn the_program_is_ourselves_and_is_killed_without_grace() {
        let (_queue, sender) = PreviewQueue::new(Path::new("/home"), &Timings::default());
        let spec = sender.spec(Path::new("a b.png"));
        assert_eq!(
            spec.to_string(),
            format!("/proc/self/exe {PREVIEW_ROLE} 'a b.png' /home/picture.jpg")
        );
        assert_eq!(spec.kill_sequence.0, []);
    }
}
