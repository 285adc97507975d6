// SPDX-License-Identifier: GPL-3.0-or-later

//! `frames-to-video` runs FFmpeg on numbered pictures.

use std::path::Path;

use super::context::CommandContext;
use super::ffmpeg;
use super::file_work::{FileWorkError, error_text, run_file_work};
use super::handed::{CommandStop, HandedCommand};
use super::parameters::{ParameterError, Parameters};
use super::program::CommandProgram;
use super::text::{digits, quoted};
use crate::outcome::Outcome;

/// The command line is `exe`, the words of `exeArgs`, `argsBefore`, `-r FPS -pattern_type glob -i GLOB`,
/// `args`, `-r FPS`, `outputFile`. The first `-r` is for the input, for which FFmpeg would assume 25.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FramesToVideo {
    /// The program.
    pub exe: String,
    /// Everything after `exe`, in order.
    pub args: Vec<String>,
    /// The video.
    pub output_file: String,
}

impl FramesToVideo {
    pub(super) fn parse(parameters: Parameters<'_>) -> Result<Self, ParameterError> {
        let exe = parameters.text("exe", "the program of FFmpeg")?.to_owned();
        let fps = fps(parameters)?;
        // The job may have been submitted from Windows.
        let glob = parameters
            .text("inputGlob", "a pattern for the input files")?
            .replace('\\', "/");
        let output_file = parameters.text("outputFile", "a path")?.to_owned();
        let before = parameters.list("argsBefore")?;
        let after = parameters.list("args")?;
        let mut args = parameters.words("exeArgs")?;
        args.extend(before);
        args.extend(["-r", &fps, "-pattern_type", "glob", "-i", &glob].map(str::to_owned));
        args.extend(after);
        args.extend(["-r", &fps, &output_file].map(str::to_owned));
        Ok(Self { exe, args, output_file })
    }

    pub(super) async fn run(
        &self,
        handed: Option<HandedCommand>,
        context: &mut CommandContext<'_>,
    ) -> Result<(), CommandStop> {
        let (exe, handed) = match handed {
            Some(HandedCommand::Video { exe, run }) => (exe, Some(run)),
            Some(HandedCommand::Program(_) | HandedCommand::Render { .. } | HandedCommand::Sleep { .. }) | None => {
                let exe = ffmpeg::find(&self.exe, context).await?;
                self.make_folder(context).await?;
                (exe, None)
            }
        };
        let program = CommandProgram::new(
            "frames-to-video",
            &exe,
            self.args.clone(),
            context.tools.kill_sequence.clone(),
        );
        let ended = program.run(handed, context, &mut |_, _| ()).await;
        Ok(ended.map_err(|run| HandedCommand::Video { exe, run })?.outcome?)
    }

    /// Creates the folder of the output, because FFmpeg does not.
    async fn make_folder(&self, context: &mut CommandContext<'_>) -> Outcome {
        let Some(folder) = Path::new(&self.output_file).parent().map(Path::to_owned) else {
            return Ok(());
        };
        if folder.as_os_str().is_empty() {
            return Ok(());
        }
        run_file_work(context, move |_| {
            std::fs::create_dir_all(&folder).map_err(|error| {
                let folder = quoted(&folder.to_string_lossy());
                FileWorkError::Failed(format!(
                    "frames-to-video: cannot make the output's folder {folder}: {}",
                    error_text(&error)
                ))
            })
        })
        .await
    }
}

fn fps(parameters: Parameters<'_>) -> Result<String, ParameterError> {
    const EXPECTED: &str = "a number of frames per second that is not 0";
    let number = parameters.number("fps", EXPECTED)?;
    let float = number.as_f64().unwrap_or_default();
    if float == 0.0 {
        return Err(parameters.error("fps", EXPECTED));
    }
    // FFmpeg reads a ratio or plain digits, but no exponent.
    Ok(if number.is_f64() {
        float.to_string()
    } else {
        digits(number)
    })
}

#[cfg(test)]
mod tests {
    use crate::command::Command;
    use crate::command::tests::{parsed, refused};

    fn args(parameters: &str) -> Vec<String> {
        let command = parsed(&format!(
            r#"{{"name":"frames-to-video","parameters":{{"exe":"ffmpeg",{parameters}}}}}"#
        ));
        let Command::FramesToVideo(command) = command else {
            panic!("{command:?}")
        };
        command.args
    }

    #[test]
    fn the_command_line_is_put_together_in_order() {
        let args = args(
            r#""fps":24.0,"inputGlob":"R:\\x\\*.png","outputFile":"o\\ut.mp4","exeArgs":"-v 0","argsBefore":["-a"],"args":["-b",1]"#,
        );
        let expected = "-v 0 -a -r 24 -pattern_type glob -i R:/x/*.png -b 1 -r 24 o\\ut.mp4";
        assert_eq!(args.join(" "), expected);
    }

    #[test]
    fn fps_never_has_an_exponent_and_is_never_0() {
        let table = [
            ("24", "24"),
            ("23.976023976", "23.976023976"),
            ("1000000", "1000000"),
            ("1e21", "1000000000000000000000"),
            ("0.00001", "0.00001"),
            ("-5", "-5"),
        ];
        for (fps, text) in table {
            assert_eq!(
                args(&format!(r#""fps":{fps},"inputGlob":"g","outputFile":"o""#))[1],
                text
            );
        }
        for fps in ["\"24\"", "true", "null", "0", "-0", "0.0"] {
            let wire = format!(r#"{{"name":"frames-to-video","parameters":{{"exe":"f","fps":{fps}}}}}"#);
            assert!(refused(&wire).contains("parameter \"fps\" has invalid value"), "{wire}");
        }
    }

    #[test]
    fn of_several_wrong_parameters_the_first_in_order_is_reported() {
        let mut wrong = vec![
            (r#""exeArgs":"'""#, "exeArgs"),
            (r#""args":1"#, "args"),
            (r#""argsBefore":3"#, "argsBefore"),
            (r#""outputFile":"""#, "outputFile"),
            (r#""inputGlob":[]"#, "inputGlob"),
            (r#""fps":0"#, "fps"),
            (r#""exe":"""#, "exe"),
        ];
        while let Some((_, first)) = wrong.last() {
            let mut given = vec![r#""exe":"f","fps":1,"inputGlob":"g","outputFile":"o""#];
            given.extend(wrong.iter().map(|(text, _)| text));
            let wire = format!(r#"{{"name":"frames-to-video","parameters":{{{}}}}}"#, given.join(","));
            assert!(refused(&wire).contains(&format!("parameter \"{first}\"")), "{wire}");
            wrong.pop();
        }
    }
}
