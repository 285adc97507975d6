// SPDX-License-Identifier: GPL-3.0-or-later

//! `exec`: any program, without a shell.

use super::parameters::{ParameterError, Parameters};
use super::program::Program;
use super::tools::Stage;
use crate::outcome::Outcome;

/// `exe`: the program; `args`: its arguments, may be missing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exec {
    pub exe: String,
    pub args: Vec<String>,
}

impl Exec {
    pub(super) fn parse(parameters: Parameters<'_>) -> Result<Self, ParameterError> {
        Ok(Self {
            exe: parameters.text("exe", "a program")?.to_owned(),
            args: parameters.list("args")?,
        })
    }

    pub(super) async fn run(&self, stage: &mut Stage<'_>) -> Outcome {
        let program = Program::new("exec", &self.exe, self.args.clone(), stage.tools.kill_sequence.clone());
        program.run(stage, &mut |_, _| ()).await
    }
}
