// SPDX-License-Identifier: GPL-3.0-or-later

//! A Manager that answers as scripted and remembers every update.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, VecDeque};
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use tempfile::TempDir;
use tokio::time::{Instant, timeout};

use crate::home::Credentials;
use crate::manager::{Assignment, Delivery, Manager, ManagerError, ManagerInfo, Picture, PictureAnswer, Verdict};
use crate::protocol::{AssignedTask, Id, MayKeepRunning, Registered, Registration, SignOn, TaskUpdate, WorkerStatus};
use crate::spool::{Cause, Limits, Sender, Spool, TaskWriter};
use crate::timings::Timings;

pub(super) fn task_id(text: &str) -> Id {
    text.to_owned().try_into().unwrap()
}

pub(super) fn holds(spool: &Spool, task: &str) -> bool {
    spool.0.holds(&task_id(task))
}

pub(super) const TASK: &str = "3b241101-e2bb-4255-8caf-4136c566a962";
pub(super) const OTHER: &str = "3b241101-e2bb-4255-8caf-000000000002";

pub(super) type Answer = Result<Delivery, ManagerError>;

/// What is answered to an update when the script is empty; by task.
type Rule = Box<dyn Fn(&str, &TaskUpdate) -> Answer>;

pub(super) struct Fake {
    start: Instant,
    /// Task and update, with the time they came in milliseconds.
    pub(super) updates: RefCell<Vec<(u128, String, TaskUpdate)>>,
    pub(super) script: RefCell<VecDeque<Answer>>,
    pub(super) rule: RefCell<Rule>,
    pub(super) may_run: Cell<Option<bool>>,
    pub(super) asked: Cell<usize>,
    /// An update takes this long.
    pub(super) delay: Cell<Duration>,
}

impl Fake {
    pub(super) fn new() -> Self {
        Self {
            start: Instant::now(),
            updates: RefCell::default(),
            script: RefCell::default(),
            rule: RefCell::new(Box::new(|_, _| Ok(Delivery::Accepted))),
            may_run: Cell::new(Some(true)),
            asked: Cell::new(0),
            delay: Cell::new(Duration::ZERO),
        }
    }

    pub(super) fn answers(&self, rule: impl Fn(&str, &TaskUpdate) -> Answer + 'static) {
        *self.rule.borrow_mut() = Box::new(rule);
    }

    /// What came, in short: the log with its lines joined by `|`, `+steps`, the status.
    pub(super) fn words(&self) -> Vec<String> {
        self.updates
            .borrow()
            .iter()
            .map(|(_, task, update)| short(task, update))
            .collect()
    }

    pub(super) fn times(&self) -> Vec<u128> {
        self.updates.borrow().iter().map(|(at, _, _)| *at).collect()
    }
}

fn short(task: &str, update: &TaskUpdate) -> String {
    let mut words = Vec::new();
    words.extend(update.log.as_ref().map(|log| log.trim_end().replace('\n', "|")));
    words.extend(update.activity.as_ref().map(|activity| format!("({activity})")));
    words.extend(update.steps_completed.map(|steps| format!("+{steps}")));
    words.extend(update.status.map(|status| format!("{status:?}")));
    let prefix = if task == TASK { "" } else { "other: " };
    format!("{prefix}{}", words.join(" "))
}

pub(super) fn status(code: u16, retry_after: Option<u64>) -> ManagerError {
    ManagerError::Status {
        code,
        message: "no".into(),
        retry_after: retry_after.map(Duration::from_secs),
    }
}

impl Manager for Fake {
    fn identify(&self, _: &Credentials) {}
    fn was_out_of_contact(&self) -> bool {
        false
    }
    async fn info(&self) -> Result<ManagerInfo, ManagerError> {
        unreachable!()
    }
    async fn register(&self, _: &Registration) -> Result<Registered, ManagerError> {
        unreachable!()
    }
    async fn sign_on(&self, _: &SignOn) -> Result<WorkerStatus, ManagerError> {
        unreachable!()
    }
    async fn sign_off(&self) -> Result<(), ManagerError> {
        unreachable!()
    }
    async fn requested_status(&self) -> Result<Option<WorkerStatus>, ManagerError> {
        unreachable!()
    }
    async fn state_changed(&self, _: &WorkerStatus) -> Result<(), ManagerError> {
        unreachable!()
    }
    async fn fetch(&self) -> Result<Assignment, ManagerError> {
        unreachable!()
    }
    async fn may_i_run(&self, _: &str) -> Result<Verdict, ManagerError> {
        self.asked.set(self.asked.get() + 1);
        match self.may_run.get() {
            Some(true) => Ok(Verdict::Continue),
            Some(false) => Ok(Verdict::Stop(MayKeepRunning {
                may_keep_running: false,
                reason: "cancelled".into(),
                status_change_requested: false,
            })),
            None => Err(status(502, None)),
        }
    }
    async fn update(&self, task: &str, update: &TaskUpdate) -> Answer {
        let at = self.start.elapsed().as_millis();
        self.updates.borrow_mut().push((at, task.to_owned(), update.clone()));
        tokio::time::sleep(self.delay.get()).await;
        let scripted = self.script.borrow_mut().pop_front();
        scripted.unwrap_or_else(|| (self.rule.borrow())(task, update))
    }
    async fn output_produced(&self, _: &str, _: Picture) -> Result<PictureAnswer, ManagerError> {
        unreachable!()
    }
    async fn is_registered(&self) -> Result<bool, ManagerError> {
        unreachable!()
    }
}

/// A spool in a folder of its own, and its Manager.
pub(super) struct Stage {
    pub(super) home: TempDir,
    pub(super) spool: Spool,
    pub(super) sender: Option<Sender>,
    pub(super) manager: Fake,
}

impl Stage {
    pub(super) fn new() -> Self {
        Self::with(Limits::default())
    }

    pub(super) fn with(limits: Limits) -> Self {
        let home = TempDir::new().unwrap();
        let (spool, sender) = Spool::open(home.path(), limits, &Timings::default()).unwrap();
        Self {
            home,
            spool,
            sender: Some(sender),
            manager: Fake::new(),
        }
    }

    /// The process dies and starts again: nothing in memory is left.
    pub(super) fn restart(&mut self) {
        let (spool, sender) = Spool::open(self.home.path(), Limits::default(), &Timings::default()).unwrap();
        (self.spool, self.sender) = (spool, Some(sender));
    }

    /// The process becomes its successor: what it knows goes over as text. What that knows then is the same.
    pub(super) fn hand_over(&mut self) {
        let text = serde_json::to_string(&self.spool.hand_over()).unwrap();
        self.take_over(&text);
        assert_eq!(serde_json::to_string(&self.spool.hand_over()).unwrap(), text);
    }

    /// What was handed over is all that is left in memory.
    pub(super) fn take_over(&mut self, text: &str) {
        let (handed, limits) = (serde_json::from_str(text).unwrap(), self.spool.0.context.limits.clone());
        let contents = Spool::take_over(self.home.path(), handed, limits, &Timings::default()).unwrap();
        let (spool, sender) = Spool::of(contents);
        (self.spool, self.sender) = (spool, Some(sender));
    }

    pub(super) fn begin(&self, task: &str) -> TaskWriter {
        self.spool.begin(&assigned(task)).unwrap()
    }

    /// Lets the sender work beside `script`; once, as it ends with it.
    pub(super) async fn during<T>(&mut self, script: impl AsyncFnOnce(&Spool, &Fake) -> T) -> T {
        let sender = self.sender.take().expect("one run for each start");
        tokio::select! {
            biased;
            value = script(&self.spool, &self.manager) => value,
            never = sender.run(&self.manager) => match never {},
        }
    }

    /// Runs the sender until nothing waits.
    pub(super) async fn drain(&mut self) {
        self.during(async |spool, manager| {
            let late = timeout(Duration::from_secs(86_400), spool.drained()).await;
            assert!(
                late.is_ok(),
                "{:?} waits after a day: {:?}",
                spool.pending(),
                manager.words()
            );
        })
        .await;
    }

    /// Folders below the spool's `place`, sorted.
    pub(super) fn folders(&self, place: &str) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.home.path().join(place)).unwrap();
        let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
        paths.sort();
        paths
    }

    pub(super) fn path(&self, task: &str) -> PathBuf {
        self.home.path().join(task)
    }
}

pub(super) fn assigned(task: &str) -> AssignedTask {
    let text = format!(r#"{{"uuid":"{task}","job":"7c1a6a52-6a0d-4c0a-a7d3-111111111111","name":"n"}}"#);
    serde_json::from_str(&text).unwrap()
}

pub(super) fn completed() -> Cause {
    Cause::Completed
}

pub(super) fn failed() -> Cause {
    Cause::Failed("why".into())
}

pub(super) async fn seconds(seconds: u64) {
    tokio::time::sleep(Duration::from_secs(seconds)).await;
}

/// All of the log that the Manager accepted, when it accepted everything.
pub(super) fn accepted_log(manager: &Fake) -> String {
    let accepted = manager.updates.borrow();
    accepted
        .iter()
        .filter_map(|(_, _, update)| update.log.as_deref())
        .collect()
}

/// The names of [`HashMap`]-counted words, for "each once" checks.
pub(super) fn counted(words: impl IntoIterator<Item = String>) -> HashMap<String, usize> {
    let mut counts = HashMap::new();
    for word in words {
        *counts.entry(word).or_default() += 1;
    }
    counts
}
