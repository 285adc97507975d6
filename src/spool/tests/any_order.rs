// SPDX-License-Identifier: GPL-3.0-or-later

//! Whatever happens in whatever order: what was said arrives in its order, or is counted where it is missing. Only
//! what a process that is killed had not written yet is gone without a word.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fs;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use proptest::prelude::*;
use tempfile::TempDir;
use tokio::time::timeout;

use super::fake::{Answer, Fake, assigned, seconds, status};
use crate::manager::Delivery;
use crate::protocol::{TaskStatus, TaskUpdate};
use crate::spool::{Cause, Limits, Sender, Spool, TaskWriter};
use crate::timings::Timings;

const TASKS: usize = 3;

#[derive(Debug, Clone)]
enum Deed {
    /// So many lines of a task, which begins if it does not run.
    Say(usize, u64),
    Steps(usize),
    Close(usize, bool),
    Abort(usize),
    /// The sender works for so many milliseconds.
    Send(u64),
    /// The next updates are answered so.
    Answer(Vec<Reaction>),
    /// kill -9, and a new start.
    Crash,
    /// The process ends in order, and a new one starts.
    Restart,
    /// It becomes its successor.
    HandOver,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reaction {
    Accept,
    /// 502, and nothing was done.
    Lose,
    /// It was taken, and the answer got lost.
    LoseAnswer,
    Refuse,
    TooLarge,
}

fn deed() -> impl Strategy<Value = Deed> {
    let reaction = prop_oneof![
        1 => Just(Reaction::Accept),
        5 => Just(Reaction::Lose),
        1 => Just(Reaction::LoseAnswer),
        1 => Just(Reaction::Refuse),
        1 => Just(Reaction::TooLarge)
    ];
    prop_oneof![
        8 => (0..TASKS, 1u64..20).prop_map(|(task, lines)| Deed::Say(task, lines)),
        2 => (0..TASKS).prop_map(Deed::Steps),
        3 => (0..TASKS, any::<bool>()).prop_map(|(task, well)| Deed::Close(task, well)),
        1 => (0..TASKS).prop_map(Deed::Abort),
        8 => (0u64..5000).prop_map(Deed::Send),
        4 => prop::collection::vec(reaction, 1..12).prop_map(Deed::Answer),
        1 => Just(Deed::Crash),
        1 => Just(Deed::Restart),
        2 => Just(Deed::HandOver),
    ]
}

/// What the Manager has.
#[derive(Default)]
struct Database {
    next: VecDeque<Reaction>,
    logs: BTreeMap<String, String>,
    /// Log that came and was not taken: not lost in a crash.
    refused: BTreeMap<String, String>,
    /// Each outcome, and whether it came after all that the log holds in the end.
    outcomes: BTreeMap<String, Vec<TaskStatus>>,
    log_after_outcome: bool,
    answers_lost: bool,
}

impl Database {
    fn take(&mut self, task: &str, update: &TaskUpdate) {
        if let Some(log) = &update.log {
            self.log_after_outcome |= self.outcomes.contains_key(task);
            self.logs.entry(task.to_owned()).or_default().push_str(log);
        }
        if let Some(status) = update.status {
            self.outcomes.entry(task.to_owned()).or_default().push(status);
        }
    }

    fn refuse(&mut self, task: &str, update: &TaskUpdate) {
        let log = update.log.as_deref().unwrap_or_default();
        self.refused.entry(task.to_owned()).or_default().push_str(log);
    }

    fn react(&mut self, task: &str, update: &TaskUpdate) -> Answer {
        // A note that is refused is not said again: what it counted would be missing here.
        let noted = update.log.as_ref().is_some_and(|log| log.contains("[... "));
        match self.next.pop_front().unwrap_or(Reaction::Accept) {
            Reaction::Lose => return Err(status(502, None)),
            Reaction::Refuse if !noted => {
                self.refuse(task, update);
                return Ok(Delivery::Refused("no".into()));
            }
            Reaction::TooLarge if !noted => {
                self.refuse(task, update);
                return Ok(Delivery::TooLarge);
            }
            Reaction::LoseAnswer => {
                self.answers_lost = true;
                self.take(task, update);
                return Err(status(504, None));
            }
            Reaction::Accept | Reaction::Refuse | Reaction::TooLarge => {}
        }
        self.take(task, update);
        Ok(Delivery::Accepted)
    }
}

/// A task as its programs see it.
#[derive(Default)]
struct Told {
    entry: Option<TaskWriter>,
    lines: u64,
    over: Option<TaskStatus>,
    /// Not written yet when the process was killed.
    killed: BTreeSet<u64>,
}

struct World {
    home: TempDir,
    spool: Spool,
    sender: Option<Sender>,
    manager: Fake,
    database: Rc<RefCell<Database>>,
    told: Vec<Told>,
}

fn limits() -> Limits {
    Limits {
        segment_bytes: 400,
        waiting_segments: 3,
        request_bytes: 300,
        early_send: 200,
        free_bytes: 0,
        ..Limits::default()
    }
}

fn id(task: usize) -> String {
    format!("3b241101-e2bb-4255-8caf-00000000000{task}")
}

impl World {
    fn new() -> Self {
        let home = TempDir::new().unwrap();
        let (spool, sender) = Spool::open(home.path(), limits(), &Timings::default()).unwrap();
        let database = Rc::new(RefCell::new(Database::default()));
        let manager = Fake::new();
        let shared = Rc::clone(&database);
        manager.answers(move |task, update| shared.borrow_mut().react(task, update));
        let told = (0..TASKS).map(|_| Told::default()).collect();
        Self {
            home,
            spool,
            sender: Some(sender),
            manager,
            database,
            told,
        }
    }

    async fn act(&mut self, deed: Deed) {
        match deed {
            Deed::Say(task, lines) => {
                for _ in 0..lines {
                    let number = self.told[task].lines;
                    if let Some(entry) = self.entry(task) {
                        entry.line("", &format!("{number:>30}"));
                        self.told[task].lines += 1;
                    }
                }
            }
            Deed::Steps(task) => {
                if let Some(entry) = self.entry(task) {
                    entry.step();
                    entry.activity("x".into());
                }
            }
            Deed::Close(task, well) => {
                if let Some(entry) = self.told[task].entry.take() {
                    let (cause, status) = match well {
                        true => (Cause::Completed, TaskStatus::Completed),
                        false => (Cause::Failed("why".into()), TaskStatus::Failed),
                    };
                    entry.close(cause);
                    self.told[task].over = Some(status);
                }
            }
            Deed::Abort(task) => {
                if let Some(entry) = self.told[task].entry.take() {
                    entry.close(Cause::Aborted("x".into()));
                }
            }
            Deed::Send(millis) => self.send(millis).await,
            Deed::Answer(reactions) => self.database.borrow_mut().next.extend(reactions),
            Deed::Crash => self.crash(),
            Deed::Restart => self.reopen(),
            Deed::HandOver => self.hand_over(),
        }
    }

    /// Of a task that is not over for good.
    fn entry(&mut self, task: usize) -> Option<&mut TaskWriter> {
        let told = &mut self.told[task];
        if told.over.is_some() {
            return None;
        }
        if told.entry.is_none() {
            told.entry = Some(self.spool.begin(&assigned(&id(task))).unwrap());
        }
        told.entry.as_mut()
    }

    async fn send(&mut self, millis: u64) {
        let (spool, sender) = (&self.spool, self.sender.take());
        let Some(sender) = sender else { return };
        tokio::select! {
            biased;
            () = tokio::time::sleep(Duration::from_millis(millis)) => {}
            never = sender.run(&self.manager) => match never {},
        }
        // The next one knows no more than what was always known.
        self.sender = Some(Sender::new(Rc::clone(&spool.0)));
    }

    fn crash(&mut self) {
        for task in 0..TASKS {
            let Some(entry) = self.told[task].entry.take() else {
                continue;
            };
            std::mem::forget(entry);
            let database = self.database.borrow();
            let [accepted, refused] =
                [&database.logs, &database.refused].map(|logs| logs.get(&id(task)).map_or("", String::as_str));
            let came = numbers(accepted).chain(numbers(refused));
            let written = came.chain(written(&self.home.path().join(id(task)))).max();
            let first = written.map_or(0, |last| last + 1);
            let lost = first..self.told[task].lines;
            self.told[task].killed.extend(lost);
        }
        self.reopen();
    }

    fn hand_over(&mut self) {
        let entries = self.told.iter_mut().map(|told| told.entry.take());
        let running: Vec<_> = entries.map(|entry| entry.map(TaskWriter::hand_over)).collect();
        let text = serde_json::to_string(&self.spool.hand_over()).unwrap();
        let handed = serde_json::from_str(&text).unwrap();
        let contents = Spool::take_over(self.home.path(), handed, limits(), &Timings::default()).unwrap();
        let (spool, sender) = Spool::of(contents);
        (self.spool, self.sender) = (spool, Some(sender));
        for (task, running) in running.into_iter().enumerate() {
            self.told[task].entry = running.map(|()| self.spool.resume(&id(task)).unwrap());
        }
    }

    fn reopen(&mut self) {
        for told in &mut self.told {
            told.entry = None;
        }
        self.sender = None;
        let (spool, sender) = Spool::open(self.home.path(), limits(), &Timings::default()).unwrap();
        (self.spool, self.sender) = (spool, Some(sender));
    }

    async fn end(&mut self) {
        for told in &mut self.told {
            told.entry = None;
        }
        self.database.borrow_mut().next.clear();
        let sender = self.sender.take().expect("a sender after each deed");
        let spool = self.spool.clone();
        tokio::select! {
            biased;
            drained = timeout(Duration::from_secs(3600), spool.drained()) => assert!(drained.is_ok(), "{:?}", spool.pending()),
            never = sender.run(&self.manager) => match never {},
        }
        seconds(1).await;
    }

    fn check(&self) {
        let database = self.database.borrow();
        assert!(!database.log_after_outcome, "a log is ahead of its status");
        for (task, told) in self.told.iter().enumerate() {
            let log = database.logs.get(&id(task)).map_or("", String::as_str);
            let came: Vec<u64> = numbers(log).collect();
            let once: BTreeSet<u64> = came.iter().copied().collect();
            if !database.answers_lost {
                assert!(came.is_sorted_by(|one, next| one < next), "task {task}: {came:?}");
            }
            let missing = (0..told.lines)
                .filter(|number| !once.contains(number) && !told.killed.contains(number))
                .count() as u64;
            let counted: u64 = log.lines().filter_map(counted).sum();
            assert!(
                counted >= missing,
                "task {task}: {missing} are missing, {counted} counted\n{log}"
            );
            if !database.answers_lost {
                assert_eq!(counted, missing, "task {task}:\n{log}");
            }
            let outcomes = database.outcomes.get(&id(task)).map_or(&[][..], Vec::as_slice);
            match told.over {
                None => assert_eq!(outcomes, []),
                Some(status) => {
                    assert!(
                        !outcomes.is_empty() && outcomes.iter().all(|other| *other == status),
                        "{outcomes:?}"
                    );
                    assert!(database.answers_lost || outcomes.len() == 1, "{outcomes:?}");
                }
            }
        }
    }
}

fn numbers(log: &str) -> impl Iterator<Item = u64> {
    log.lines().filter_map(|line| line.trim().parse().ok())
}

/// Lines that a note says are missing.
fn counted(line: &str) -> Option<u64> {
    line.strip_prefix("[... ")?.split(' ').next()?.parse().ok()
}

/// The numbers in the segments of a folder.
fn written(folder: &Path) -> impl Iterator<Item = u64> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let logs = entries.filter(|entry| entry.file_name().to_string_lossy().starts_with("log-"));
    let texts: Vec<_> = logs.map(|entry| fs::read_to_string(entry.path()).unwrap()).collect();
    texts.into_iter().flat_map(|text| numbers(&text).collect::<Vec<_>>())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 50, max_shrink_iters: 2000, ..ProptestConfig::default() })]

    #[test]
    fn b4_nothing_is_lost_that_is_not_counted(deeds in prop::collection::vec(deed(), 1..100)) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        runtime.block_on(async {
            let mut world = World::new();
            for deed in deeds {
                world.act(deed).await;
            }
            world.end().await;
            world.check();
        });
    }
}
