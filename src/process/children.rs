// SPDX-License-Identifier: GPL-3.0-or-later

//! The worker's children: guards, and what lost guards left.
//!
//! ```text
//! Launcher::run ─ adopt(pid) ─► Children ◄─ turn: waitpid(-1) on SIGCHLD ─ Reaper::run (beside everything else)
//!               ◄── GuardEnd ─┘    └─ a guard died itself? its orphans are ours now: swept
//! ```
//!
//! A guard that is stopped (by its program, say) is made to go on. A guard that a tracer holds is given up: it is killed,
//! and what it leaves is ended like a lost guard's, before it can be reaped.
//!
//! The worker is a child subreaper, so whatever a dead guard leaves comes to us. As we wait for any child we are also fit
//! to be PID 1. A child that is neither a guard nor a guard's orphan (one that we had when we were executed, or a
//! stranger's orphan that came to us as PID 1) is reaped and never touched.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use nix::libc;
use nix::sys::signal::{Signal, kill as send_signal};
use nix::unistd::{Pid, getpid};
use tokio::sync::{Notify, oneshot};

use super::cgroup::Cgroup;
use super::kill::{self, KillOutcome};
use super::mark::child_bears_mark;
use super::messages::SpawnOptions;
use super::procfs::{ChildLookup, ProcessStat, Reaped, child_is_stopped, lives, now, reap_some};
use super::stray::{Stray, Strays};
use super::sweep::{HOPELESS_PAUSE, Sweep, SweepLimits};
use super::walk::hidden_child;

/// How many times a guard is looked at in the time that it may stand still.
const LOOKS: u32 = 4;

/// How a guard ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum GuardEnd {
    /// Its tree is gone, which it proved before it exited.
    Done,
    /// It died itself; what it left behind was ended by us, as far as it could be.
    Lost(Strays),
}

/// The children, as the launcher and the reaper share them: both live on the one thread of the runtime.
pub(super) type SharedChildren = Rc<RefCell<Children>>;

/// Every child of this process.
pub(super) struct Children {
    mark: String,
    limits: SweepLimits,
    /// As in [`SpawnOptions`].
    cgroups: Option<String>,
    /// The children that we had already when we were executed.
    earlier: HashSet<i32>,
    inherited: Inherited,
    guards: HashMap<i32, WatchedGuard>,
    /// Guards that were given up and are not reaped yet.
    given_up: HashSet<i32>,
    lost: Option<LostGuards>,
    /// How long a guard may stand still.
    silence: Duration,
    next_look: Duration,
    /// Wakes the reaper where no signal does.
    wake: Rc<Notify>,
}

/// A guard that has not ended.
struct WatchedGuard {
    /// Closed when the run was dropped that waited for the end.
    ended: oneshot::Sender<GuardEnd>,
    /// It has no program any more, and waits to be told to leave.
    waits_for_release: bool,
    /// When it was found at a standstill.
    still_since: Option<Duration>,
}

/// Guards that died themselves, until their orphans are gone.
struct LostGuards {
    sweep: Sweep,
    /// To be told when that is so.
    waiting: Vec<oneshot::Sender<GuardEnd>>,
}

/// Processes that an earlier life of this worker left and that could not be ended, with the time each began.
#[derive(Default)]
struct Inherited {
    processes: Vec<(Stray, u64)>,
    next_kill: Duration,
}

impl Children {
    /// `silence`: how long a guard may stand still.
    pub(super) fn new(mark: String, options: &SpawnOptions, silence: Duration) -> Self {
        Self {
            mark,
            limits: options.sweep_limits(),
            cgroups: options.cgroups.clone(),
            earlier: ChildLookup::new().children(own_pid()).into_iter().collect(),
            inherited: Inherited::default(),
            guards: HashMap::new(),
            given_up: HashSet::new(),
            lost: None,
            silence,
            next_look: Duration::ZERO,
            wake: Rc::new(Notify::new()),
        }
    }

    /// Wakes the reaper when it is notified.
    pub(super) fn wake(&self) -> Rc<Notify> {
        Rc::clone(&self.wake)
    }

    /// Takes `pid` for a guard from now on. Call this before anything else can run after the spawn: no exit can then be
    /// missed. The answer comes when the guard has ended; the receiver may be dropped.
    pub(super) fn adopt(&mut self, pid: i32) -> oneshot::Receiver<GuardEnd> {
        let (ended, receiver) = oneshot::channel();
        let guard = WatchedGuard {
            ended,
            waits_for_release: false,
            still_since: None,
        };
        // One that was handed over is a child that we had already.
        self.earlier.remove(&pid);
        self.guards.insert(pid, guard);
        self.next_look = now() + self.silence / LOOKS;
        self.wake.notify_one();
        receiver
    }

    /// Another process goes on with this guard, which is none of ours from now on.
    pub(super) fn hand_over(&mut self, pid: i32) {
        self.guards.remove(&pid);
        self.earlier.insert(pid);
    }

    /// Kills a guard that does not answer. What it leaves is ended from now on: as long as one of those processes traces
    /// the guard, it cannot be reaped.
    pub(super) fn give_up(&mut self, pid: i32) {
        if !self.guards.contains_key(&pid) || !self.given_up.insert(pid) {
            return;
        }
        // Whether it dies is seen when it is reaped.
        kill::child(pid);
        self.lose(pid);
        self.wake.notify_one();
    }

    /// Takes over what an earlier life of this worker left and could not be ended.
    pub(super) fn inherit(&mut self, unkillable: &[Stray]) {
        let known = unkillable
            .iter()
            .filter_map(|stray| Some((stray.clone(), ProcessStat::read(stray.pid)?.start)));
        self.inherited.processes = known.collect();
        self.wake.notify_one();
    }

    /// Notes that this guard has nothing left below it, and stays until it is told to leave.
    pub(super) fn waits(&mut self, pid: i32) {
        if let Some(guard) = self.guards.get_mut(&pid) {
            guard.waits_for_release = true;
        }
    }

    /// Whether a program runs whose end is waited for.
    pub(super) fn has_programs(&self) -> bool {
        let mut guards = self.guards.values();
        guards.any(|guard| !guard.ended.is_closed() && !guard.waits_for_release)
    }

    /// See [`Launcher::survivors`](super::Launcher::survivors).
    pub(super) fn survivors(&self) -> Vec<Stray> {
        let is_expected = |pid: &i32| self.guards.get(pid).is_some_and(|guard| !guard.ended.is_closed());
        let mut children = ChildLookup::new().children(own_pid());
        children.retain(|pid| !is_expected(pid) && self.is_ours(*pid));
        let living = |pid: i32| match ProcessStat::read(pid) {
            Some(stat) => (!stat.is_dead()).then(|| (&stat).into()),
            None => hidden_child(pid),
        };
        children
            .into_iter()
            .filter_map(living)
            .chain(self.inherited.living())
            .collect()
    }

    /// What is left of programs that are over, for whoever goes on in our place: all that [`survivors`](Self::survivors) counts,
    /// but for guards that end their trees by themselves, as nobody waits for them.
    pub(super) fn left_over(&self) -> Vec<Stray> {
        let mut left = self.survivors();
        left.retain(|stray| !self.guards.contains_key(&stray.pid) || self.given_up.contains(&stray.pid));
        left
    }

    /// Takes children that have ended, and sees to what is due. Returns when to come back, if at all.
    pub(super) fn turn(&mut self) -> Option<Duration> {
        let reaped = reap_some(&mut |pid, status| self.ended(pid, status));
        let look = self.look_after_guards();
        let inherited = self.inherited.kill_when_due();
        let sweep = self.sweep(reaped);
        if reaped == Reaped::MaybeMore {
            return Some(Duration::ZERO);
        }
        look.into_iter().chain(inherited).chain(sweep).min()
    }

    fn ended(&mut self, pid: i32, status: i32) {
        self.earlier.remove(&pid);
        self.given_up.remove(&pid);
        let Some(guard) = self.guards.remove(&pid) else { return };
        if libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 0 {
            // If nobody is there to be told, the run was dropped, and its guard ended the tree all the same.
            guard.ended.send(GuardEnd::Done).ok();
            return;
        }
        tracing::warn!(pid, status, "a guard died; ending what it leaves behind");
        self.lose(pid).waiting.push(guard.ended);
    }

    fn lose(&mut self, pid: i32) -> &mut LostGuards {
        let lost = self.lost.get_or_insert_with(|| LostGuards {
            sweep: Sweep::new(self.limits),
            waiting: Vec::new(),
        });
        if let Some(prefix) = &self.cgroups {
            lost.sweep.add_cgroup(Cgroup::of_guard(prefix, pid));
        }
        lost
    }

    /// Sees to guards that stand still. Returns when to come back, if there is any guard.
    fn look_after_guards(&mut self) -> Option<Duration> {
        if self.guards.is_empty() {
            return None;
        }
        let now = now();
        if now >= self.next_look {
            self.next_look = now + self.silence / LOOKS;
            let pids: Vec<i32> = self.guards.keys().copied().collect();
            pids.into_iter().for_each(|pid| self.look_after(pid, now));
        }
        Some(self.next_look - now)
    }

    fn look_after(&mut self, pid: i32, now: Duration) {
        let Some(guard) = self.guards.get_mut(&pid) else { return };
        // A guard is closed to others, and where /proc hides such processes we do not see it either.
        let is_stopped = child_is_stopped(pid);
        if !is_stopped && !ProcessStat::read(pid).is_some_and(|stat| stat.is_held_by_tracer()) {
            guard.still_since = None;
            return;
        }
        let since = *guard.still_since.get_or_insert(now);
        if now < since + self.silence {
            return;
        }
        guard.still_since = None;
        if is_stopped {
            tracing::warn!(pid, "a guard was stopped; it goes on");
            // Safe by number: it is our child, and has not been reaped.
            send_signal(Pid::from_raw(pid), Signal::SIGCONT).ok();
        } else {
            tracing::warn!(pid, "a guard is held by a tracer; ending it and its program");
            self.give_up(pid);
        }
    }

    /// Goes on ending what lost guards left. Returns when to come back, if at all.
    fn sweep(&mut self, reaped: Reaped) -> Option<Duration> {
        let mut lost = self.lost.take()?;
        self.bury(&mut lost);
        let is_over = self.given_up.iter().all(|pid| !self.guards.contains_key(pid));
        if is_over && self.orphans().is_empty() && !lost.sweep.has_members() {
            lost.sweep.remove_cgroups();
            lost.tell(Vec::new());
            return None;
        }
        let pause = lost.sweep.step(reaped, &|pid| !self.is_orphan(pid));
        if lost.sweep.overdue(now()) {
            lost.tell(lost.sweep.left().to_vec());
        }
        self.lost = Some(lost);
        Some(pause)
    }

    /// Counts a guard that was given up as ended once it is dead, though a tracer may keep it from being reaped.
    fn bury(&mut self, lost: &mut LostGuards) {
        for pid in &self.given_up {
            if ProcessStat::read(*pid).is_some_and(|stat| stat.is_dead()) {
                lost.waiting.extend(self.guards.remove(pid).map(|guard| guard.ended));
            }
        }
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
    /// Answers all runs that wait.
    fn tell(&mut self, unkillable: Vec<Stray>) {
        let strays = self.sweep.strays().iter();
        let ended = strays.filter(|stray| !unkillable.contains(stray)).cloned().collect();
        let strays = Strays { ended, unkillable };
        for run in self.waiting.drain(..) {
            // If nobody is there to be told, the run was dropped.
            run.send(GuardEnd::Lost(strays.clone())).ok();
        }
    }
}

impl Inherited {
    fn living(&self) -> impl Iterator<Item = Stray> {
        let living = self.processes.iter().filter(|(stray, start)| lives(stray.pid, *start));
        living.map(|(stray, _)| stray.clone())
    }

    /// Kills them once more if it is time. Returns when to come back, if any is left.
    fn kill_when_due(&mut self) -> Option<Duration> {
        if self.processes.is_empty() {
            return None;
        }
        let now = now();
        if now >= self.next_kill {
            self.next_kill = now + HOPELESS_PAUSE;
            self.processes
                .retain(|(stray, start)| kill::process_that_began(stray.pid, *start) != KillOutcome::Gone);
        }
        Some(self.next_kill - now)
    }
}

impl fmt::Debug for Children {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Children")
            .field("guards", &self.guards.keys())
            .finish_non_exhaustive()
    }
}

fn own_pid() -> i32 {
    getpid().as_raw()
}
