// SPDX-License-Identifier: GPL-3.0-or-later

//! `exec` runs any program, without a shell.

use super::context::CommandContext;
use super::parameters::{ParameterError, Parameters};
use super::program::CommandProgram;
use crate::outcome::Outcome;

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

    pub(super) async fn run(&self, context: &mut CommandContext<'_>) -> Outcome {
        let program = CommandProgram::new(
            "exec",
            &self.exe,
            self.args.clone(),
            context.tools.kill_sequence.clone(),
        );
        program.run(context, &mut |_, _| ()).await
    }
}
