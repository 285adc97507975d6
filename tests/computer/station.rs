// SPDX-License-Identifier: GPL-3.0-or-later

//! A render node that is a computer: its worker, told and asked by lines of bash.

use std::time::Duration;

use standin_manager::{Snapshot, TaskStatus, WorkerStatus};
use tokio::time::Instant;

use crate::computer::{Computer, Files, Kernel};
use test_bed::Farm;

/// How long a fact in a computer may take, which has a share of one processor. Never waited out.
pub(crate) const PATIENCE: Duration = Duration::from_secs(90);

/// Succeeds where a program of a task lives.
pub(crate) const MARKED: &str =
    r"cat /proc/[0-9]*/environ 2> /dev/null | tr '\0' '\n' | grep ^FLAMENCO_WORKER_MARK= > /dev/null";

/// A farm of one render node.
pub(crate) struct Station {
    pub(crate) farm: Farm,
    pub(crate) computer: Computer,
}

impl Station {
    /// Switched on; its worker's configuration has these timings, its home is on the disk. `None`, and said, where
    /// there cannot be one.
    pub(crate) fn new(files: Files, timings: &[(&str, &str)]) -> Option<Self> {
        Self::with(Kernel::default(), files, timings)
    }

    /// The same, with this kernel.
    pub(crate) fn with(kernel: Kernel, files: Files, timings: &[(&str, &str)]) -> Option<Self> {
        let mut computer = Computer::with(kernel, files)?;
        computer.start();
        let mut lines: Vec<_> = ["oom_score_adjust = 500", "[timings]"].map(str::to_owned).into();
        lines.extend(timings.iter().map(|(name, value)| format!("{name} = \"{value}\"")));
        let text: Vec<_> = lines.iter().map(|line| format!("'{line}'")).collect();
        computer.run(&format!(r"printf '%s\n' {} > flamenco-worker.toml", text.join(" ")));
        Some(Self {
            farm: Farm {
                patience: PATIENCE,
                ..Farm::new()
            },
            computer,
        })
    }

    /// Starts its worker, below `before` (such as a control group's door).
    pub(crate) fn worker(&mut self, before: &str) {
        let url = self.farm.manager.url();
        let port = url.trim_end_matches('/').rsplit_once(':').unwrap().1.to_owned();
        self.computer.run(&format!(
            "({before} FLAMENCO_HOME=/disk/home FLAMENCO_WORKER_NAME=station exec setsid flamenco-worker -debug \
             -manager http://10.0.2.2:{port}/ < /dev/null >> worker.log 2>&1 & echo $! > /run/worker)"
        ));
    }

    /// The same, and waits until it is awake.
    pub(crate) fn awake(&mut self) {
        self.worker("");
        self.wait("the worker to be awake", |farm| {
            farm.workers()
                .find(|worker| worker.status == WorkerStatus::Awake)
                .map(|_| ())
        });
    }

    /// Waits until a task is completed, however slow the computer is.
    pub(crate) fn completed(&mut self, task: &str) {
        self.wait("a completed task", |farm| {
            farm.task(task)
                .filter(|task| task.status == TaskStatus::Completed)
                .map(|_| ())
        });
    }

    /// Waits for a fact at the Manager.
    pub(crate) fn wait<T>(&mut self, what: &str, fact: impl FnMut(&Snapshot<'_>) -> Option<T>) -> T {
        let found = self.farm.manager.wait_for(PATIENCE, what, fact);
        found.unwrap_or_else(|dump| panic!("{dump}\n{}", self.log()))
    }

    /// Waits until a line of bash succeeds.
    pub(crate) fn until(&mut self, line: &str) {
        let deadline = Instant::now() + PATIENCE;
        while !self.computer.does(line) {
            assert!(Instant::now() < deadline, "in vain: {line}\n{}", self.log());
        }
    }

    pub(crate) fn log(&mut self) -> String {
        self.computer.run("tail -n 60 worker.log")
    }

    /// Stops the worker.
    pub(crate) fn stop(&mut self) {
        self.computer.run("kill $(cat /run/worker)");
        self.until("! readlink /proc/$(cat /run/worker)/exe");
    }

    /// The worker stops cleanly, and nothing of it or its programs is left.
    pub(crate) fn finish(mut self) {
        self.stop();
        self.until(&format!("! {MARKED}"));
        let log = self.log();
        assert!(
            log.contains("flamenco-worker ends: ") && log.contains("code=0"),
            "{log}"
        );
    }
}
