// SPDX-License-Identifier: GPL-3.0-or-later

//! Pictures for the Manager's "last rendered" view: the newest wins, and any failure just drops it.

use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;
use std::{fs, io};

use tokio::sync::watch;
use tokio::time::sleep;
use tracing::debug;

use super::picture::PICTURE_ROLE;
use crate::abort::{AbortReason, AbortSource};
use crate::blocking::run_blocking;
use crate::chain::chain;
use crate::files;
use crate::manager::{Manager, Picture};
use crate::process::{Exit, KillSequence, Launcher, ProcessEvent, ProcessSpec};
use crate::timings::Timings;

/// The Manager refuses more than 25 MiB; ours are far below that, or something is wrong with them.
const LARGEST: u64 = 25 << 20;

/// A picture that a task wrote.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Candidate {
    task: String,
    path: PathBuf,
}

/// Where tasks say what they wrote. Clones lead to the same desk.
#[derive(Debug, Clone)]
pub struct Pictures(Rc<watch::Sender<Option<Candidate>>>);

/// Makes small ones of them, in a process of its own, and sends them.
#[derive(Debug)]
pub struct PictureDesk {
    newest: watch::Receiver<Option<Candidate>>,
    /// The small picture. There is never more than one.
    output: PathBuf,
    /// How long one may take to be read and scaled.
    limit: Duration,
}

impl Pictures {
    /// The desk keeps the picture it works on in `folder`, which is ours and exists.
    pub fn new(folder: &Path, timings: &Timings) -> (Self, PictureDesk) {
        let (sender, newest) = watch::channel(None);
        let desk = PictureDesk {
            newest,
            output: folder.join("picture.jpg"),
            limit: timings.picture,
        };
        (Self(Rc::new(sender)), desk)
    }

    pub(super) fn produced(&self, task: &str, path: &Path) {
        self.0.send_replace(Some(Candidate {
            task: task.to_owned(),
            path: path.to_owned(),
        }));
    }
}

impl PictureDesk {
    /// One picture after the other, until it is dropped. Those that come while one is in work are passed over, but
    /// for the newest.
    pub async fn run<M: Manager>(mut self, manager: &M, launcher: &Launcher) -> Infallible {
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
                // Nobody is left who could produce one.
                return std::future::pending().await;
            }
            if let Some(candidate) = self.newest.borrow_and_update().clone() {
                return candidate;
            }
        }
    }

    async fn make(&self, launcher: &Launcher, candidate: &Candidate) -> Result<Picture, NoPicture> {
        let (source, mut abort) = AbortSource::new();
        let spec = self.spec(&candidate.path);
        let mut hear = |heard: ProcessEvent<'_>| match heard {
            ProcessEvent::Started { .. } | ProcessEvent::LeftRunning(_) => {}
            ProcessEvent::Line(line) => debug!("picture: {line}"),
        };
        let mut running = pin!(launcher.run(&spec, &mut abort, &mut hear));
        let finished = tokio::select! {
            finished = &mut running => finished,
            () = sleep(self.limit) => {
                source.raise(AbortReason::Force);
                running.await
            }
        };
        match finished.map_err(NoPicture::NotStarted)?.exit {
            Exit::Success => self.read().await.map_err(NoPicture::NotRead),
            exit @ (Exit::Code(_) | Exit::Signal { .. } | Exit::Aborted(_) | Exit::Lost) => Err(NoPicture::Ended(exit)),
        }
    }

    /// Ourselves, in the hidden role; killed at once when it takes too long.
    fn spec(&self, input: &Path) -> ProcessSpec {
        ProcessSpec {
            program: "/proc/self/exe".into(),
            argv0: Some("flamenco-picture".into()),
            args: vec![PICTURE_ROLE.into(), input.into(), self.output.clone().into()],
            env: Vec::new(),
            directory: None,
            kill_sequence: KillSequence(Vec::new()),
            label: "picture".to_owned(),
        }
    }

    /// The home, where it is, may stand still.
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

#[derive(Debug, thiserror::Error)]
enum NoPicture {
    #[error("its process could not be started")]
    NotStarted(#[source] crate::process::StartError),
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
        let (pictures, mut desk) = Pictures::new(Path::new("/home"), &Timings::default());
        for name in ["1.png", "2.png", "3.png"] {
            pictures.produced("t", Path::new(name));
        }
        assert_eq!(desk.next().await.path, Path::new("3.png"));
        let late = tokio::time::timeout(Duration::from_secs(60), desk.next()).await;
        assert!(late.is_err(), "{late:?}");
        pictures.clone().produced("t", Path::new("3.png"));
        assert_eq!(desk.next().await.path, Path::new("3.png"), "written anew");
    }

    #[test]
    fn the_program_is_ourselves_and_is_killed_without_grace() {
        let (_pictures, desk) = Pictures::new(Path::new("/home"), &Timings::default());
        let spec = desk.spec(Path::new("a b.png"));
        assert_eq!(
            spec.to_string(),
            format!("/proc/self/exe {PICTURE_ROLE} 'a b.png' /home/picture.jpg")
        );
        assert_eq!(spec.kill_sequence, KillSequence(Vec::new()));
    }
}
