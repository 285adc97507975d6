// SPDX-License-Identifier: GPL-3.0-or-later

//! Runs the program of a command, and puts into words what became of it.
//!
//! ```text
//! going to run:
//!
//!     /opt/blender/blender -b ...
//!
//! pid=4711 > Blender 4.2.0
//! left behind and ended: sleep (pid 4713)
//! pid=4711 ended with code 0 after 71.0 s, 540.3 s of CPU time, peak memory 1.2 GB
//! ```

use std::ffi::OsString;
use std::time::Duration;

use nix::sys::signal::Signal;

use super::admission::{DeniedWatch, admit};
use super::appimage;
use super::context::CommandContext;
use crate::blocking::run_blocking_within;
use crate::outcome::{Incomplete, Outcome, RequeueReason, names};
use crate::process::{
    Exit, Finished, HandedRun, KillSequence, OpenFile, OutputLine, ProcessEvent, ProcessSpec, ReadyGuard, RunEnd,
    StartError, Stray, Strays, Usage,
};
use crate::progress::and_paused;
use crate::report::{TaskLog, size};

/// How long a look around for a hint may take: PATH and programs may be on a file system that hangs.
pub(super) const HINT: Duration = Duration::from_secs(5);

/// What a command does with each line of its program, besides the log.
pub(super) type LineHandler<'a> = &'a mut dyn FnMut(OutputLine<'_>, &mut dyn TaskLog);

/// What became of a program.
#[derive(Debug)]
pub(super) struct ProgramOutcome {
    pub(super) outcome: Outcome,
    /// The files that were open for writing when it was ended.
    pub(super) writing: Vec<OpenFile>,
}

impl ProgramOutcome {
    fn not_begun(why: Incomplete) -> Self {
        Self {
            outcome: Err(why),
            writing: Vec::new(),
        }
    }
}

/// A program, as a command wants it run.
#[derive(Debug)]
pub(super) struct CommandProgram {
    /// The command's name, for errors.
    pub(super) command: &'static str,
    pub(super) exe: String,
    pub(super) args: Vec<String>,
    pub(super) kill_sequence: KillSequence,
}

/// What there is of a run before it is attended to.
enum Begun {
    /// A guard, which has not been told yet.
    Now(ReadyGuard),
    /// All of it: it goes on.
    Before(HandedRun),
}

impl CommandProgram {
    pub(super) fn new(command: &'static str, exe: &str, args: Vec<String>, kill_sequence: KillSequence) -> Self {
        Self {
            command,
            exe: exe.to_owned(),
            args,
            kill_sequence,
        }
    }

    /// Runs it to its end, or goes on with it where it was `handed` over. Its lines are in the log when this returns, and
    /// nothing of it is left.
    ///
    /// # Errors
    /// What was handed over itself, of a program that goes on elsewhere; the outcome has the others.
    pub(super) async fn run(
        &self,
        handed: Option<HandedRun>,
        context: &mut CommandContext<'_>,
        on_line: LineHandler<'_>,
    ) -> Result<ProgramOutcome, HandedRun> {
        let begun = match handed {
            Some(handed) => Ok((self.spec(context), Begun::Before(handed))),
            None => self.admitted_with_guard(context).await,
        };
        let (spec, begun) = match begun {
            Ok(begun) => begun,
            Err(why) => return Ok(ProgramOutcome::not_begun(why)),
        };
        let mut denied = DeniedWatch::new(context);
        let mut watched = |line: OutputLine<'_>, log: &mut dyn TaskLog| {
            denied.look(line.bytes);
            on_line(line, log);
        };
        let ended = match self.run_or_go_on(&spec, begun, context, &mut watched).await {
            Ok(RunEnd::HandedOver(run)) => return Err(run),
            Ok(RunEnd::Finished(finished)) => Ok(finished),
            Err(error) => Err(error),
        };
        Ok(match ended {
            Ok(mut finished) => {
                log_end(&finished, context);
                if finished.exit == Exit::Code(appimage::NOT_MOUNTED) {
                    self.hint_of_appimage(context).await;
                }
                if finished.exit != Exit::Success || denied.was_seen() {
                    denied.remind(context);
                }
                context.log.ended(&self.exe, &finished);
                let writing = std::mem::take(&mut finished.writing);
                ProgramOutcome {
                    outcome: conclude(finished, context.tools.crash).map_err(|why| denied.explain(why)),
                    writing,
                }
            }
            Err(error) => ProgramOutcome::not_begun(self.not_started(error, context.abort, context.held()).await),
        })
    }

    /// What is to be run, held to what it may do.
    pub(super) async fn admitted(&self, context: &CommandContext<'_>) -> Result<ProcessSpec, Incomplete> {
        let confinement = admit(self.command, &self.exe, context).await?;
        Ok(ProcessSpec {
            confinement,
            ..self.spec(context)
        })
    }

    /// The same, and a guard for it, which starts meanwhile.
    async fn admitted_with_guard(&self, context: &CommandContext<'_>) -> Result<(ProcessSpec, Begun), Incomplete> {
        let launcher = &context.tools.launcher;
        let spec = self.spec(context);
        let (admitted, guard) = tokio::join!(biased; self.admitted(context), async { launcher.ready(&spec) });
        match (admitted, guard) {
            (Ok(spec), Ok(guard)) => Ok((spec, Begun::Now(guard))),
            (Ok(_), Err(error)) => Err(self.not_started(StartError::Guard(error), context.abort, None).await),
            (Err(why), guard) => {
                if let Ok(guard) = guard {
                    launcher.dismiss(guard).await;
                }
                Err(why)
            }
        }
    }

    async fn run_or_go_on(
        &self,
        spec: &ProcessSpec,
        begun: Begun,
        context: &mut CommandContext<'_>,
        on_line: LineHandler<'_>,
    ) -> Result<RunEnd, StartError> {
        let mut pid = match &begun {
            Begun::Now(_) => {
                announce(spec, context);
                0
            }
            Begun::Before(handed) => handed.pid(),
        };
        let CommandContext { tools, abort, log, .. } = context;
        let note = log.end_note(&self.exe, context.is_last);
        let mut on_event = |heard: ProcessEvent<'_>| match heard {
            ProcessEvent::Started { pid: started } => {
                pid = started;
                log.started();
            }
            ProcessEvent::Line(line) => {
                log.output(pid, line.text);
                on_line(line, *log);
            }
            ProcessEvent::LeftRunning(strays) => log.line(&left_running(strays)),
            ProcessEvent::NotFrozen(strays) => log.line(&not_frozen(strays)),
        };
        match begun {
            Begun::Before(handed) => tools.launcher.take_over(handed, abort, &mut on_event).await,
            Begun::Now(guard) => {
                tools
                    .launcher
                    .run_noted(guard, (spec, note), abort, &mut on_event)
                    .await
            }
        }
    }

    /// The same as the process room wants it, not held to anything.
    pub(super) fn spec(&self, context: &CommandContext<'_>) -> ProcessSpec {
        ProcessSpec {
            args: self.args.iter().map(OsString::from).collect(),
            env: context.environment.env.clone(),
            kill_sequence: self.kill_sequence.clone(),
            label: context.environment.label.clone(),
            ..ProcessSpec::new(&self.exe)
        }
    }

    async fn hint_of_appimage(&self, context: &mut CommandContext<'_>) {
        let (exe, is_sandboxed) = (self.exe.clone(), context.tools.sandbox.is_some());
        let look = move || appimage::hint(&exe, is_sandboxed);
        let hint = run_blocking_within(context.abort.patience(HINT), look).await;
        if let Some(Some(hint)) = hint {
            context.log.line(hint);
        }
    }
}

/// What the log says before a program is run.
pub(super) fn announce(spec: &ProcessSpec, context: &mut CommandContext<'_>) {
    context.log.line("going to run:");
    context.log.line("");
    context.log.line(&format!("    {spec}"));
    context.log.line("");
}

fn left_running(strays: &[Stray]) -> String {
    format!(
        "the program has ended with code 0, but {} hold its output: they are waited for while they work",
        names(strays)
    )
}

fn not_frozen(strays: &[Stray]) -> String {
    format!(
        "cannot be paused, and run on, as they are another user's: {}",
        names(strays)
    )
}

/// What the log says of a program that ended, whatever its exit.
pub(super) fn log_end(finished: &Finished, context: &mut CommandContext<'_>) {
    let Finished {
        pid: _,
        exit: _,
        usage: _,
        strays,
        output_held,
        writing: _,
    } = finished;
    log_strays(strays, context);
    if *output_held {
        context
            .log
            .line("the output was still held open by a process that was left behind and idle; it was not waited for");
    }
    context.log.line(&end_summary(finished));
}

/// What the log says of processes that a task has left.
pub(super) fn log_strays(strays: &Strays, context: &mut CommandContext<'_>) {
    if !strays.ended.is_empty() {
        context
            .log
            .line(&format!("left behind and ended: {}", names(&strays.ended)));
    }
    if !strays.unkillable.is_empty() {
        let names = names(&strays.unkillable);
        context.log.line(&format!(
            "left behind, and cannot be ended: {names}; no other task is run here until they are gone"
        ));
    }
}

/// How a program ended and what it used, in one line.
pub(crate) fn end_summary(finished: &Finished) -> String {
    let Usage {
        wall,
        frozen,
        cpu,
        peak_rss,
    } = finished.usage;
    format!(
        "pid={} {} after {:.1} s{}, {:.1} s of CPU time, peak memory {}",
        finished.pid,
        describe_exit(&finished.exit),
        wall.as_secs_f64(),
        and_paused(frozen),
        cpu.as_secs_f64(),
        size(peak_rss)
    )
}

/// What the end of its program means for a command.
/// A program that is killed within `crash` of its start has hardly begun.
pub(crate) fn conclude(finished: Finished, crash: Duration) -> Outcome {
    match finished.exit {
        // Also with unkillable processes left: the program itself has done its work.
        Exit::Success => Ok(()),
        Exit::Code(code) => Err(Incomplete::Failed(format!(
            "command exited abnormally with code {code}"
        ))),
        Exit::Signal { signal, oom: false } => {
            let why = format!("command exited abnormally: killed by {}", signal_name(signal));
            Err(if finished.usage.wall < crash {
                Incomplete::SuspectNode(why)
            } else {
                Incomplete::Failed(why)
            })
        }
        Exit::Signal { signal, oom: true } => Err(Incomplete::Failed(format!(
            "command exited abnormally: killed by {}, because the memory ran out (its peak was {})",
            signal_name(signal),
            size(finished.usage.peak_rss)
        ))),
        Exit::Aborted(reason) => Err(Incomplete::Aborted(reason)),
        Exit::Lost if finished.strays.unkillable.is_empty() => Err(Incomplete::Requeued(RequeueReason::GuardLost)),
        Exit::Lost => Err(Incomplete::Requeued(RequeueReason::Unkillable(
            finished.strays.unkillable,
        ))),
    }
}

/// How it ended, by name.
fn describe_exit(exit: &Exit) -> String {
    match exit {
        Exit::Success => "ended with code 0".to_owned(),
        Exit::Code(code) => format!("ended with code {code}"),
        Exit::Signal { signal, oom: false } => format!("was killed by {}", signal_name(*signal)),
        Exit::Signal { signal, oom: true } => format!("was killed by {}, out of memory,", signal_name(*signal)),
        Exit::Aborted(_) => "ended as asked".to_owned(),
        Exit::Lost => "was lost".to_owned(),
    }
}

/// `SIGSEGV (11)`; a real-time signal is its number alone.
fn signal_name(signal: i32) -> String {
    match Signal::try_from(signal) {
        Ok(known) => format!("{known} ({signal})"),
        Err(_) => format!("signal {signal}"),
    }
}

#[cfg(test)]
mod tests;
