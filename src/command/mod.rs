// SPDX-License-Identifier: GPL-3.0-or-later

//! What a task may ask for: one file per kind, parsed once into a typed value before anything runs.
//!
//! ```text
//! WireCommand ─ parameters ─► Command ─ run(Stage) ─┬─► program ──► process (Blender, FFmpeg, anything)
//!    (task)                                         └─► aside ────► copying (work on files, in a thread)
//!                    lines, steps, pictures ◄───────── TaskLog
//! ```
//!
//! What a job script or a person can see is as in the Go worker, except where that is careless.

mod appimage;
mod aside;
mod blender;
mod blender_lines;
mod blender_output;
mod copy_file;
mod copying;
mod crash_report;
mod diagnosis;
mod echo;
mod exec;
mod ffmpeg;
mod frames_to_video;
mod journal;
mod make_directory;
mod move_directory;
mod parameters;
mod picture;
mod program;
mod rendering;
mod sleep;
mod text;
mod tools;
mod unfinished;
mod words;

#[cfg(test)]
mod tests;

use crate::outcome::Outcome;
use crate::protocol::WireCommand;

pub use blender::BlenderRender;
pub use copy_file::CopyFile;
pub(crate) use diagnosis::{is_program, program_in};
pub use echo::Echo;
pub use exec::Exec;
pub(crate) use ffmpeg::candidates as ffmpeg_beside;
pub use frames_to_video::FramesToVideo;
pub use make_directory::MakeDirectory;
pub use move_directory::MoveDirectory;
pub use parameters::ParameterError;
pub(crate) use program::{conclude, told};
pub(crate) use rendering::set_aside_leftovers;
pub use sleep::Sleep;
pub use tools::{Identity, Said, Scratch, Stage, Tools};

/// One command of a task, ready to run.
#[derive(Debug, Clone, PartialEq)]
pub enum Command {
    BlenderRender(BlenderRender),
    FramesToVideo(FramesToVideo),
    Exec(Exec),
    Echo(Echo),
    Sleep(Sleep),
    MakeDirectory(MakeDirectory),
    MoveDirectory(MoveDirectory),
    CopyFile(CopyFile),
}

/// A command that cannot be run as it is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CommandError {
    /// No command of this name; case and blanks count.
    #[error("unknown command: {}", text::quoted(.0))]
    Unknown(String),
    #[error(transparent)]
    Parameter(#[from] ParameterError),
}

impl TryFrom<&WireCommand> for Command {
    type Error = CommandError;

    /// Reads the parameters. Of several that are wrong, the first one in the Go worker's order is reported.
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
    /// Runs it to its end. An abort reaches every wait in it.
    ///
    /// # Errors
    /// Whatever is not success; the log has the details, the text of [`Incomplete::Failed`] is for the task's
    /// activity and the last line of its log, and is not yet said.
    pub async fn run(&self, stage: &mut Stage<'_>) -> Outcome {
        match self {
            Self::BlenderRender(command) => command.run(stage).await,
            Self::FramesToVideo(command) => command.run(stage).await,
            Self::Exec(command) => command.run(stage).await,
            Self::Echo(command) => {
                command.run(stage);
                Ok(())
            }
            Self::Sleep(command) => command.run(stage).await,
            Self::MakeDirectory(command) => command.run(stage).await,
            Self::MoveDirectory(command) => command.run(stage).await,
            Self::CopyFile(command) => command.run(stage).await,
        }
    }
}
