// SPDX-License-Identifier: GPL-3.0-or-later

//! `echo` writes a message into the task's log.

use super::context::CommandContext;
use super::parameters::{ParameterError, Parameters};
use super::text::{plain, quoted};

/// The parameter `message` may be any value, also `null`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Echo {
    /// The message as text.
    pub message: String,
}

impl Echo {
    pub(super) fn parse(parameters: Parameters<'_>) -> Result<Self, ParameterError> {
        Ok(Self {
            message: plain(parameters.any("message", "a message")?),
        })
    }

    pub(super) fn run(&self, context: &mut CommandContext<'_>) {
        context.log.line(&format!("echo: {}", quoted(&self.message)));
    }
}
