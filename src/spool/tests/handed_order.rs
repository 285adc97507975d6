// SPDX-License-Identifier: GPL-3.0-or-later

//! However often the process becomes its successor, at any moment, with or without a disk: the Manager has each line once,
//! in order, each step, and one outcome.

use std::cell::RefCell;
use std::fs;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use proptest::prelude::*;
use tokio::time::timeout;

use super::fake::{OTHER, Stage, TASK, completed, failed, seconds, status};
use crate::manager::{Delivery, ManagerError};
use crate::protocol::{TaskStatus, TaskUpdate};
use crate::spool::{Limits, Spool, TaskWriter};

const TASKS: [&str; 2] = [TASK, OTHER];

/// More segments than there can be.
const SEGMENTS: usize = 40;

#[derive(Debug, Clone)]
enum Deed {
    /// So many lines of a task, which begins if it does not run.
    Say(usize, u64),
    Step(usize),
    Close(usize, bool),
    /// The sender works for so many milliseconds.
    Send(u64),
    /// So many of the next updates do not arrive.
    Lose(u64),
    /// A request takes so many milliseconds.
    Delay(u64),
    /// After so many milliseconds of sending, and at most so many more for the last request.
    HandOver(u64, u64),
    /// The log of a task cannot be written, or can again.
    Disk(usize, bool),
}

fn deed() -> impl Strategy<Value = Deed> {
    let task = || 0..TASKS.len();
    prop_oneof![
        6 => (task(), 1u64..20).prop_map(|(task, lines)| Deed::Say(task, lines)),
        2 => task().prop_map(Deed::Step),
        1 => (task(), any::<bool>()).prop_map(|(task, well)| Deed::Close(task, well)),
        4 => (0u64..5000).prop_map(Deed::Send),
        2 => (0u64..4).prop_map(Deed::Lose),
        1 => (0u64..3000).prop_map(Deed::Delay),
        6 => (0u64..4000, 0u64..2000).prop_map(|(before, patience)| Deed::HandOver(before, patience)),
        2 => (task(), any::<bool>()).prop_map(|(task, works)| Deed::Disk(task, works)),
    ]
}

/// What the Manager has of a task.
#[derive(Default)]
struct Received {
    log: String,
    steps: u32,
    outcomes: Vec<TaskStatus>,
}

#[derive(Default)]
struct Database {
    lose: u64,
    tasks: [Received; TASKS.len()],
}

impl Database {
    fn take(&mut self, task: &str, update: &TaskUpdate) -> Result<Delivery, ManagerError> {
        if self.lose > 0 {
            self.lose -= 1;
            return Err(status(502, None));
        }
        let task = &mut self.tasks[usize::from(task == OTHER)];
        assert!(task.outcomes.is_empty(), "nothing comes after an outcome");
        task.log += update.log.as_deref().unwrap_or_default();
        task.steps = update.steps_completed.unwrap_or(task.steps);
        task.outcomes.extend(update.status);
        Ok(Delivery::Accepted)
    }
}

/// A task as its programs see it.
#[derive(Default)]
struct Told {
    entry: Option<TaskWriter>,
    lines: u64,
    steps: u32,
    over: Option<TaskStatus>,
}

struct World {
    stage: Stage,
    database: Rc<RefCell<Database>>,
    told: [Told; TASKS.len()],
    in_the_way: [Vec<PathBuf>; TASKS.len()],
}

impl World {
    fn new() -> Self {
        let stage = Stage::with(Limits {
            segment_bytes: 2000,
            waiting_segments: SEGMENTS,
            request_bytes: 300,
            early_send: 200,
            free_bytes: 0,
            ..Limits::default()
        });
        let database = Rc::new(RefCell::new(Database::default()));
        let shared = Rc::clone(&database);
        stage
            .manager
            .answers(move |task, update| shared.borrow_mut().take(task, update));
        Self {
            stage,
            database,
            told: Default::default(),
            in_the_way: Default::default(),
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
            Deed::Step(task) => {
                if let Some(entry) = self.entry(task) {
                    entry.step();
                    self.told[task].steps += 1;
                }
            }
            Deed::Close(task, well) => self.close(task, well),
            Deed::Send(millis) => {
                let lasts = Duration::from_millis(millis);
                self.stage.during(async |_, _| tokio::time::sleep(lasts).await).await;
                // It ends in the midst of a request.
                let text = let_go(&mut self.told, &self.stage.spool);
                self.take_over(&text);
            }
            Deed::Lose(updates) => self.database.borrow_mut().lose = updates,
            Deed::Delay(millis) => self.stage.manager.delay.set(Duration::from_millis(millis)),
            Deed::HandOver(before, patience) => self.hand_over(before, patience).await,
            Deed::Disk(task, works) => self.disk(task, works),
        }
    }

    fn entry(&mut self, task: usize) -> Option<&mut TaskWriter> {
        let told = &mut self.told[task];
        if told.over.is_none() && told.entry.is_none() {
            told.entry = Some(self.stage.begin(TASKS[task]));
        }
        told.entry.as_mut()
    }

    fn close(&mut self, task: usize, well: bool) {
        if let Some(entry) = self.told[task].entry.take() {
            let (cause, status) = match well {
                true => (completed(), TaskStatus::Completed),
                false => (failed(), TaskStatus::Failed),
            };
            entry.close(cause);
            self.told[task].over = Some(status);
        }
    }

    async fn hand_over(&mut self, before: u64, patience: u64) {
        let [before, patience] = [before, patience].map(Duration::from_millis);
        let told = &mut self.told;
        let text = self.stage.during(async |spool, _| {
            tokio::time::sleep(before).await;
            timeout(patience, spool.finish_sending()).await.ok();
            let_go(told, spool)
        });
        let text = text.await;
        self.take_over(&text);
    }

    fn take_over(&mut self, text: &str) {
        self.stage.take_over(text);
        for (told, task) in self.told.iter_mut().zip(TASKS) {
            told.entry = self.stage.spool.resume(task);
        }
    }

    /// A folder stands where each segment that does not exist yet would be made.
    fn disk(&mut self, task: usize, works: bool) {
        if works {
            for path in self.in_the_way[task].drain(..) {
                fs::remove_dir(path).ok();
            }
            return;
        }
        let folder = self.stage.path(TASKS[task]);
        let paths = (1..SEGMENTS).map(|number| folder.join(format!("log-{number:06}")));
        self.in_the_way[task].extend(paths.filter(|path| fs::create_dir(path).is_ok()));
    }

    async fn end(mut self) {
        for task in 0..TASKS.len() {
            self.close(task, true);
        }
        self.database.borrow_mut().lose = 0;
        self.stage.manager.delay.set(Duration::ZERO);
        self.stage.drain().await;
        seconds(1).await;
        let database = self.database.borrow();
        for (told, received) in self.told.iter().zip(&database.tasks) {
            let log: String = (0..told.lines).map(|number| format!("{number:>30}\n")).collect();
            assert_eq!(received.log, log);
            assert_eq!(received.steps, told.steps);
            assert_eq!(received.outcomes, Vec::from_iter(told.over));
        }
    }
}

/// What the process knows, which lets go of its tasks.
fn let_go(told: &mut [Told], spool: &Spool) -> String {
    let running = told.iter_mut().filter_map(|told| told.entry.take());
    running.for_each(TaskWriter::hand_over);
    serde_json::to_string(&spool.hand_over()).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, max_shrink_iters: 2000, ..ProptestConfig::default() })]

    #[test]
    fn each_line_comes_once_and_in_order_however_often_it_is_handed_over(deeds in prop::collection::vec(deed(), 1..60)) {
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
        });
    }
}
