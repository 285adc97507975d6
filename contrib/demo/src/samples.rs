// SPDX-License-Identifier: GPL-3.0-or-later
//! The sample jobs: submitted by name from the command line, and from the page as often as a person likes.
//!
//! ```text
//! SampleName ─► Sampler (what this machine has) ─► Sample (name, about, job) ─► stand-in, page
//!                                                            │ exec
//!                                                            └─► role: this program again, misbehaving
//! ```

pub(crate) mod role;

use std::path::PathBuf;

use clap::ValueEnum;
use serde_json::json;
use standin_manager::{CommandSpec, JobSpec, Sample, TaskSpec};

use self::role::Role;
use crate::farm::Shot;

/// A sample as a person names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum SampleName {
    /// A short render: 18 pictures from six tasks, and a video
    Render,
    /// A render of several minutes, to be steered meanwhile
    Long,
    /// A program that fails, and a log that says why
    Failing,
    /// A program that ignores every signal it can; it runs until it is cancelled
    Stubborn,
    /// A tree of processes that tries to escape: setsid, double fork, nohup, daemon
    Escape,
    /// A log of 100,000 lines
    Flood,
}

impl SampleName {
    /// One word.
    pub(crate) fn word(self) -> String {
        self.value()
            .map_or_else(String::new, |value| value.get_name().to_owned())
    }

    /// One line about what there is to see.
    fn about(self) -> String {
        let value = self.value();
        let help = value.as_ref().and_then(clap::builder::PossibleValue::get_help);
        help.map(ToString::to_string).unwrap_or_default()
    }

    fn value(self) -> Option<clap::builder::PossibleValue> {
        self.to_possible_value()
    }
}

/// What the samples are made with on this machine.
pub(crate) struct Sampler<'a> {
    pub(crate) shot: Shot<'a>,
    /// This program, which plays the roles.
    pub(crate) program: PathBuf,
    /// Pictures that nobody keeps go below here, and whatever plays a role has it as an argument.
    pub(crate) place: PathBuf,
}

impl Sampler<'_> {
    /// All of them, for the page.
    pub(crate) fn all(&self) -> Vec<Sample> {
        SampleName::value_variants()
            .iter()
            .map(|name| self.one(*name))
            .collect()
    }

    pub(crate) fn one(&self, name: SampleName) -> Sample {
        Sample {
            name: name.word(),
            about: name.about(),
            job: self.job(name),
        }
    }

    fn job(&self, name: SampleName) -> JobSpec {
        match name {
            SampleName::Render => self.shot.whole(),
            SampleName::Long => self.shot.many_turns(&self.place.join("long")),
            SampleName::Failing => self.job_of("Failing program", "simulate", Role::Failing),
            SampleName::Stubborn => self.job_of("Program that ignores signals", "hold-on", Role::Stubborn),
            SampleName::Escape => self.job_of("Tree that tries to escape", "run-away", Role::Escape),
            SampleName::Flood => self.job_of("Flood of lines", "talk", Role::Flood),
        }
    }

    fn job_of(&self, title: &str, task: &str, role: Role) -> JobSpec {
        let parameters = json!({
            "exe": self.program,
            "args": [role::ROLE, role.word(), self.place],
        });
        JobSpec::new(title).task(TaskSpec::new(task).command(CommandSpec::new("exec", parameters)))
    }
}
