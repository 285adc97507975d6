// SPDX-License-Identifier: GPL-3.0-or-later

//! `blender-render` runs Blender, whose output tells which frames are done and which files were written.

use std::time::Duration;

use tokio::time::sleep;

use super::context::CommandContext;
use super::handed::{CommandStop, HandedCommand};
use super::parameters::{ParameterError, Parameters};
use super::program::{CommandProgram, ProgramOutcome, announce, conclude, log_end, log_strays};
use super::render_output::RenderOutput;
use super::render_tracker::RenderTracker;
use super::start_hint::find_on_path;
use crate::blocking::run_blocking_within;
use crate::crash_report;
use crate::outcome::{Incomplete, Outcome};
use crate::process::{Finished, OutputLine};
use crate::progress::and_paused;
use crate::report::TaskLog;
use crate::warm::{Eligible, WarmEnd, WarmTask};

/// How long a look for the program, where Blender is kept, or for its crash reports may take.
const LOOK: Duration = Duration::from_secs(5);

/// The command line is `exe`, the words of `exeArgs`, `argsBefore`, `blendfile` if it is not empty, `args`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BlenderRender {
    /// The program.
    pub exe: String,
    /// Everything after `exe`, in order.
    pub args: Vec<String>,
    /// The file that is rendered, a word of `args`; empty: none is named.
    pub blendfile: String,
}

impl BlenderRender {
    pub(super) fn parse(parameters: Parameters<'_>) -> Result<Self, ParameterError> {
        let exe = parameters.text("exe", "the program of Blender")?.to_owned();
        let before = parameters.list("argsBefore")?;
        let blendfile = parameters.text_or_empty("blendfile", "a path, or an empty text for none")?;
        let after = parameters.list("args")?;
        let mut args = parameters.words("exeArgs")?;
        args.extend(before);
        args.extend((!blendfile.is_empty()).then(|| blendfile.to_owned()));
        args.extend(after);
        Ok(Self {
            exe,
            args,
            blendfile: blendfile.to_owned(),
        })
    }

    pub(super) async fn run(
        &self,
        handed: Option<HandedCommand>,
        context: &mut CommandContext<'_>,
    ) -> Result<(), CommandStop> {
        let (mut tracker, mut output, handed) = match handed {
            Some(HandedCommand::Render { run, tracker, output }) => {
                (RenderTracker::take_over(tracker, context), output, Some(run))
            }
            Some(HandedCommand::Program(_) | HandedCommand::Video { .. } | HandedCommand::Sleep { .. }) | None => {
                if let Some(task) = self.warm_task(context).await
                    && let Some(ended) = self.run_in_kept(&task, context).await
                {
                    return Ok(ended?);
                }
                let tracker = RenderTracker::begin(context, &self.args).await;
                (tracker, RenderOutput::default(), None)
            }
        };
        let mut on_line = |line: OutputLine<'_>, log: &mut dyn TaskLog| {
            if let Some(path) = output.handle_line(line.bytes, log) {
                tracker.saved(path);
            }
        };
        let ProgramOutcome { outcome, writing } = match self.program(context).run(handed, context, &mut on_line).await {
            Ok(ended) => ended,
            Err(run) => {
                let tracker = tracker.hand_over();
                return Err(HandedCommand::Render { run, tracker, output }.into());
            }
        };
        tracker.end(&outcome, writing, context).await;
        if outcome.is_err() {
            log_crash_reports(context).await;
        }
        Ok(outcome?)
    }

    fn program(&self, context: &CommandContext<'_>) -> CommandProgram {
        CommandProgram::new(
            "blender-render",
            &self.exe,
            self.args.clone(),
            context.tools.blender_kill_sequence.clone(),
        )
    }

    /// The same for a Blender that is kept, where that is switched on, and this is for it.
    async fn warm_task(&self, context: &CommandContext<'_>) -> Option<WarmTask> {
        let (warm, environment) = (context.tools.warm.as_ref()?, context.environment);
        let eligible = Eligible::of(&self.args, &self.blendfile)?;
        if !environment.is_only || !warm.is_for(&environment.job) {
            return None;
        }
        let exe = self.exe.clone();
        let find = move || {
            if exe.contains('/') {
                Some(exe.into())
            } else {
                find_on_path(&exe)
            }
        };
        let program = run_blocking_within(sleep(LOOK), find).await??;
        // Why it may not be run is said when that is tried without one that is kept.
        let cold = self.program(context).admitted(context).await.ok()?;
        let files = (program, self.blendfile.clone().into());
        warm.task(&environment.job, eligible, &cold, files).await
    }

    /// Renders in a Blender that is kept. `None`: it is to be rendered as if there was none.
    async fn run_in_kept(&self, task: &WarmTask, context: &mut CommandContext<'_>) -> Option<Outcome> {
        let warm = context.tools.warm.clone()?;
        announce(&self.program(context).spec(context), context);
        let mut tracker = RenderTracker::begin(context, &self.args).await;
        let mut output = RenderOutput::default();
        let CommandContext { abort, log, .. } = context;
        log.started();
        let end = warm
            .render(task, abort, &mut |pid, line| {
                log.output(pid, line.text);
                if let Some(path) = output.handle_line(line.bytes, *log) {
                    tracker.saved(path);
                }
            })
            .await;
        let (ended, writing) = match end {
            WarmEnd::Rendered(finished, tasks) => {
                log_rendered(&finished, tasks, context);
                context.log.rendered_in_kept(&self.exe, &finished, tasks);
                (Ok(()), Vec::new())
            }
            WarmEnd::Ended(mut finished) => {
                log_end(&finished, context);
                context.log.ended(&self.exe, &finished);
                let writing = std::mem::take(&mut finished.writing);
                (conclude(*finished, context.tools.crash), writing)
            }
            WarmEnd::NotBegun(reason) => (Err(Incomplete::Aborted(reason)), Vec::new()),
            WarmEnd::Refused => {
                tracker.end(&Ok(()), Vec::new(), context).await;
                return None;
            }
            WarmEnd::Cold {
                why,
                died,
                writing,
                crash,
            } => {
                if let Some(finished) = died {
                    log_end(&finished, context);
                    context.log.ended(&self.exe, &finished);
                }
                tracker
                    .end(&Err(Incomplete::Failed(why.clone())), writing, context)
                    .await;
                crash.iter().chain([&why]).for_each(|line| context.log.line(line));
                return None;
            }
        };
        tracker.end(&ended, writing, context).await;
        Some(ended)
    }
}

/// Copies the crash reports in the task's temporary directory into its log, if there are any.
async fn log_crash_reports(context: &mut CommandContext<'_>) {
    let folder = context.environment.tmpdir.clone();
    let read = run_blocking_within(context.abort.patience(LOOK), move || crash_report::reports(&folder));
    for line in read.await.unwrap_or_default() {
        context.log.line(&line);
    }
}

/// What the log says of a task that was rendered in a Blender that is kept.
fn log_rendered(finished: &Finished, tasks: u32, context: &mut CommandContext<'_>) {
    let Finished { pid, usage, strays, .. } = finished;
    log_strays(strays, context);
    let which = match tasks {
        1 => "which is kept for the next task of this job".to_owned(),
        _ => format!("which was kept from the task before; it has rendered {tasks} tasks"),
    };
    context.log.line(&format!(
        "pid={pid} rendered this in {:.2} s{}, {:.2} s of CPU time: a Blender {which}",
        usage.wall.as_secs_f64(),
        and_paused(usage.frozen),
        usage.cpu.as_secs_f64(),
    ));
}

#[cfg(test)]
mod tests {
    use crate::command::tests::parsed;
    use crate::command::{Command, tests::refused};

    #[test]
    fn the_command_line_is_put_together_in_order() {
        let command = parsed(
            r#"{"name":"blender-render","parameters":{"exe":"blender","exeArgs":"-b -y '--x y'",
            "argsBefore":["--debug","a b"],"blendfile":"/r/x.blend","args":["-f",1,"--w",5000000]}}"#,
        );
        let Command::BlenderRender(command) = command else {
            panic!("{command:?}")
        };
        assert_eq!(command.exe, "blender");
        assert_eq!(
            command.args,
            [
                "-b",
                "-y",
                "--x y",
                "--debug",
                "a b",
                "/r/x.blend",
                "-f",
                "1",
                "--w",
                "5000000"
            ]
        );
    }

    #[test]
    fn an_empty_blendfile_is_left_out_but_its_key_must_be_there() {
        let command = parsed(r#"{"name":"blender-render","parameters":{"exe":"b","blendfile":"","args":["-f"]}}"#);
        let Command::BlenderRender(command) = command else {
            panic!("{command:?}")
        };
        assert_eq!(command.args, ["-f"]);
        for blendfile in ["", r#","blendfile":null"#, r#","blendfile":5"#] {
            let wire = format!(r#"{{"name":"blender-render","parameters":{{"exe":"b"{blendfile}}}}}"#);
            assert!(refused(&wire).contains("parameter \"blendfile\""), "{wire}");
        }
    }

    #[test]
    fn of_several_wrong_parameters_the_first_in_order_is_reported() {
        let mut wrong = vec![
            (r#""exeArgs":"'""#, "exeArgs"),
            (r#""args":1"#, "args"),
            (r#""blendfile":2"#, "blendfile"),
            (r#""argsBefore":3"#, "argsBefore"),
            (r#""exe":4"#, "exe"),
        ];
        while let Some((_, first)) = wrong.last() {
            let mut given = vec![r#""exe":"b""#, r#""blendfile":"""#];
            given.extend(wrong.iter().map(|(text, _)| text));
            // A repeated key takes the last value, as for the Manager.
            let wire = format!(r#"{{"name":"blender-render","parameters":{{{}}}}}"#, given.join(","));
            assert!(refused(&wire).contains(&format!("parameter \"{first}\"")), "{wire}");
            wrong.pop();
        }
    }
}
