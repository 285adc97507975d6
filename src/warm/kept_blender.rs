// SPDX-License-Identifier: GPL-3.0-or-later

//! One Blender that is kept: from its start, through the tasks it renders, to its end.
//!
//! ```text
//! load ─► KeptBlender ─► render ─┬─► Rendered ─► idle ─► render ...
//!   └─► Unusable                 └─► Unusable: nothing of it is left
//! ```

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::future::pending;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream as StdUnixStream;
use std::path::PathBuf;
use std::pin::pin;
use std::time::{Duration, SystemTime};

use tokio::io::{AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep};

use super::driver::{Answer, Ready, Request, receive};
use super::key::{FileId, Key};
use super::output::{LoadOutput, TaskOutput};
use super::status::KeptStatus;
use super::unusable::{Unusable, end_failed, failed, no_answer, not_started, over};
use crate::abort::{Abort, AbortSource};
use crate::blocking::run_blocking_within;
use crate::bounded::shorten;
use crate::clock;
use crate::crash_report;
use crate::process::{Attended, Exit, Finished, KeptProgram, Launcher, OutputLine, ProcessEvent, ProcessSpec, Usage};
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
/// So much of a job's id is shown, in bytes.
const LONGEST_ID: usize = 100;
/// What a load prints is held back for so long, until it is known whether the file is for one that is kept.
const HOLD: Duration = Duration::from_secs(10);
/// The variable with the temporary directory.
pub(super) const TMPDIR: &str = "TMPDIR";
/// How long its files may take to be looked at.
const LOOK: Duration = Duration::from_secs(5);

/// What hears the lines of a task, each with the pid of its program.
pub(super) type LineHandler<'a> = &'a mut dyn FnMut(i32, OutputLine<'_>);

/// To the script in Blender.
type Channel = BufReader<UnixStream>;

/// A Blender that is kept, with all that is its own.
#[derive(Debug)]
pub(super) struct KeptBlender {
    program: KeptProgram,
    channel: Channel,
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
    /// And after its last one.
    resident: u64,
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
        spec.env.retain(|(name, _)| name != TMPDIR);
        spec.env.push((TMPDIR.into(), Some(tmpdir.path().into())));
        if let Some(confinement) = &mut spec.confinement {
            confinement.tmpdir = [tmpdir.path().to_owned()].into_iter().collect();
        }
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
                resident: 0,
            }),
            Err(error) => {
                tmpdir.remove(launcher, abort).await;
                Err(not_started(error))
            }
        }
    }

    /// Waits until it has done all of its command line. On an error nothing of Blender is left.
    pub(super) async fn ready(&mut self, abort: &mut Abort, on_line: LineHandler<'_>) -> Result<Ready, Unusable> {
        let Self {
            program, channel, pid, ..
        } = &mut *self;
        let output = RefCell::new(LoadOutput::new(on_line));
        let mut on_event = |event: ProcessEvent<'_>| match event {
            ProcessEvent::Started { pid: started } => *pid = started,
            ProcessEvent::Line(line) => output.borrow_mut().line(*pid, line),
            ProcessEvent::LeftRunning(_) | ProcessEvent::NotFrozen(_) => {}
        };
        let held = abort.clone();
        let answer = unless_aborted(abort.clone(), channel, async |channel| {
            let mut answer = pin!(receive::<Ready>(channel));
            tokio::select! {
                answer = &mut answer => return answer,
                () = held.unpaused(HOLD) => {}
            }
            output.borrow_mut().open();
            answer.await
        });
        let ready = match program.attend(answer, abort, &mut on_event).await {
            Attended::Done(Ok(Ready { refusal: Some(why), .. })) => return Err(Unusable::Refused(why)),
            Attended::Done(Ok(ready)) => Ok(ready),
            Attended::Done(Err(error)) => Err(no_answer(program, &error, abort, &mut on_event).await),
            Attended::Over(end) => Err(over(end)),
        };
        output.borrow_mut().open();
        let ready = ready?;
        self.program.settle();
        self.note_libraries(&ready.libraries, abort).await;
        Ok(ready)
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
        let (began, before) = (self.time(), self.program.processor_time());
        let libraries = match self.answered(request, abort, on_line).await {
            Ok(libraries) => libraries,
            Err(mut unusable) => {
                unusable.leave_out(before, self.usage_since(began));
                return Err(unusable);
            }
        };
        let strays = self.program.end_new(SWEEP).await;
        let (resident, peak_rss) = self.program.memory();
        if self.tasks == 0 {
            self.first_resident = resident;
        }
        self.resident = resident;
        self.tasks += 1;
        self.note_libraries(&libraries, abort).await;
        let cpu = self.program.processor_time().saturating_sub(before);
        let time = self.usage_since(began);
        Ok(Finished {
            pid: self.pid,
            exit: Exit::Success,
            usage: Usage { cpu, peak_rss, ..time },
            strays,
            output_held: false,
            writing: Vec::new(),
        })
    }

    /// A moment, and how long it had stood still by then.
    fn time(&self) -> (Instant, Duration) {
        (Instant::now(), self.program.frozen())
    }

    /// The time that was used since, and no more.
    fn usage_since(&self, (began, before): (Instant, Duration)) -> Usage {
        let frozen = self.program.frozen().saturating_sub(before);
        Usage {
            wall: began.elapsed().saturating_sub(frozen),
            frozen,
            ..Usage::default()
        }
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
        let waiting = abort.clone();
        let work = unless_aborted(abort.clone(), &mut self.channel, async |channel| {
            request.send(channel).await?;
            let answer = receive::<Answer>(channel).await?;
            tokio::select! {
                () = is_complete.notified() => Ok::<_, io::Error>(answer),
                () = waiting.unpaused(LAST_WORDS) => {
                    Err(io::Error::new(io::ErrorKind::TimedOut, "its output has no end"))
                }
            }
        });
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
        let grown = self.first_resident + self.first_resident / 2 + GROWTH;
        self.tasks < most && self.resident <= memory.min(grown) && self.libraries.is_some()
    }

    /// What there is to see of it.
    pub(super) fn status(&self) -> KeptStatus {
        KeptStatus {
            pid: self.pid,
            job: shorten(&self.key.job, LONGEST_ID).into_owned(),
            tasks: self.tasks,
            memory: self.resident,
        }
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

/// What a Blender is asked, until its task is stopped: what it answers then counts no more, as it answers a render that was
/// broken off like any other. It sees that the channel is closed, and quits.
async fn unless_aborted<T>(mut abort: Abort, channel: &mut Channel, work: impl AsyncFnOnce(&mut Channel) -> T) -> T {
    tokio::select! {
        biased;
        _reason = abort.raised() => {}
        done = work(channel) => return done,
    }
    channel.shutdown().await.ok();
    pending().await
}
