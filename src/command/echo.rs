// SPDX-License-Identifier: GPL-3.0-or-later

//! `echo`: a message into the task's log.

use super::parameters::{ParameterError, Parameters};
use super::text::{plain, quoted};
use super::tools::Stage;

/// `message`: any value, also `null`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Echo {
    pub message: String,
}

impl Echo {
    pub(super) fn parse(parameters: Parameters<'_>) -> Result<Self, ParameterError> {
        Ok(Self {
            message: plain(parameters.any("message", "a message")?),
        })
    }

    pub(super) fn run(&self, stage: &mut Stage<'_>) {
        stage.voice.line(&format!("echo: {}", quoted(&self.message)));
    }
}
