// SPDX-License-Identifier: GPL-3.0-or-later

//! `doctor`: is this node fit to be a worker? Each check says what it saw and, where that is not well, what to do.
//!
//! ```text
//! configuration ─► Case ─┬─ network   the Manager, and whether it knows us    ┐
//!   (a broken one:       ├─ place     the home, and who works in it           │
//!    as far as it goes)  ├─ waiting   what its spool holds                    │
//!                        ├─ storage   what `[node]` asks for                  ├─ Findings ─► lines, or JSON
//!                        ├─ subject   limits, groups, service: of the worker  │
//!                        ├─ devices   what a GPU is reached by                │
//!                        └─ programs  Blender and FFmpeg, run                 ┘
//! ```
//!
//! It changes nothing, here or at the Manager: it never takes the lock, never signs on or off, and asks only what
//! moves nothing there. All looks go on at the same time, and what hangs is a finding.

mod configuration;
mod devices;
mod finding;
mod groups;
mod limits;
mod network;
mod place;
mod programs;
mod report;
mod service;
mod storage;
mod subject;
mod waiting;

use std::io;
use std::path::PathBuf;

use self::finding::{Finding, in_time, look};
pub(super) use self::report::Report;
use self::subject::Subject;
use crate::cli::Arguments;
use crate::config::{Config, Environment};
use crate::home::Holder;

/// What all looks start from.
#[derive(Debug)]
struct Case {
    config: Config,
    home: Option<PathBuf>,
    subject: Subject,
}

/// Examines this node.
///
/// # Errors
/// When nothing can be done at all.
pub(super) fn examine(arguments: &Arguments) -> io::Result<Report> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let findings = runtime.block_on(findings(arguments, Environment::capture()));
    // A look that hangs is not waited for.
    runtime.shutdown_background();
    Ok(Report { findings })
}

async fn findings(arguments: &Arguments, environment: Environment) -> Vec<Finding> {
    let arguments = arguments.clone();
    let opened = look("configuration", "the configuration", move || {
        configuration::read(&arguments, &environment)
    });
    let (case, mut found) = match opened.await {
        Ok(opened) => opened,
        Err(hangs) => return vec![hangs],
    };
    let case = case.with_subject().await;
    let (network, place, waiting, storage, process, devices, programs) = tokio::join!(
        in_time("manager", network::check(&case)),
        in_time("home", place::check(&case)),
        in_time("spool", waiting::check(&case)),
        in_time("storage", storage::check(&case)),
        in_time("limits", subject::check(&case)),
        in_time("gpu", devices::check(&case)),
        in_time("blender", programs::check(&case)),
    );
    found.extend(
        [network, place, waiting, storage, process, devices, programs]
            .into_iter()
            .flatten(),
    );
    found
}

impl Case {
    fn new(config: Config, home: Option<PathBuf>) -> Self {
        Self {
            config,
            home,
            subject: Subject::ourselves(),
        }
    }

    /// With the worker as the one who is spoken of, if one lives in the home and can be seen. A home that hangs is
    /// told by whoever looks at it.
    async fn with_subject(self) -> Self {
        let Some(home) = self.home.clone() else {
            return self;
        };
        let found = look("home", "the home", move || {
            let holder = Holder::of(&home)?;
            (holder.lives() && holder.has_open(&home)).then(|| Subject::worker(holder.pid, &home))
        });
        match found.await {
            Ok(Some(subject)) => Self { subject, ..self },
            Ok(None) | Err(_) => self,
        }
    }
}
