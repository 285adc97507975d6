// SPDX-License-Identifier: GPL-3.0-or-later

//! `bench soak [TREES [SEED]]`: process trees of random shape, each the task of a real worker, each ended at a random moment
//! in a random way, some after pauses or in one (`pauses`). After each, nothing of it may be left: no process that bears its tag, no child of the worker. What a
//! seed does it does again, as far as the machine's own timing lets it. First without control groups, then with them
//! where they can be had.
//!
//! ```text
//! soak ─► stand-in ─► worker ─► guard ─► tree (this program again) ─► tree ...
//!   └─ end: by itself, its job cancelled, its guard killed, both
//! ```

#![expect(clippy::print_stdout, reason = "this program's figures are its output")]
#![expect(clippy::print_stderr, reason = "it says what has failed")]

mod pauses;
pub(crate) mod tree;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use fastrand::Rng;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::json;
use standin_manager::{CommandSpec, Task, TaskStatus};
use test_bed::{children, processes};

use self::pauses::{PauseTotals, Pauses};
use crate::contender::{self, Contender, Kind};
use crate::node::Node;

/// The first argument that asks for this.
pub(crate) const ROLE: &str = "soak";
/// And what it starts itself with.
pub(crate) const ONE_WAY: &str = "soak-one-way";
const TREES: u64 = 10_000;
/// Trees grow for less than this, in microseconds, before they are ended: about as long as one takes to be whole.
const YOUTH: u64 = 60_000;
/// How long a tree may take to be gone once its end was asked for.
const PATIENCE: Duration = Duration::from_secs(20);
/// How often that is looked at.
const LOOK: Duration = Duration::from_millis(1);
/// A guard's end is no fault of the node here, and nothing is waited for.
const CONFIGURATION: &str = r#"
[node]
strikes = 0
[timings]
first_may_i_run = "20ms"
may_i_run = "20ms"
idle_min = "10ms"
idle_max = "20ms"
log_flush = "50ms"
grace = "10ms"
output_drain = "20ms"
linger = "80ms"
"#;

/// How a tree is ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum End {
    /// By itself; what outlives it is swept. Some never end, and are cancelled after all.
    Itself,
    Cancelled,
    GuardKilled,
    GuardKilledAndCancelled,
}

const ENDS: [End; 4] = [
    End::Itself,
    End::Cancelled,
    End::GuardKilled,
    End::GuardKilledAndCancelled,
];

/// What a soak came to.
#[derive(Debug, Default)]
struct Totals {
    ends: BTreeMap<End, u64>,
    /// Alive when their tree was ended.
    processes: usize,
    strays: usize,
    worst: Duration,
    pauses: PauseTotals,
}

/// `soak [TREES [SEED]]`
pub(crate) fn main(words: &[String]) -> ExitCode {
    let numbers: Option<Vec<u64>> = words.iter().map(|word| word.parse().ok()).collect();
    let Some(numbers) = numbers.filter(|numbers| numbers.len() <= 2) else {
        eprintln!("bench soak [TREES [SEED]]");
        return ExitCode::from(2);
    };
    let trees = numbers.first().copied().unwrap_or(TREES);
    let clock = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let seed = numbers.get(1).copied().unwrap_or(clock.subsec_nanos().into());
    println!("soak: {trees} trees, seed {seed}");
    exit_code(both(trees, seed).map_err(|why| format!("{why} (seed {seed})")))
}

fn exit_code(done: Result<(), String>) -> ExitCode {
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("bench soak: {why}");
            ExitCode::FAILURE
        }
    }
}

/// Half of the trees each way.
fn both(trees: u64, seed: u64) -> Result<(), String> {
    // Built now, if it has to be.
    contender::ours()?;
    let Some(group) = Group::make() else {
        one_way(trees, seed, Path::new(""))?;
        println!("with control groups: SKIPPED, none can be made here");
        return Ok(());
    };
    one_way(trees / 2, seed, Path::new(""))?;
    one_way(trees - trees / 2, Rng::with_seed(seed).u64(..), &group.0)?;
    let left = group.below();
    if left.is_empty() {
        Ok(())
    } else {
        Err(format!("control groups are left: {left:?}"))
    }
}

/// In a process of its own, which can be put into a group.
fn one_way(trees: u64, seed: u64, group: &Path) -> Result<(), String> {
    let own = std::env::current_exe().map_err(|error| error.to_string())?;
    let numbers = [trees, seed].map(|number| number.to_string());
    let status = Command::new(own).arg(ONE_WAY).args(numbers).arg(group).status();
    match status {
        Ok(status) if status.success() => Ok(()),
        Ok(_) => Err("see above".into()),
        Err(error) => Err(error.to_string()),
    }
}

/// `soak-one-way TREES SEED GROUP`
pub(crate) fn one_way_main(words: &[String]) -> ExitCode {
    let [trees, seed, group] = words else {
        return ExitCode::from(2);
    };
    let (Ok(trees), Ok(seed)) = (trees.parse(), seed.parse()) else {
        return ExitCode::from(2);
    };
    if group.is_empty() {
        return exit_code(run("without control groups", trees, seed));
    }
    let enter = fs::write(Path::new(group).join("cgroup.procs"), "0");
    let entered = enter.map_err(|error| format!("{group}: {error}"));
    exit_code(entered.and_then(|()| run("with control groups", trees, seed)))
}

fn run(way: &str, trees: u64, seed: u64) -> Result<(), String> {
    let begin = Instant::now();
    let mut totals = Totals::default();
    let mut chance = Rng::with_seed(seed);
    let node = Node::awake(&Contender {
        title: ROLE,
        binary: contender::ours()?,
        kind: Kind::Ours {
            configuration: CONFIGURATION.to_owned(),
        },
    })?;
    for number in 0..trees {
        let tree = Tree::new(number, chance.u64(..));
        tree.live_and_die(&node, &mut totals)
            .map_err(|why| format!("{way}: tree {number}, {:?}: {why}", tree.end))?;
        node.manager.clear_requests();
    }
    println!(
        "{way}: {trees} trees ended, 0 survivors; {} processes lived at an end, {} strays named; worst end {:?}; {:.1} s; {:?}; {:?}",
        totals.processes,
        totals.strays,
        totals.worst,
        begin.elapsed().as_secs_f64(),
        totals.ends,
        totals.pauses
    );
    Ok(())
}

/// One tree: when and how it is to end.
struct Tree {
    tag: String,
    seed: u64,
    end: End,
    youth: Duration,
    pauses: Pauses,
}

impl Tree {
    fn new(number: u64, seed: u64) -> Self {
        let mut chance = Rng::with_seed(seed ^ number);
        Self {
            tag: format!("tag-{}-{number}-{seed}", std::process::id()),
            seed,
            end: ENDS[chance.usize(..ENDS.len())],
            youth: Duration::from_micros(chance.u64(..YOUTH)),
            pauses: Pauses::new(&mut chance),
        }
    }

    fn live_and_die(&self, node: &Node, totals: &mut Totals) -> Result<(), String> {
        let job = node.submit(&self.command()?)?;
        node.wait("the tree's task to be taken", |farm| {
            farm.tasks(&job).find(|task| task.worker.is_some()).map(|_| ())
        })?;
        std::thread::sleep(self.youth);
        let living = || self.living();
        self.pauses.go_by(node, &living, &mut totals.pauses)?;
        *totals.ends.entry(self.end).or_default() += 1;
        totals.processes += self.living().len();
        let begin = Instant::now();
        if matches!(self.end, End::GuardKilled | End::GuardKilledAndCancelled) {
            kill_guard(node);
        }
        if matches!(self.end, End::Cancelled | End::GuardKilledAndCancelled) {
            cancel(node, &job);
        }
        self.nothing_left(node, &job, begin)?;
        self.pauses.resume(node, &living)?;
        totals.worst = totals.worst.max(begin.elapsed());
        let log = node.manager.look(|farm| {
            let task = farm.tasks(&job).next();
            task.map(|task| farm.log(&task.id)).unwrap_or_default()
        });
        if log.contains("cannot be ended") {
            return Err(log);
        }
        let strays = log.lines().filter(|line| line.contains("left behind and ended: "));
        totals.strays += strays.map(|line| line.matches(" (pid ").count()).sum::<usize>();
        Ok(())
    }

    fn command(&self) -> Result<CommandSpec, String> {
        let own = std::env::current_exe().map_err(|error| error.to_string())?;
        let numbers = [self.seed, tree::DEPTH, tree::LIVES].map(|number| number.to_string());
        let [seed, depth, lives] = &numbers;
        let arguments = [tree::ROLE, &self.tag, seed, depth, lives];
        Ok(CommandSpec::new("exec", json!({ "exe": own, "args": arguments })))
    }

    /// Those that bear the tag.
    fn living(&self) -> Vec<i32> {
        let living = processes()
            .into_iter()
            .filter(|process| process.has_argument(&self.tag));
        living.map(|process| process.pid).collect()
    }

    /// The proof: no child of the worker, and no process with the tag; at once, where the worker itself said that it is over.
    /// A tree that does not end by itself within its youth is cancelled, and so is one that was begun anew for its guard's sake.
    fn nothing_left(&self, node: &Node, job: &str, begin: Instant) -> Result<(), String> {
        let mut patient = matches!(self.end, End::Itself | End::GuardKilled);
        loop {
            let told_over = node.manager.tasks(job).iter().all(over_for_the_worker);
            let (living, children) = (self.living(), children(node.worker.pid().cast_signed()));
            if living.is_empty() && children.is_empty() && node.manager.tasks(job).iter().all(over) {
                return Ok(());
            }
            if (told_over && !living.is_empty()) || begin.elapsed() > PATIENCE {
                let log = node.worker.log();
                return Err(format!(
                    "left: {living:?}, children: {children:?}; the worker's log ends:\n{log}"
                ));
            }
            if patient && begin.elapsed() > self.youth {
                patient = false;
                cancel(node, job);
            }
            std::thread::sleep(LOOK);
        }
    }
}

fn over(task: &Task) -> bool {
    over_for_the_worker(task) || task.status == TaskStatus::Canceled
}

/// As the worker has told it: the Manager knows by itself of a cancelled one only.
fn over_for_the_worker(task: &Task) -> bool {
    matches!(
        task.status,
        TaskStatus::Completed | TaskStatus::Failed | TaskStatus::SoftFailed
    )
}

fn cancel(node: &Node, job: &str) {
    // It may be over.
    node.manager.cancel_job(job).ok();
}

/// There is one guard at a time, and it is the worker's only child.
fn kill_guard(node: &Node) {
    for guard in children(node.worker.pid().cast_signed()) {
        // It may just have ended by itself.
        kill(Pid::from_raw(guard), Signal::SIGKILL).ok();
    }
}

/// A control group of this soak's own, of version 2.
struct Group(PathBuf);

impl Group {
    fn make() -> Option<Self> {
        let mount = ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"]
            .map(Path::new)
            .into_iter()
            .find(|mount| mount.join("cgroup.controllers").exists())?;
        let own = fs::read_to_string("/proc/self/cgroup").ok()?;
        let own = own.lines().find_map(|line| line.strip_prefix("0::/"))?;
        let folder = mount.join(own).join(format!("flamenco-soak-{}", std::process::id()));
        fs::create_dir(&folder).ok()?;
        Some(Self(folder))
    }

    fn below(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(&self.0).into_iter().flatten().flatten();
        entries.map(|entry| entry.path()).filter(|path| path.is_dir()).collect()
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        for below in self.below() {
            fs::remove_dir(below).ok();
        }
        fs::remove_dir(&self.0).ok();
    }
}
