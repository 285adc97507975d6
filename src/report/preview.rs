// SPDX-License-Identifier: GPL-3.0-or-later

//! Pictures for the Manager's "last rendered" view: the newest wins, and any failure just drops it.

use std::convert::Infallible;
use std::ffi::OsString;
use std::future::pending;
use std::path::{Path, PathBuf};
use std::rc::{Rc, Weak};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use std::{fs, io};

use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tokio::time::sleep;
use tracing::{debug, info};

use super::preview_process::{LARGEST_OUTPUT, NOT_SUPPORTED, PreviewRequest};
use crate::blocking::run_blocking;
use crate::chain::chain;
use crate::files;
use crate::manager::{Manager, Picture, PictureAnswer};
use crate::process::{Exit, Launcher, ProcessSpec, StartError};
use crate::sandbox::{HeldElsewhere, Sandbox};
use crate::spool::millis;
use crate::timings::Timings;

/// What the clocks of a file server and of this node may differ, for a file to count as written by the task.
const CLOCKS: Duration = Duration::from_secs(5 * 60);

/// How long a Manager without a place for a picture is left alone. It makes three small ones of each, some 50 ms for one of
/// this size.
const BUSY: Duration = Duration::from_millis(500);
/// So often it is tried to send one.
const TRIES: u32 = 10;

/// A picture that a task wrote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Candidate {
    pub(super) task: String,
    pub(super) path: PathBuf,
    /// When the task began.
    pub(super) began: SystemTime,
    /// The task's temporary directory.
    pub(super) tmpdir: Option<PathBuf>,
}

/// A picture as one process hands it over to the next.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct HandedPicture {
    task: String,
    /// As bytes: a path is not always text.
    path: OsString,
    /// When the task began, in milliseconds since 1970.
    began: u64,
    #[serde(default)]
    tmpdir: Option<OsString>,
}

/// The newest picture that a task wrote, until it was sent. Clones lead to the same sender.
#[derive(Debug, Clone)]
pub(crate) struct PreviewQueue(Rc<watch::Sender<Option<Candidate>>>);

/// Makes small pictures of them, in a process of its own, and sends them.
#[derive(Debug)]
pub(crate) struct PreviewSender {
    newest: watch::Receiver<Option<Candidate>>,
    /// To tell it that a picture is done with.
    queue: Weak<watch::Sender<Option<Candidate>>>,
    /// The small picture. There is never more than one.
    output: PathBuf,
    /// How long one may take to be read and scaled.
    limit: Duration,
    /// What tasks may do, where that is restricted: no more is read for them.
    sandbox: Option<Sandbox>,
    said: Said,
}

/// What was said of the pictures of a task: of each kind of trouble once, as hundreds of frames have the same.
#[derive(Debug, Default)]
struct Said {
    task: String,
    is_failed: bool,
    is_unsupported: bool,
}

impl PreviewQueue {
    /// The sender keeps the picture it works on in `folder`, which is ours and exists.
    pub(crate) fn new(folder: &Path, timings: &Timings) -> (Self, PreviewSender) {
        let (queue, newest) = watch::channel(None);
        let queue = Rc::new(queue);
        let sender = PreviewSender {
            newest,
            queue: Rc::downgrade(&queue),
            output: folder.join("picture.jpg"),
            limit: timings.picture,
            sandbox: None,
            said: Said::default(),
        };
        (Self(queue), sender)
    }

    /// A task wrote a picture. It takes the place of one that was not taken yet.
    pub(super) fn produced(&self, candidate: Candidate) {
        self.0.send_replace(Some(candidate));
    }

    /// The newest picture, unless it was sent. One that is in work now is handed over, too.
    pub(crate) fn hand_over(&self) -> Option<HandedPicture> {
        let newest = self.0.borrow().clone()?;
        Some(HandedPicture {
            task: newest.task,
            path: newest.path.into_os_string(),
            began: millis(newest.began.duration_since(UNIX_EPOCH).unwrap_or_default()),
            tmpdir: newest.tmpdir.map(PathBuf::into_os_string),
        })
    }

    /// Sends a picture that was handed over.
    pub(crate) fn take_over(&self, handed: &HandedPicture) {
        let began = UNIX_EPOCH.checked_add(Duration::from_millis(handed.began));
        self.produced(Candidate {
            task: handed.task.clone(),
            path: handed.path.clone().into(),
            began: began.unwrap_or(UNIX_EPOCH),
            tmpdir: handed.tmpdir.clone().map(PathBuf::from),
        });
    }
}

impl PreviewSender {
    /// The same, which reads nothing that tasks may not read, where there is a sandbox.
    #[must_use]
    pub(crate) fn with_sandbox(self, sandbox: Option<Sandbox>) -> Self {
        Self { sandbox, ..self }
    }

    /// Sends one after the other, until it is dropped. Of those that come while one is in work only the newest is sent.
    pub(crate) async fn run<M: Manager>(mut self, manager: &M, launcher: &Launcher) -> Infallible {
        loop {
            let candidate = self.next().await;
            match self.make(launcher, &candidate).await {
                Ok(picture) => self.send(manager, &candidate, &picture).await,
                Err(error) => self.said.say(&candidate, &error),
            }
            let output = self.output.clone();
            // Where none was made there is nothing to remove.
            run_blocking(move || fs::remove_file(output).ok()).await;
            self.done();
        }
    }

    /// Nothing more is to be done for the picture that was taken last, unless it was written anew meanwhile.
    fn done(&self) {
        if let Some(queue) = self.queue.upgrade()
            && !self.newest.has_changed().unwrap_or(false)
        {
            queue.send_if_modified(|newest| {
                *newest = None;
                false
            });
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

    async fn make(&self, launcher: &Launcher, candidate: &Candidate) -> Result<Picture, NoPicture> {
        let spec = self.spec(candidate, self.held(candidate).await);
        let mut captured = launcher
            .run_within(&spec, sleep(self.limit))
            .await
            .map_err(NoPicture::NotStarted)?;
        let why = captured.lines.pop().unwrap_or_default();
        match captured.exit {
            Exit::Success => self.read().await.map_err(NoPicture::NotRead),
            Exit::Code(code) if code == i32::from(NOT_SUPPORTED) => Err(NoPicture::NotSupported(why)),
            Exit::Code(_) => Err(NoPicture::Failed(why)),
            Exit::Aborted(_) => Err(NoPicture::TooSlow(self.limit)),
            exit @ (Exit::Signal { .. } | Exit::Lost) => Err(NoPicture::Ended(exit, why)),
        }
    }

    async fn held(&self, candidate: &Candidate) -> Option<HeldElsewhere> {
        let (sandbox, tmpdir) = (self.sandbox.clone()?, candidate.tmpdir.clone());
        Some(run_blocking(move || sandbox.held_elsewhere(tmpdir.as_deref())).await)
    }

    /// This program itself, in the hidden role; killed at once when it takes too long.
    fn spec(&self, candidate: &Candidate, held: Option<HeldElsewhere>) -> ProcessSpec {
        let request = PreviewRequest {
            picture: candidate.path.clone(),
            output: self.output.clone(),
            not_before: candidate.began.checked_sub(CLOCKS).unwrap_or(SystemTime::UNIX_EPOCH),
            limit: self.limit,
            held,
        };
        ProcessSpec {
            argv0: Some("flamenco-picture".into()),
            args: request.words(),
            label: "picture".to_owned(),
            ..ProcessSpec::new("/proc/self/exe")
        }
    }

    /// Sends a picture. A Manager that has no place for it is asked again for a while, unless there is a newer one: this may
    /// be the last of its job.
    async fn send<M: Manager>(&self, manager: &M, candidate: &Candidate, picture: &Picture) {
        let (task, bytes) = (&candidate.task, picture.bytes.len());
        for _ in 0..TRIES {
            match manager.output_produced(task, picture.clone()).await {
                Ok(PictureAnswer::Busy) => sleep(BUSY).await,
                Ok(answer) => return debug!(task, bytes, ?answer, "sent a picture"),
                Err(error) => return debug!(task, error = chain(&error), "a picture was not sent"),
            }
            if self.newest.has_changed().unwrap_or(false) {
                return debug!(task, "a picture was not sent: there is a newer one");
            }
        }
        debug!(task, "a picture was not sent: the Manager has no place for it");
    }

    /// Reads the small picture, beside the event loop: the home, where it is, may stand still.
    async fn read(&self) -> io::Result<Picture> {
        let output = self.output.clone();
        Ok(Picture {
            mime: "image/jpeg",
            bytes: run_blocking(move || files::read(&output, LARGEST_OUTPUT)).await?,
        })
    }
}

impl Said {
    /// What fails is worth a line to whoever misses a picture; what is not supported only to whoever looks closely.
    fn say(&mut self, candidate: &Candidate, why: &NoPicture) {
        if self.task != candidate.task {
            *self = Self {
                task: candidate.task.clone(),
                ..Self::default()
            };
        }
        let is_unsupported = matches!(why, NoPicture::NotSupported(_));
        let said = if is_unsupported {
            &mut self.is_unsupported
        } else {
            &mut self.is_failed
        };
        if std::mem::replace(said, true) {
            return;
        }
        let (task, path) = (&candidate.task, candidate.path.display());
        if is_unsupported {
            debug!(task, %path, "no \"last rendered\" picture of a file: {why}");
        } else {
            info!(task, %path, "no \"last rendered\" picture of a file: {}", chain(why));
        }
    }
}

/// Why there is no preview of a picture.
#[derive(Debug, thiserror::Error)]
enum NoPicture {
    #[error("the process that reads it could not be started")]
    NotStarted(#[source] StartError),
    #[error("{0}")]
    NotSupported(String),
    #[error("{0}")]
    Failed(String),
    #[error("it took longer than {} s to read", .0.as_secs())]
    TooSlow(Duration),
    #[error("the process that reads it ended with {0:?} {1}")]
    Ended(Exit, String),
    #[error("the small picture cannot be read")]
    NotRead(#[source] io::Error),
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;

    use super::*;

    fn candidate(path: &str) -> Candidate {
        Candidate {
            task: "t".to_owned(),
            path: path.into(),
            began: SystemTime::UNIX_EPOCH,
            tmpdir: None,
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_newest_picture_wins_and_each_is_taken_once() {
        let (queue, mut sender) = PreviewQueue::new(Path::new("/home"), &Timings::default());
        for name in ["1.png", "2.png", "3.png"] {
            queue.produced(candidate(name));
        }
        assert_eq!(sender.next().await.path, Path::new("3.png"));
        let late = tokio::time::timeout(Duration::from_secs(60), sender.next()).await;
        assert!(late.is_err(), "{late:?}");
        queue.clone().produced(candidate("3.png"));
        assert_eq!(sender.next().await.path, Path::new("3.png"), "written anew");
    }

    /// What is handed over goes as text.
    fn handed(queue: &PreviewQueue) -> Option<HandedPicture> {
        let text = serde_json::to_string(&queue.hand_over()).unwrap();
        serde_json::from_str(&text).unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn the_newest_picture_is_handed_over_until_it_is_done_with() {
        let (queue, mut sender) = PreviewQueue::new(Path::new("/home"), &Timings::default());
        assert_eq!(handed(&queue), None);
        let written = Candidate {
            path: OsStr::from_bytes(b"/r\xe4nder/1.png").into(),
            began: SystemTime::UNIX_EPOCH + Duration::from_millis(1300),
            tmpdir: Some(OsStr::from_bytes(b"/tmp/\xe4").into()),
            ..candidate("")
        };
        queue.produced(written.clone());
        let waiting = handed(&queue).unwrap();
        let taken = sender.next().await;
        assert_eq!(handed(&queue).as_ref(), Some(&waiting), "it is in work");
        queue.produced(written);
        sender.done();
        assert_eq!(handed(&queue).as_ref(), Some(&waiting), "it was written anew");
        sender.next().await;
        sender.done();
        assert_eq!(handed(&queue), None);

        let (queue, mut sender) = PreviewQueue::new(Path::new("/home"), &Timings::default());
        queue.take_over(&waiting);
        assert_eq!(sender.next().await, taken);
    }

    #[test]
    fn the_program_is_ourselves_and_is_killed_without_grace() {
        let (_queue, sender) = PreviewQueue::new(Path::new("/home"), &Timings::default());
        let began = SystemTime::UNIX_EPOCH + Duration::from_secs(1300);
        let spec = sender.spec(
            &Candidate {
                began,
                ..candidate("a b.png")
            },
            None,
        );
        assert_eq!(
            spec.to_string(),
            "/proc/self/exe __flamenco-picture 'a b.png' /home/picture.jpg 1000 10 null"
        );
        assert_eq!(spec.kill_sequence.0, []);
    }
}
