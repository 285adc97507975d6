// SPDX-License-Identifier: GPL-3.0-or-later

//! The commands of a task: one file for each kind, which is parsed once into a typed value before anything runs.
//!
//! ```text
//! WireCommand ─ parameters ─► Command ─ run(CommandContext) ─┬─► program ────► process (Blender, FFmpeg, anything)
//!    (task)                                         └─► file_work ► copying (work on files, in a thread)
//!                    lines, steps, pictures ◄───────── TaskLog
//! ```
//!
//! What a job script or a person can see is as in the Go worker, except where the Go worker is careless.

mod admission;
mod appimage;
mod blender;
mod blender_lines;
mod context;
mod copy_file;
mod copying;
mod cut_off_runs;
mod echo;
mod exec;
mod ffmpeg;
mod file_work;
mod frames_to_video;
mod handed;
mod journal;
mod make_directory;
mod move_directory;
mod not_expanded;
mod not_started;
mod output_pattern;
mod parameters;
mod picture_format;
mod program;
mod render_output;
mod render_tracker;
mod set_aside;
mod sleep;
mod start_hint;
mod text;
mod unfinished_pictures;
mod word_split;

#[cfg(test)]
mod tests;

use crate::protocol::WireCommand;

pub(crate) use blender::BlenderRender;
pub(crate) use blender_lines::parse_line;
pub(crate) use context::{CommandContext, CommandTools, TaskEnvironment};
pub(crate) use copy_file::CopyFile;
pub(crate) use cut_off_runs::CutOffRuns;
pub(crate) use echo::Echo;
pub(crate) use exec::Exec;
pub(crate) use ffmpeg::candidates as ffmpeg_beside;
pub(crate) use frames_to_video::FramesToVideo;
pub(crate) use handed::{CommandStop, HandedCommand};
pub(crate) use make_directory::MakeDirectory;
pub(crate) use move_directory::MoveDirectory;
pub(crate) use parameters::ParameterError;
pub(crate) use program::{conclude, end_summary};
pub(crate) use sleep::Sleep;
pub(crate) use start_hint::{find_program, is_program};

/// One command of a task, ready to run.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Command {
    /// `blender-render`
    BlenderRender(BlenderRender),
    /// `frames-to-video`
    FramesToVideo(FramesToVideo),
    /// `exec`
    Exec(Exec),
    /// `echo`
    Echo(Echo),
    /// `sleep`
    Sleep(Sleep),
    /// `make-directory`
    MakeDirectory(MakeDirectory),
    /// `move-directory`
    MoveDirectory(MoveDirectory),
    /// `copy-file`
    CopyFile(CopyFile),
}

/// A command that cannot be run as it is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum CommandError {
    /// There is no command of this name. Case and blanks count.
    #[error("unknown command: {}", text::quoted(.0))]
    Unknown(String),
    /// A parameter cannot be used.
    #[error(transparent)]
    Parameter(#[from] ParameterError),
}

impl TryFrom<&WireCommand> for Command {
    type Error = CommandError;

    /// Parses the parameters. If several are wrong, the first in the Go worker's order is reported.
    fn try_from(wire: &WireCommand) -> Result<Self, CommandError> {
        let parameters = parameters::Parameters::of(wire);
        Ok(match wire.name.as_str() {
            "blender-render" => Self::BlenderRender(BlenderRender::parse(parameters)?),
            "frames-to-video" => Self::FramesToVideo(FramesToVideo::parse(parameters)?),
            "exec" => Self::Exec(Exec::parse(parameters)?),
            "echo" => Self::Echo(Echo::parse(parameters)?),
            "sleep" => Self::Sleep(Sleep::parse(parameters)?),
            "make-directory" => Self::MakeDirectory(MakeDirectory::parse(parameters)?),
            "move-directory" => Self::MoveDirectory(MoveDirectory::parse(parameters)?),
            "copy-file" => Self::CopyFile(CopyFile::parse(parameters)?),
            unknown => return Err(CommandError::Unknown(unknown.to_owned())),
        })
    }
}

impl Command {
    /// Runs the command to its end, or goes on with it where it was `handed` over. An abort reaches every wait in it; a wish
    /// to hand it over those that can be gone on with.
    ///
    /// # Errors
    /// Whatever is not success; the log has the details, the text of a failure is for the task's
    /// activity and the last line of its log, and is not yet said.
    pub(crate) async fn run(
        &self,
        handed: Option<HandedCommand>,
        context: &mut CommandContext<'_>,
    ) -> Result<(), CommandStop> {
        match self {
            Self::BlenderRender(command) => return command.run(handed, context).await,
            Self::FramesToVideo(command) => return command.run(handed, context).await,
            Self::Exec(command) => return command.run(handed, context).await,
            Self::Sleep(command) => return command.run(handed, context).await,
            Self::Echo(command) => command.run(context),
            Self::MakeDirectory(command) => command.run(context).await?,
            Self::MoveDirectory(command) => command.run(context).await?,
            Self::CopyFile(command) => command.run(context).await?,
        }
        Ok(())
    }
}
