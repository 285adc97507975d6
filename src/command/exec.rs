// SPDX-License-Identifier: GPL-3.0-or-later

//! `exec` runs any program, without a shell.

use super::context::CommandContext;
use super::handed::{CommandStop, HandedCommand};
use super::parameters::{ParameterError, Parameters};
use super::program::CommandProgram;

/// The parameters are `exe` and `args`, which may be missing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Exec {
    /// The program.
    pub exe: String,
    /// Its arguments.
    pub args: Vec<String>,
}

impl Exec {
    pub(super) fn parse(parameters: Parameters<'_>) -> Result<Self, ParameterError> {
        Ok(Self {
            exe: parameters.text("exe", "a program")?.to_owned(),
            args: parameters.list("args")?,
        })
    }

    pub(super) async fn run(
        &self,
        handed: Option<HandedCommand>,
        context: &mut CommandContext<'_>,
    ) -> Result<(), CommandStop> {
        let program = CommandProgram::new(
            "exec",
            &self.exe,
            self.args.clone(),
            context.tools.kill_sequence.clone(),
        );
        let handed = handed.and_then(HandedCommand::into_program);
        let ended = program.run(handed, context, &mut |_, _| ()).await;
        Ok(ended.map_err(HandedCommand::Program)?.outcome?)
    }
}
