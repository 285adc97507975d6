// SPDX-License-Identifier: GPL-3.0-or-later

//! One Blender that is kept: from its start, through the tasks it renders, to its end.
//!
//! ```text
//! load ─► KeptBlender ─► render ─┬─► Rendered ─► idle ─► render ...
//!   └─► Unusable                 └─► Unusable: nothing of it is left
//! ```

use std::collections::BTreeMap;
use std::fmt::Display;
use std::io::{self, ErrorKind};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream as StdUnixStream;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use tokio::io::BufReader;
use tokio::net::UnixStream;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, timeout};

use super::driver::{Answer, Ready, Request, receive};
use super::key::{FileId, Key};
use super::output::TaskOutput;
use crate::abort::{Abort, AbortReason, AbortSource};
use crate::blocking::run_blocking_within;
use crate::chain::chain;
use crate::clock;
use crate::crash_report;
use crate::process::{
    Attended, Exit, Finished, KeptProgram, Launcher, OpenFile, OutputLine, ProcessEvent, ProcessSpec, StartError, Usage,
};
use crate::scratch::{ScratchDirs, TmpDir};

/// How long Blender may take to say the last words of a task that it has answered.
const LAST_WORDS: Duration = Duration::from_secs(10);
/// How long what a task has started may take to be gone.
const SWEEP: Duration = Duration::from_secs(2);
/// How long it may take to quit by itself.
const QUIT: Duration = Duration::from_secs(1);
/// It may have grown by half since its first task, and by so many bytes more.
const GROWTH: u64 = 1 << 30;
/// The times of files may be so coarse (two seconds on FAT).
const COARSE: Duration = Duration::from_secs(2);
/// How long its files may take to be looked at.
const LOOK: Duration = Duration::from_secs(5);

/// What hears the lines of a task, each with the pid of its program.
pub(super) type LineHandler<'a> = &'a mut dyn FnMut(i32, OutputLine<'_>);

/// A Blender that is kept, with all that is its own.
#[derive(Debug)]
pub(super) struct KeptBlender {
    program: KeptProgram,
    channel: BufReader<UnixStream>,
    tmpdir: TmpDir,
    pid: i32,
    /// What it is for.
    pub(super) key: Key,
    /// When it was started, on the wall clock.
    started: SystemTime,
    /// The files that its file links, as it has read them. `None`: that is not known, and it is not to be used again.
    libraries: Option<BTreeMap<PathBuf, FileId>>,
    /// Tasks that it has rendered.
    pub(super) tasks: u32,
    /// Bytes that it had resident after its first task.
    first_resident: u64,
}

/// Why a Blender is not, or no longer, there. Nothing of it is left.
#[derive(Debug)]
pub(super) enum Unusable {
    /// This file is not for one that is kept.
    Refused(String),
    /// The task was stopped, or its guard was lost, or something of it cannot be ended: what that means is not for this room.
    Ended(Box<Finished>),
    /// The task was stopped before anything ran.
    NotBegun(AbortReason),
    /// It ended by itself, in mid-work.
    Died(Box<Finished>),
    /// It does not start at all, or answered nonsense, or could not render.
    Failed {
        /// In words.
        why: String,
        /// What it had open for writing.
        writing: Vec<OpenFile>,
    },
}

impl Unusable {
    /// Counts for the task alone: what the Blender had used `before`, and how long the task `took`.
    fn leave_out(&mut self, before: Duration, took: Duration) {
        if let Self::Ended(finished) | Self::Died(finished) = self {
            finished.usage.cpu = finished.usage.cpu.saturating_sub(before);
            finished.usage.wall = took;
        }
    }
}

impl KeptBlender {
    /// Starts one. It is [`ready`](Self::ready) when it has done all of its command line.
    pub(super) async fn start(
        (launcher, scratch): (&Launcher, &ScratchDirs),
        mut spec: ProcessSpec,
        key: Key,
        abort: &mut Abort,
    ) -> Result<Self, Unusable> {
        let (ours, theirs) = StdUnixStream::pair().map_err(|error| failed(&error))?;
        ours.set_nonblocking(true).map_err(|error| failed(&error))?;
        let channel = BufReader::new(UnixStream::from_std(ours).map_err(|error| failed(&error))?);
        // That of the task goes with the task.
        let tmpdir = TmpDir::make(scratch, abort)
            .await
            .map_err(|no_dir| match abort.reason() {
                Some(reason) => Unusable::NotBegun(reason),
                None => failed(&no_dir),
            })?;
        spec.env.retain(|(name, _)| name != "TMPDIR");
        spec.env.push(("TMPDIR".into(), Some(tmpdir.path().into())));
        let started = launcher.start_kept(&spec, theirs.as_fd(), abort).await;
        drop(theirs);
        match started {
            Ok(program) => Ok(Self {
                program,
                channel,
                tmpdir,
                pid: 0,
                key,
                started: clock::system_time(),
                libraries: Some(BTreeMap::new()),
                tasks: 0,
                first_resident: 0,
            }),
            Err(error) => {
                tmpdir.remove(launcher, abort).await;
                Err(not_started(error))
            }
        }
    }

    /// Waits until it has done all of its command line. On an error nothing of Blender is left.
    pub(super) async fn ready(&mut self, abort: &mut Abort, on_line: LineHandler<'_>) -> Result<Ready, Unusable> {
        let pid = &mut self.pid;
        let mut on_event = |event: ProcessEvent<'_>| match event {
            ProcessEvent::Started { pid: started } => *pid = started,
            ProcessEvent::Line(line) => on_line(*pid, line),
            ProcessEvent::LeftRunning(_) => {}
        };
        let answer = receive::<Ready>(&mut self.channel);
        let ready = match self.program.attend(answer, abort, &mut on_event).await {
            Attended::Done(Ok(ready)) => ready,
            Attended::Done(Err(error)) => return Err(no_answer(&mut self.program, &error, abort, &mut on_event).await),
            Attended::Over(end) => return Err(over(end)),
        };
        match ready.refusal {
            Some(why) => Err(Unusable::Refused(why)),
            None => {
                self.program.settle();
                self.note_libraries(&ready.libraries, abort).await;
                Ok(ready)
            }
        }
    }

    /// Renders the frames of one task, and says what it used for that. The lines are the task's alone. On an error nothing
    /// of Blender is left.
    pub(super) async fn render(
        &mut self,
        request: &Request,
        abort: &mut Abort,
        on_line: LineHandler<'_>,
    ) -> Result<Finished, Unusable> {
        self.program.forget_peak();
        let (began, before) = (Instant::now(), self.program.processor_time());
        let libraries = match self.answered(request, abort, on_line).await {
            Ok(libraries) => libraries,
            Err(mut unusable) => {
                unusable.leave_out(before, began.elapsed());
                return Err(unusable);
            }
        };
        let strays = self.program.end_new(SWEEP).await;
        let (resident, peak_rss) = self.program.memory();
        if self.tasks == 0 {
            self.first_resident = resident;
        }
        self.tasks += 1;
        self.note_libraries(&libraries, abort).await;
        let cpu = self.program.processor_time().saturating_sub(before);
        let wall = began.elapsed();
        Ok(Finished {
            pid: self.pid,
            exit: Exit::Success,
            usage: Usage { wall, cpu, peak_rss },
            strays,
            output_held: false,
            writing: Vec::new(),
        })
    }

    /// Has the frames rendered, and returns the libraries of the file.
    async fn answered(
        &mut self,
        request: &Request,
        abort: &mut Abort,
        on_line: LineHandler<'_>,
    ) -> Result<Vec<PathBuf>, Unusable> {
        let is_complete = Notify::new();
        let mut output = TaskOutput::new(request.mark(), self.tasks == 0);
        let pid = self.pid;
        let mut on_event = |event: ProcessEvent<'_>| {
            let ProcessEvent::Line(line) = event else { return };
            if let Some(own) = output.own(line) {
                on_line(pid, own);
            }
            if output.is_complete() {
                is_complete.notify_one();
            }
        };
        let channel = &mut self.channel;
        let work = async {
            request.send(channel).await?;
            let answer = receive::<Answer>(channel).await?;
            let words = timeout(LAST_WORDS, is_complete.notified()).await;
            words.map_err(|_| io::Error::new(io::ErrorKind::TimedOut, "its output has no end"))?;
            Ok::<_, io::Error>(answer)
        };
        let answer = match self.program.attend(work, abort, &mut on_event).await {
            Attended::Done(answer) => answer,
            Attended::Over(end) => return Err(over(end)),
        };
        match answer {
            Ok(Answer { error: None, libraries }) => Ok(libraries),
            Ok(Answer { error: Some(why), .. }) => Err(end_failed(&mut self.program, &why, &mut on_event).await),
            Err(error) => Err(no_answer(&mut self.program, &error, abort, &mut on_event).await),
        }
    }

    /// Whether it can be used for another task, as far as it goes: `most` tasks and `memory` bytes are its limits.
    pub(super) fn is_fit(&self, most: u32, memory: u64) -> bool {
        let (resident, _) = self.program.memory();
        let grown = self.first_resident + self.first_resident / 2 + GROWTH;
        self.tasks < most && resident <= memory.min(grown) && self.libraries.is_some()
    }

    /// Whether the files that its file links are what they were.
    pub(super) async fn is_current(&self, abort: &Abort) -> bool {
        let Some(libraries) = self.libraries.clone() else {
            return false;
        };
        let unchanged = move || libraries.values().all(FileId::is_unchanged);
        run_blocking_within(abort.patience(LOOK), unchanged)
            .await
            .unwrap_or(false)
    }

    /// Takes note of files that it has read by now. One that was modified since its start may be another one by now.
    async fn note_libraries(&mut self, paths: &[PathBuf], abort: &Abort) {
        let Some(mut known) = self.libraries.take() else { return };
        let new: Vec<PathBuf> = paths
            .iter()
            .filter(|path| !known.contains_key(*path))
            .cloned()
            .collect();
        let not_since = self.started.checked_sub(COARSE).unwrap_or(self.started);
        let read = move || {
            for path in new {
                let file = FileId::read(&path).ok().filter(|file| file.is_older_than(not_since))?;
                known.insert(path, file);
            }
            Some(known)
        };
        self.libraries = run_blocking_within(abort.patience(LOOK), read).await.flatten();
    }

    /// The reports of a crash that it has written, as lines for a log.
    pub(super) async fn crash_reports(&self, abort: &Abort) -> Vec<String> {
        let folder = self.tmpdir.path().to_owned();
        let read = run_blocking_within(abort.patience(LOOK), move || crash_report::reports(&folder));
        read.await.unwrap_or_default()
    }

    /// Returns when it has been idle for `limit`, or is over. Cancel safe.
    pub(super) async fn idle(&mut self, limit: Duration) {
        let (_never, mut abort) = AbortSource::new();
        // What it says now is nobody's.
        self.program.attend(sleep(limit), &mut abort, &mut |_| {}).await;
    }

    /// Has it quit, or ends it when it does not, and removes what it had.
    pub(super) async fn end(self, launcher: &Launcher) {
        let Self {
            mut program,
            channel,
            tmpdir,
            ..
        } = self;
        drop(channel);
        let (_never, mut abort) = AbortSource::new();
        if let Attended::Done(()) = program.attend(sleep(QUIT), &mut abort, &mut |_| {}).await {
            program.end(&mut |_| {}).await.ok();
        }
        tmpdir.remove(launcher, &abort).await;
    }
}

/// No answer came that could be read. Where the channel is closed Blender is on its way out, by itself or because it was
/// told to end.
async fn no_answer(
    program: &mut KeptProgram,
    error: &io::Error,
    abort: &mut Abort,
    on_event: &mut dyn FnMut(ProcessEvent<'_>),
) -> Unusable {
    let is_closed = matches!(
        error.kind(),
        ErrorKind::UnexpectedEof | ErrorKind::BrokenPipe | ErrorKind::ConnectionReset
    );
    if is_closed && let Attended::Over(end) = program.attend(sleep(LAST_WORDS), abort, on_event).await {
        return over(end);
    }
    end_failed(program, &error.to_string(), on_event).await
}

/// Ends a Blender that failed. What it still says may tell why.
async fn end_failed(program: &mut KeptProgram, why: &str, on_event: &mut dyn FnMut(ProcessEvent<'_>)) -> Unusable {
    match program.end(on_event).await {
        Ok(finished) if finished.strays.unkillable.is_empty() => Unusable::Failed {
            why: why.to_owned(),
            writing: finished.writing,
        },
        Ok(finished) => Unusable::Ended(Box::new(lost(finished))),
        Err(error) => not_started(error),
    }
}

/// It ended by itself, or was aborted.
fn over(end: Result<Finished, StartError>) -> Unusable {
    match end {
        Ok(finished) if matches!(finished.exit, Exit::Aborted(_)) => Unusable::Ended(Box::new(finished)),
        Ok(finished) if finished.exit == Exit::Lost || !finished.strays.unkillable.is_empty() => {
            Unusable::Ended(Box::new(lost(finished)))
        }
        Ok(finished) => Unusable::Died(Box::new(finished)),
        Err(error) => not_started(error),
    }
}

/// It is not known to be gone: no other program may write what it may still write.
fn lost(finished: Finished) -> Finished {
    Finished {
        exit: Exit::Lost,
        ..finished
    }
}

fn not_started(error: StartError) -> Unusable {
    match error {
        StartError::Aborted(reason) => Unusable::NotBegun(reason),
        error @ (StartError::Exec(_) | StartError::NotOnPath | StartError::Nul(_) | StartError::Guard(_)) => {
            failed(&chain(&error))
        }
    }
}

/// It could not even be tried.
pub(super) fn failed(why: &impl Display) -> Unusable {
    Unusable::Failed {
        why: why.to_string(),
        writing: Vec::new(),
    }
}
