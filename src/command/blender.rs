// SPDX-License-Identifier: GPL-3.0-or-later

//! `blender-render` runs Blender, whose output tells which frames are done and which files were written.

use super::context::CommandContext;
use super::crash_report;
use super::parameters::{ParameterError, Parameters};
use super::program::CommandProgram;
use super::render_output::RenderOutput;
use super::render_tracker::RenderTracker;
use crate::outcome::Outcome;
use crate::process::OutputLine;
use crate::report::TaskLog;

/// The command line is `exe`, the words of `exeArgs`, `argsBefore`, `blendfile` if it is not empty, `args`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BlenderRender {
    /// The program.
    pub exe: String,
    /// Everything after `exe`, in order.
    pub args: Vec<String>,
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
        Ok(Self { exe, args })
    }

    pub(super) async fn run(&self, context: &mut CommandContext<'_>) -> Outcome {
        let program = CommandProgram::new(
            "blender-render",
            &self.exe,
            self.args.clone(),
            context.tools.blender_kill_sequence.clone(),
        );
        let mut tracker = RenderTracker::begin(context, &self.args).await;
        let mut output = RenderOutput::default();
        let mut on_line = |line: OutputLine<'_>, log: &mut dyn TaskLog| {
            if let Some(path) = output.handle_line(line.bytes, log) {
                tracker.saved(path);
            }
        };
        let (ended, writing) = program.run_with_open_files(context, &mut on_line).await;
        tracker.end(&ended, writing, context).await;
        if ended.is_err() {
            crash_report::copy_to_log(context).await;
        }
        ended
    }
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
