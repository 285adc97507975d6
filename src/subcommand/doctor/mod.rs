// SPDX-License-Identifier: GPL-3.0-or-later

//! `doctor`: is this node fit to be a worker? Each check says what it saw and, where that is not well, what to do.
//!
//! ```text
//! configuration ─► CheckContext ─┬─ manager    whether it answers, and knows this worker       ╮
//!   (of a broken one             ├─ home       the home, and who works in it                   │
//!    what is valid)              ├─ spool      what it holds that is not as it should be       │
//!                                ├─ storage    what `[node]` asks for                          ├─ Findings ─► lines, or JSON
//!                                ├─ subject    limits, processes, service: of the worker       │
//!                                ├─ sandbox    what can be enforced of `[sandbox]`             │
//!                                ├─ gpu        the devices by which it is reached              │
//!                                ├─ presence   what tells of somebody at this machine          │
//!                                └─ programs   Blender and FFmpeg, run                         ╯
//! ```
//!
//! It changes nothing, here or at the Manager: it never takes the lock, never signs on or off, and asks the Manager only
//! what moves nothing there. All checks run at the same time, and one that hangs is a finding.

mod configuration;
mod finding;
mod gpu;
mod home;
mod limits;
mod manager;
mod open_doors;
mod presence;
mod processes;
mod programs;
mod report;
mod sandbox;
mod service;
mod spool;
mod storage;
mod subject;
mod subject_user;

use std::io;
use std::path::PathBuf;

use tokio::runtime::Builder;

use self::finding::{Finding, run_check, within_limit};
pub(super) use self::report::DoctorReport;
use self::subject::Subject;
use crate::cli::Arguments;
use crate::config::{Config, Environment};
use crate::home::LockHolder;

/// What all checks start from.
#[derive(Debug)]
struct CheckContext {
    config: Config,
    environment: Environment,
    /// `None` where no home can be told from the configuration.
    home: Option<PathBuf>,
    /// Whose limits and rights matter.
    subject: Subject,
}

/// Examines this node.
///
/// # Errors
/// When nothing can be done at all.
pub(super) fn examine(arguments: &Arguments) -> io::Result<DoctorReport> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let findings = runtime.block_on(findings(arguments, Environment::capture()));
    // A check that hangs is not waited for.
    runtime.shutdown_background();
    Ok(DoctorReport { findings })
}

async fn findings(arguments: &Arguments, environment: Environment) -> Vec<Finding> {
    let arguments = arguments.clone();
    let opened = run_check("configuration", "the configuration", move || {
        configuration::read(&arguments, &environment)
    });
    let (context, mut found) = match opened.await {
        Ok(opened) => opened,
        Err(hangs) => return vec![hangs],
    };
    let context = context.with_subject().await;
    let (manager, home, spool, storage, subject, sandbox, gpu, presence, programs) = tokio::join!(
        within_limit("manager", manager::check(&context)),
        within_limit("home", home::check(&context)),
        within_limit("spool", spool::check(&context)),
        within_limit("storage", storage::check(&context)),
        within_limit("limits", subject::check(&context)),
        within_limit("sandbox", sandbox::check(&context)),
        within_limit("gpu", gpu::check(&context)),
        within_limit("presence", presence::check(&context)),
        within_limit("blender", programs::check(&context)),
    );
    found.extend(
        [manager, home, spool, storage, subject, sandbox, gpu, presence, programs]
            .into_iter()
            .flatten(),
    );
    found
}

impl CheckContext {
    fn new(config: Config, environment: Environment, home: Option<PathBuf>) -> Self {
        Self {
            config,
            environment,
            home,
            subject: Subject::ourselves(),
        }
    }

    /// This context with the worker as the subject, if one lives in the home and can be seen. A home that hangs is a finding of
    /// the checks that look into it.
    async fn with_subject(self) -> Self {
        let Some(home) = self.home.clone() else {
            return self;
        };
        let found = run_check("home", "the home", move || {
            let holder = LockHolder::of(&home)?;
            (holder.is_alive() && holder.holds_lock(&home)).then(|| Subject::worker(holder.pid, &home))
        });
        match found.await {
            Ok(Some(subject)) => Self { subject, ..self },
            Ok(None) | Err(_) => self,
        }
    }
}
