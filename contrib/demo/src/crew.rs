// SPDX-License-Identifier: GPL-3.0-or-later
//! All workers of a demonstration, each under a supervisor of its own.

use std::{
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use nix::{sys::signal::Signal, unistd::Pid};

use crate::{
    RESTART_CODE,
    interrupt::{End, Interrupt, failed},
    places::Places,
    programs::{self, WorkerStart, in_words},
    supervisor::Supervisor,
};

/// A worker that is told to leave has this long: its renderer's grace and its last words to the Manager included.
const GRACE: Duration = Duration::from_secs(20);
/// A guard ends what is left of its worker's program within milliseconds.
const SWEPT: Duration = Duration::from_secs(2);
/// How often the person is listened to while the workers are given time to leave.
const LISTEN: Duration = Duration::from_millis(50);

/// The workers, until it is dropped.
pub(crate) struct Crew {
    members: Vec<Supervisor>,
    /// Whatever plays a sample's role has it as an argument.
    samples: PathBuf,
}

/// How they left. Empty: as they should.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Parting {
    /// Names of those that had to be killed or left with an error, and how.
    pub(crate) badly: Vec<String>,
    /// Programs that outlived their worker and were ended by us.
    pub(crate) left_behind: Vec<String>,
}

impl Parting {
    /// What the demonstration ends with, now that the workers have gone.
    ///
    /// # Errors
    /// As before, or workers did not leave as they should: something outlived them (which outweighs everything), or they
    /// had to be killed although nothing was wrong.
    pub(crate) fn after(self, played: Result<(), End>) -> Result<(), End> {
        if !self.left_behind.is_empty() {
            let names = self.left_behind.join(", ");
            return Err(End::Failed(format!("Outlived its worker, and was killed: {names}.")));
        }
        if played.is_ok() && !self.badly.is_empty() {
            return Err(End::Failed(format!("Did not leave well: {}.", self.badly.join(", "))));
        }
        played
    }
}

/// What all of them have in common.
pub(crate) struct Hiring<'a> {
    pub(crate) program: &'a Path,
    pub(crate) manager: String,
    /// The name of one alone; several have a number besides.
    pub(crate) name: String,
    pub(crate) count: usize,
    /// What stands in their `flamenco-worker.toml`.
    pub(crate) configuration: &'a str,
}

impl Crew {
    /// Starts them all.
    ///
    /// # Errors
    /// A folder cannot be made, or there are no threads to watch from.
    pub(crate) fn start(hiring: &Hiring<'_>, places: &Places) -> Result<Self, End> {
        let mut crew = Self {
            members: Vec::new(),
            samples: places.samples(),
        };
        for number in 1..=hiring.count {
            let (name, log) = if hiring.count == 1 {
                (hiring.name.clone(), places.log())
            } else {
                (format!("{}-{number}", hiring.name), places.log_of(number))
            };
            let start = WorkerStart {
                program: hiring.program.to_owned(),
                manager: hiring.manager.clone(),
                place: places.for_worker(number, hiring.configuration)?,
                name,
                log,
                restart_code: RESTART_CODE,
            };
            crew.members
                .push(Supervisor::start(start).map_err(failed("starting a supervisor"))?);
        }
        Ok(crew)
    }

    pub(crate) fn members(&self) -> &[Supervisor] {
        &self.members
    }

    /// Asks all to leave, and waits. A signal meanwhile is passed on as a second request, by which a worker skips its
    /// program's grace; the next one, or the end of our patience, kills.
    pub(crate) fn stop(&mut self, interrupt: &Interrupt) -> Parting {
        let ask = || self.members.iter().for_each(|member| member.signal(Signal::SIGTERM));
        let end = Instant::now() + GRACE;
        let all_over = || self.members.iter().all(|member| member.over().is_some());
        let mut hurries = 0;
        ask();
        while hurries < 2 && !all_over() && Instant::now() < end {
            if interrupt.another(LISTEN).is_some() {
                hurries += 1;
                ask();
            }
        }
        self.end()
    }

    fn end(&mut self) -> Parting {
        let mut parting = Parting::default();
        for member in &mut self.members {
            member.end();
            let how = match member.over() {
                Some(Ok((_, status))) if status.success() => None,
                Some(Ok((_, status))) => Some(in_words(status)),
                Some(Err(reason)) => Some(reason),
                None => Some("it was never seen to end".to_owned()),
            };
            parting
                .badly
                .extend(how.map(|how| format!("{} ({how})", member.name())));
        }
        let left = self.left_behind();
        programs::sweep(&left);
        parting
            .left_behind
            .extend(left.into_iter().map(|(pid, name)| format!("{name} (pid {pid})")));
        parting
    }

    /// Pid and name of what runs although its worker does not. The guards of a worker that was killed need a moment.
    fn left_behind(&self) -> Vec<(Pid, String)> {
        let end = Instant::now() + SWEPT;
        loop {
            let mut left = programs::playing(&self.samples);
            left.extend(
                self.members
                    .iter()
                    .flat_map(|member| programs::running_in(&member.home())),
            );
            if left.is_empty() || Instant::now() > end {
                left.sort();
                left.dedup();
                return left;
            }
            thread::sleep(LISTEN);
        }
    }
}

impl Drop for Crew {
    fn drop(&mut self) {
        self.end();
    }
}
