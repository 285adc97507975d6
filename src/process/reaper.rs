// SPDX-License-Identifier: GPL-3.0-or-later

//! The worker's children: the only place that waits for them.
//!
//! ```text
//! Launcher::run ─ adopt(pid) ─► Children ◄─ waitpid(-1) on SIGCHLD ─ Reaper::run (beside everything else)
//!               ◄── GuardEnd ─┘    └─ a guard died itself? its orphans are ours now: swept
//! ```
//!
//! A guard that is stopped (by its program, say) is made to go on, and one that a tracer holds is given up: killed,
//! and what it leaves is ended like a lost guard's, before anybody can reap it.
//!
//! The worker is a child subreaper, so whatever a dead guard leaves comes to us. As we wait for any
//! child we are also fit to be PID 1. A child that is neither a guard nor a guard's orphan (one we had
//! when we were executed, or a stranger's orphan that came to us as PID 1) is reaped and never touched.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::convert::Infallible;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use nix::libc;
use nix::sys::signal::Signal::{SIGCONT, SIGKILL};
use nix::sys::signal::kill;
use nix::unistd::Pid;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{Notify, oneshot};
use tokio::time::sleep;

use super::cgroup::Cgroup;
use super::mark::child_bears_mark;
use super::messages::SpawnOptions;
use super::procfs::{ChildLookup, ProcessStat, Reaped, now, reap_some, still_lives};
use super::tree::{Sweep, SweepLimits, hidden_child, stray};
use super::{Stray, Strays};

/// How a guard ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum GuardEnd {
    /// Its tree is gone, which it proved before it exited.
    Done,
    /// It died itself; what it left behind was ended by us, as far as it could be.
    Lost(Strays),
}

/// Every child of this process.
pub(super) struct Children {
    mark: String,
    patience: SweepLimits,
    /// As in [`SpawnOptions`].
    cgroups: Option<String>,
    /// Those we had already when we were executed.
    earlier: HashSet<i32>,
    /// Whom an earlier life of this worker left, and when each began.
    inherited: Vec<(Stray, u64)>,
    guards: HashMap<i32, oneshot::Sender<GuardEnd>>,
    /// Those of them that have no program any more, and wait to be told to leave.
    waiting: HashSet<i32>,
    lost: Option<LostGuards>,
    /// Guards that were given up and are not reaped yet.
    given_up: HashSet<i32>,
    /// Guards that were found at a standstill, and since when.
    still: HashMap<i32, Duration>,
    /// How long one may be.
    silence: Duration,
    next_look: Duration,
    /// Wakes the reaper where no signal does.
    wake: Rc<Notify>,
}

/// So many looks at the guards in the time that one may stand still.
const LOOKS: u32 = 4;

/// Guards that died themselves, until their orphans are gone.
struct LostGuards {
    sweep: Sweep,
    waiting: Vec<oneshot::Sender<GuardEnd>>,
}

/// Children, as the launcher and the reaper share them: both live on the one thread of the runtime.
pub(super) type SharedChildren = Rc<RefCell<Children>>;

impl Children {
    /// `silence`: how long a guard may stand still.
    pub(super) fn new(mark: String, options: &SpawnOptions, silence: Duration) -> Self {
        Self {
            mark,
            patience: options.patience(),
            cgroups: options.cgroups.clone(),
            earlier: ChildLookup::new().children(own_pid()).into_iter().collect(),
            inherited: Vec::new(),
            guards: HashMap::new(),
            waiting: HashSet::new(),
            lost: None,
            given_up: HashSet::new(),
            still: HashMap::new(),
            silence,
            next_look: Duration::ZERO,
            wake: Rc::new(Notify::new()),
        }
    }

    /// From now on `pid` is a guard. Call it before anything else can run after the spawn: no exit can
    /// then be missed. The answer comes when it has ended; whoever drops the receiver does not care.
    pub(super) fn adopt(&mut self, pid: i32) -> oneshot::Receiver<GuardEnd> {
        let (sender, receiver) = oneshot::channel();
        self.guards.insert(pid, sender);
        self.next_look = now() + self.silence / LOOKS;
        self.wake.notify_one();
        receiver
    }

    /// Kills a guard that does not answer. Whoever it leaves is ended from now on: as long as one of them traces it, it
    /// cannot be reaped.
    pub(super) fn give_up(&mut self, pid: i32) {
        if !self.guards.contains_key(&pid) || !self.given_up.insert(pid) {
            return;
        }
        // Safe by number: it is our child, and has not been reaped.
        kill(Pid::from_raw(pid), SIGKILL).ok();
        self.lose(pid);
        self.wake.notify_one();
    }

    /// Whom an earlier life of this worker left, and who could not be ended.
    pub(super) fn inherit(&mut self, unkillable: &[Stray]) {
        let known = unkillable
            .iter()
            .filter_map(|one| Some((one.clone(), ProcessStat::read(one.pid)?.start)));
        self.inherited = known.collect();
    }

    /// This guard has nothing left below it, and stays until it is told to leave.
    pub(super) fn waits(&mut self, pid: i32) {
        self.waiting.insert(pid);
    }

    /// A program runs, and its end is waited for.
    pub(super) fn has_programs(&self) -> bool {
        let mut guards = self.guards.iter();
        guards.any(|(pid, sender)| !sender.is_closed() && !self.waiting.contains(pid))
    }

    /// See [`Launcher::survivors`](super::Launcher::survivors).
    pub(super) fn survivors(&mut self) -> Vec<Stray> {
        self.inherited.retain(|(one, start)| still_lives(one.pid, *start));
        let expected = |pid: &i32| self.guards.get(pid).is_some_and(|sender| !sender.is_closed());
        let mut children = ChildLookup::new().children(own_pid());
        children.retain(|pid| !expected(pid) && self.is_ours(*pid));
        let lives = |pid: i32| match ProcessStat::read(pid) {
            Some(stat) => (!stat.is_dead()).then(|| stray(&stat)),
            None => hidden_child(pid),
        };
        children
            .into_iter()
            .filter_map(lives)
            .chain(self.inherited.iter().map(|(one, _)| one.clone()))
            .collect()
    }

    /// Takes children that have ended, and sees to what is due. Answers when to come back, if at all.
    fn turn(&mut self) -> Option<Duration> {
        let reaped = reap_some(&mut |pid, status| self.ended(pid, status));
        let looked = self.look_after();
        let swept = self.sweep(reaped);
        if reaped == Reaped::MaybeMore {
            return Some(Duration::ZERO);
        }
        looked.into_iter().chain(swept).min()
    }

    fn ended(&mut self, pid: i32, status: i32) {
        self.earlier.remove(&pid);
        self.given_up.remove(&pid);
        self.still.remove(&pid);
        self.waiting.remove(&pid);
        let Some(sender) = self.guards.remove(&pid) else { return };
        if libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 0 {
            // Nobody there: the run was given up, and its guard ended the tree all the same.
            sender.send(GuardEnd::Done).ok();
            return;
        }
        tracing::warn!(pid, status, "a guard died; ending what it leaves behind");
        self.lose(pid).waiting.push(sender);
    }

    fn lose(&mut self, pid: i32) -> &mut LostGuards {
        let lost = self.lost.get_or_insert_with(|| LostGuards {
            sweep: Sweep::new(self.patience),
            waiting: Vec::new(),
        });
        if let Some(prefix) = &self.cgroups {
            lost.sweep.add_cgroup(Cgroup::of_guard(prefix, pid));
        }
        lost
    }

    /// Sees to guards that stand still. Answers when to come back, if there is any guard.
    fn look_after(&mut self) -> Option<Duration> {
        if self.guards.is_empty() {
            return None;
        }
        let now = now();
        if now >= self.next_look {
            self.next_look = now + self.silence / LOOKS;
            let pids: Vec<i32> = self.guards.keys().copied().collect();
            pids.into_iter().for_each(|pid| self.look_at(pid, now));
        }
        Some(self.next_look - now)
    }

    fn look_at(&mut self, pid: i32, now: Duration) {
        let Some(stat) = ProcessStat::read(pid).filter(|stat| stat.is_stopped() || stat.is_held_by_tracer()) else {
            self.still.remove(&pid);
            return;
        };
        let since = *self.still.entry(pid).or_insert(now);
        if now < since + self.silence {
            return;
        }
        self.still.remove(&pid);
        if stat.is_stopped() {
            tracing::warn!(pid, "a guard was stopped; it goes on");
            // Safe by number, as in `give_up`.
            kill(Pid::from_raw(pid), SIGCONT).ok();
        } else {
            tracing::warn!(pid, "a guard is held by a tracer; ending it and its program");
            self.give_up(pid);
        }
    }

    /// A guard that was given up and is dead, but for a tracer that keeps it from being reaped, has ended.
    fn bury(&mut self, lost: &mut LostGuards) {
        for pid in &self.given_up {
            if ProcessStat::read(*pid).is_some_and(|stat| stat.is_dead()) {
                lost.waiting.extend(self.guards.remove(pid));
            }
        }
    }

    /// Goes on ending what lost guards left. Answers when to come back, if at all.
    fn sweep(&mut self, reaped: Reaped) -> Option<Duration> {
        let mut lost = self.lost.take()?;
        self.bury(&mut lost);
        let is_over = self.given_up.iter().all(|pid| !self.guards.contains_key(pid));
        if is_over && self.orphans().is_empty() && !lost.sweep.has_members() {
            lost.sweep.remove_cgroups();
            let ended = lost.sweep.met().to_vec();
            lost.tell(&Strays {
                ended,
                unkillable: Vec::new(),
            });
            return None;
        }
        let pause = lost.sweep.step(reaped, &|pid| !self.is_orphan(pid));
        if lost.sweep.overdue(now()) {
            let unkillable = lost.sweep.left().to_vec();
            let met = lost.sweep.met().iter();
            let ended = met.filter(|stray| !unkillable.contains(stray)).cloned().collect();
            lost.tell(&Strays { ended, unkillable });
        }
        self.lost = Some(lost);
        Some(pause)
    }

    fn orphans(&self) -> Vec<i32> {
        let mut children = ChildLookup::new().children(own_pid());
        children.retain(|pid| self.is_orphan(*pid));
        children
    }

    fn is_orphan(&self, pid: i32) -> bool {
        !self.guards.contains_key(&pid) && !self.given_up.contains(&pid) && self.is_ours(pid)
    }

    /// PID 1 is given everybody's orphans: there the mark must tell.
    fn is_ours(&self, pid: i32) -> bool {
        !self.earlier.contains(&pid)
            && (own_pid() != 1 || self.guards.contains_key(&pid) || child_bears_mark(pid, &self.mark))
    }
}

impl LostGuards {
    fn tell(&mut self, strays: &Strays) {
        for sender in self.waiting.drain(..) {
            // Nobody there: the run was given up.
            sender.send(GuardEnd::Lost(strays.clone())).ok();
        }
    }
}

/// Waits for this process's children, as long as it lives. Poll [`Reaper::run`] beside everything else:
/// without it no [`Launcher::run`](super::Launcher::run) ends.
#[derive(Debug)]
pub struct Reaper {
    children: SharedChildren,
    sigchld: Signal,
    wake: Rc<Notify>,
}

impl Reaper {
    /// Needs a runtime, as every listener for signals does.
    pub(super) fn new(children: SharedChildren) -> io::Result<Self> {
        let wake = Rc::clone(&children.borrow().wake);
        Ok(Self {
            children,
            wake,
            sigchld: signal(SignalKind::child())?,
        })
    }

    /// Reaps for ever. What is dropped with it is only the reaping.
    pub async fn run(mut self) -> Infallible {
        loop {
            let pause = self.children.borrow_mut().turn();
            tokio::select! {
                _ = self.sigchld.recv() => {}
                () = self.wake.notified() => {}
                () = async { sleep(pause.unwrap_or_default()).await }, if pause.is_some() => {}
            }
        }
    }
}

impl std::fmt::Debug for Children {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Children")
            .field("guards", &self.guards.keys())
            .finish_non_exhaustive()
    }
}

fn own_pid() -> i32 {
    nix::unistd::getpid().as_raw()
}
