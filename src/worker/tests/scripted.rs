// SPDX-License-Identifier: GPL-3.0-or-later

//! A Manager that answers from a script, the hints it gives, and a worker's life with it.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::convert::Infallible;
use std::time::Duration;

use jiff::Timestamp;
use tempfile::TempDir;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::time::Instant;

use crate::command::CommandTools;
use crate::departure::{Departure, RestartCode};
use crate::home::{Credentials, Home};
use crate::manager::push::{HintSender, Interest, hint_channel};
use crate::manager::{Assignment, Delivery, Manager, ManagerError, ManagerInfo, Picture, PictureAnswer, Verdict};
use crate::metrics::Metrics;
use crate::node::{Node, Requirements};
use crate::pause::{AskedPause, PausePolicy, PauseSwitch};
use crate::process::idle_launcher;
use crate::protocol::{AssignedTask, Registered, Registration, SignOn, TaskUpdate, WorkerStatus};
use crate::report::PreviewQueue;
use crate::scratch::{ScratchDirs, WarnedOnce};
use crate::signals::{Order, Urgency};
use crate::spool::{Limits, Spool};
use crate::systemd::Systemd;
use crate::task::Tools;
use crate::timings::Timings;
use crate::worker::{Interrupts, Introduction, PauseRules, Worker, WorkerContext, WorkerEnd};

/// When, in milliseconds from the start, the Manager's push does what.
pub(super) type Pushed = (u64, fn(&HintSender));

/// A Manager that answers from a script, and by default like one with nothing to do.
#[derive(Debug)]
pub(super) struct Scripted {
    began: Instant,
    pub(super) calls: RefCell<Vec<(u64, String)>>,
    pub(super) sign_ons: RefCell<VecDeque<Result<WorkerStatus, u16>>>,
    pub(super) fetches: RefCell<VecDeque<Result<Assignment, u16>>>,
    pub(super) requests: RefCell<VecDeque<Result<Option<WorkerStatus>, u16>>>,
    pub(super) changes: RefCell<VecDeque<Result<(), u16>>>,
    pub(super) verdicts: RefCell<VecDeque<Verdict>>,
    pub(super) registered: Cell<bool>,
    gap: Cell<bool>,
    /// How long each call takes.
    pub(super) delay: Cell<Duration>,
    /// How long it takes to hear of a state.
    pub(super) telling: Cell<Duration>,
    /// How long a sign-off takes.
    pub(super) sign_off: Cell<Duration>,
    /// In this order.
    pub(super) push: RefCell<VecDeque<Pushed>>,
    /// What the worker was interested in, one after the other.
    pub(super) interests: RefCell<Vec<Interest>>,
}

impl Scripted {
    pub(super) fn new() -> Self {
        Self {
            began: Instant::now(),
            calls: RefCell::default(),
            sign_ons: RefCell::default(),
            fetches: RefCell::default(),
            requests: RefCell::default(),
            changes: RefCell::default(),
            verdicts: RefCell::default(),
            registered: Cell::new(true),
            gap: Cell::new(false),
            delay: Cell::default(),
            telling: Cell::default(),
            sign_off: Cell::default(),
            push: RefCell::default(),
            interests: RefCell::default(),
        }
    }

    fn called(&self, what: impl Into<String>) {
        self.calls
            .borrow_mut()
            .push((u64::try_from(self.began.elapsed().as_millis()).unwrap(), what.into()));
    }

    pub(super) fn words(&self) -> Vec<String> {
        self.calls.borrow().iter().map(|(_, word)| word.clone()).collect()
    }

    /// When `what` was called, in milliseconds.
    pub(super) fn times(&self, what: &str) -> Vec<u64> {
        self.calls
            .borrow()
            .iter()
            .filter(|(_, word)| word == what)
            .map(|(at, _)| *at)
            .collect()
    }
}

impl Scripted {
    /// A worker that sleeps from its first fetch on.
    pub(super) fn with_a_sleeper() -> Self {
        let manager = Self::new();
        manager
            .fetches
            .borrow_mut()
            .push_back(Ok(Assignment::GoTo(WorkerStatus::Asleep)));
        manager
    }

    /// Who is deleted may not speak of tasks.
    fn known(&self) -> Result<(), ManagerError> {
        self.registered.get().then_some(()).ok_or(ManagerError::Denied)
    }

    /// Hints when it is time to, and notes what they are wanted for.
    async fn hint_in_time(&self, mut source: HintSender) -> Infallible {
        self.interests.borrow_mut().push(source.interest());
        let script = self.push.take();
        let mut script = script.into_iter().peekable();
        loop {
            let next = script.peek().map(|(at, _)| self.began + Duration::from_millis(*at));
            tokio::select! {
                () = source.interest_changed() => self.interests.borrow_mut().push(source.interest()),
                () = tokio::time::sleep_until(next.unwrap_or(self.began)), if next.is_some() => {
                    if let Some((_, hint)) = script.next() {
                        hint(&source);
                    }
                }
            }
        }
    }
}

fn status(code: u16) -> ManagerError {
    if code == 403 {
        return ManagerError::Denied;
    }
    ManagerError::Status {
        code,
        message: "scripted".into(),
        retry_after: None,
    }
}

impl Manager for Scripted {
    fn identify(&self, credentials: &Credentials) {
        self.called(format!("identify {}", credentials.id));
    }
    fn was_out_of_contact(&self) -> bool {
        self.gap.take()
    }
    async fn info(&self) -> Result<ManagerInfo, ManagerError> {
        Err(status(500))
    }
    async fn register(&self, _: &Registration) -> Result<Registered, ManagerError> {
        self.called("register");
        // It is known again.
        self.registered.set(true);
        self.sign_ons.borrow_mut().clear();
        self.requests.borrow_mut().clear();
        Ok(Registered {
            uuid: String::from("new-id").try_into().unwrap(),
        })
    }
    async fn sign_on(&self, _: &SignOn) -> Result<WorkerStatus, ManagerError> {
        self.called("sign-on");
        let answer = self.sign_ons.borrow_mut().pop_front();
        answer.unwrap_or(Ok(WorkerStatus::Awake)).map_err(status)
    }
    async fn sign_off(&self) -> Result<(), ManagerError> {
        self.called("sign-off");
        tokio::time::sleep(self.sign_off.get()).await;
        Ok(())
    }
    async fn requested_status(&self) -> Result<Option<WorkerStatus>, ManagerError> {
        self.called("status?");
        tokio::time::sleep(self.delay.get()).await;
        let answer = self.requests.borrow_mut().pop_front().unwrap_or(Ok(None));
        // Whoever is not answered is out of contact for a while.
        self.gap.set(self.gap.get() || answer.is_err());
        answer.map_err(status)
    }
    async fn state_changed(&self, now: &WorkerStatus) -> Result<(), ManagerError> {
        self.called(format!("now {now}"));
        tokio::time::sleep(self.telling.get()).await;
        self.changes.borrow_mut().pop_front().unwrap_or(Ok(())).map_err(status)
    }
    async fn fetch(&self) -> Result<Assignment, ManagerError> {
        self.called("fetch");
        tokio::time::sleep(self.delay.get()).await;
        self.fetches
            .borrow_mut()
            .pop_front()
            .unwrap_or(Ok(Assignment::Nothing))
            .map_err(status)
    }
    async fn may_i_run(&self, _: &str) -> Result<Verdict, ManagerError> {
        self.called("may-i-run");
        tokio::time::sleep(self.delay.get()).await;
        self.known()?;
        Ok(self.verdicts.borrow_mut().pop_front().unwrap_or(Verdict::Continue))
    }
    async fn update(&self, _: &str, update: &TaskUpdate) -> Result<Delivery, ManagerError> {
        if let Some(status) = update.status {
            self.called(format!("{status:?}"));
        }
        self.known()?;
        Ok(Delivery::Accepted)
    }
    async fn output_produced(&self, _: &str, _: Picture) -> Result<PictureAnswer, ManagerError> {
        Ok(PictureAnswer::Taken)
    }
    async fn is_registered(&self) -> Result<bool, ManagerError> {
        self.called("registered?");
        Ok(self.registered.get())
    }
}

/// Runs a worker against `manager` until `seconds` have passed, then tells it to stop.
pub(super) async fn live(manager: &Scripted, seconds: u64, orders: &[(u64, Order)]) -> Departure {
    let folder = TempDir::new().unwrap();
    let home = Home::open(folder.path().to_owned(), Duration::ZERO).await.unwrap();
    home.save_credentials(&Credentials {
        id: "old-id".into(),
        secret: "s".repeat(64),
    })
    .await
    .unwrap();
    live_in(&home, manager, seconds, orders).await
}

pub(super) async fn live_in(home: &Home, manager: &Scripted, seconds: u64, orders: &[(u64, Order)]) -> Departure {
    let timings = Timings::default();
    let (spool, sender) = Spool::open(&home.spool_dir(), Limits::default(), &timings).unwrap();
    let (previews, _sender) = PreviewQueue::new(home.dir(), &timings);
    let (tell, orders_in) = unbounded_channel();
    let (hints, source) = hint_channel(&timings);
    let introduction = Introduction {
        name: "w".into(),
        task_types: vec!["misc".into()],
        software_version: "t".into(),
        can_restart: true,
    };
    let commands = CommandTools::new(idle_launcher(&timings), &timings, "/nonexistent".into());
    let scratch = ScratchDirs {
        folder: home.dir().to_owned(),
        spare: home.dir().join("tmp"),
        mark: "test".into(),
        warned: WarnedOnce::default(),
    };
    let context = WorkerContext {
        home,
        spool,
        previews,
        tools: Tools::new(commands, scratch),
        hints,
        node: Node::new(Requirements::default(), &timings),
        metrics: Metrics::new("1").unwrap(),
        strikes: 3,
        register: false,
        pauses: PauseRules {
            policy: PausePolicy::Freeze,
            limit: Duration::from_secs(3600),
        },
        restart_code: RestartCode::parse(47).unwrap(),
        timings: timings.clone(),
    };
    let worker = Worker::new(manager, introduction, context);
    let pauses = PauseSwitch::default();
    let interrupts = Interrupts::new(orders_in, pauses.watch(), Systemd::default());
    let script = tell_in_time(tell, &pauses, orders, seconds);
    tokio::select! {
        biased;
        // First: what is told at the start is told before the worker takes a step.
        () = script => unreachable!("the worker did not leave"),
        end = worker.run(interrupts, async {}) => match end {
            WorkerEnd::Left(departure) => departure,
            WorkerEnd::HandedOver(handed) => panic!("{handed:?}"),
        },
        never = sender.run(manager) => match never {},
        never = manager.hint_in_time(source) => match never {},
    }
}

async fn tell_in_time(tell: UnboundedSender<Order>, pauses: &PauseSwitch, orders: &[(u64, Order)], end: u64) {
    let mut now = 0;
    for (at, order) in orders.iter().copied().chain([(end, Order::Leave(Urgency::Now))]) {
        // What comes at the same moment is queued before anybody can obey.
        if at > now {
            tokio::time::sleep(Duration::from_secs(at - now)).await;
        }
        now = at;
        let asked = AskedPause {
            since: Timestamp::UNIX_EPOCH,
            until: None,
        };
        if let Order::Pause(_) = order {
            pauses.ask(asked);
        } else if order == Order::Resume {
            pauses.resume();
        } else {
            tell.send(order).unwrap();
        }
    }
    tokio::time::sleep(Duration::from_secs(60)).await;
}

pub(super) const TASK: &str = "3b241101-e2bb-4255-8caf-4136c566a962";
pub(super) const JOB: &str = "7c1a6a52-6a0d-4c0a-a7d3-111111111111";

pub(super) fn echo_task() -> Assignment {
    task(r#"{"name":"echo","parameters":{"message":"x"},"total_step_count":0}"#)
}

/// One that takes so many seconds.
pub(super) fn sleep_task(seconds: u32) -> Assignment {
    let command = r#"{"name":"sleep","total_step_count":0,"parameters":{"duration_in_seconds":"#;
    task(&format!("{command}{seconds}}}}}"))
}

fn task(command: &str) -> Assignment {
    let text = format!(r#"{{"uuid":"{TASK}","job":"{JOB}","name":"n","commands":[{command}],"steps_total":1}}"#);
    Assignment::Task(Box::new(serde_json::from_str::<AssignedTask>(&text).unwrap()))
}
