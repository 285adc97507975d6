// SPDX-License-Identifier: GPL-3.0-or-later

//! `bench soak [TREES [SEED]]`: process trees of random shape, each ended at a random moment in a random way. After each,
//! nothing of it may be left: no process that bears its tag, no child of ours. Whatever it does, the same seed does
//! again, as far as the machine's own timing lets it. First without control groups, then with them where they can be had.
//!
//! ```text
//! soak ─► Launcher ─► guard (the real binary) ─► tree (this program again) ─► tree ...
//!   └─ end: by itself, asked, at once, given up, its guard killed
//! ```

#![expect(clippy::print_stdout, reason = "this program's figures are its output")]
#![expect(clippy::print_stderr, reason = "it says what has failed")]
#![expect(clippy::disallowed_methods, reason = "it starts itself")]

pub(crate) mod tree;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use fastrand::Rng;
use flamenco_worker::abort::{AbortReason, AbortSource};
use flamenco_worker::process::{Finished, Launcher, ProcessEvent, StartError};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::time::{Instant, sleep};

use crate::contender;
use crate::launch::{spec, with_launcher};

/// The first argument that asks for this.
pub(crate) const ROLE: &str = "soak";
/// And what it starts itself with.
pub(crate) const ONE_WAY: &str = "soak-one-way";
const TREES: u64 = 10_000;
/// Trees grow for less than this, in microseconds, before they are ended: about as long as one takes to be whole.
const YOUTH: u64 = 60_000;
/// From SIGTERM to SIGKILL.
const GRACE: Duration = Duration::from_millis(10);
/// How long a tree that nobody waits for may take to be gone.
const PATIENCE: Duration = Duration::from_secs(20);

/// How a tree is ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum End {
    /// By itself; what outlives it is swept. Some never end, and are asked after all.
    Itself,
    Asked,
    AtOnce,
    /// Nobody waits for it any more.
    GivenUp,
    GuardKilled,
    GuardKilledAndAsked,
}

const ENDS: [End; 6] = [
    End::Itself,
    End::Asked,
    End::AtOnce,
    End::GivenUp,
    End::GuardKilled,
    End::GuardKilledAndAsked,
];

/// What a soak came to.
#[derive(Debug, Default)]
struct Totals {
    ends: BTreeMap<End, u64>,
    /// Alive when their tree was ended.
    processes: usize,
    strays: usize,
    worst: Duration,
}

/// `soak [TREES [SEED]]`
pub(crate) fn main(words: &[String]) -> ExitCode {
    let numbers: Option<Vec<u64>> = words.iter().map(|word| word.parse().ok()).collect();
    let Some(numbers) = numbers.filter(|numbers| numbers.len() <= 2) else {
        eprintln!("bench soak [TREES [SEED]]");
        return ExitCode::from(2);
    };
    let trees = numbers.first().copied().unwrap_or(TREES);
    let clock = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let seed = numbers
        .get(1)
        .copied()
        .unwrap_or_else(|| u64::from(clock().subsec_nanos()));
    println!("soak: {trees} trees, seed {seed}");
    said(both(trees, seed).map_err(|why| format!("{why} (seed {seed})")))
}

fn said(done: Result<(), String>) -> ExitCode {
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

/// In a process of its own: a launcher is for one process, and so is a group.
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
        return said(run("without control groups", trees, seed));
    }
    let enter = fs::write(Path::new(group).join("cgroup.procs"), "0");
    let entered = enter.map_err(|error| format!("{group}: {error}"));
    said(entered.and_then(|()| run("with control groups", trees, seed)))
}

fn run(way: &str, trees: u64, seed: u64) -> Result<(), String> {
    let begin = Instant::now();
    let mut totals = Totals::default();
    let mut chance = Rng::with_seed(seed);
    with_launcher(
        &contender::ours()?,
        &format!("soak-{}", std::process::id()),
        async |launcher| {
            for number in 0..trees {
                let tree = Tree::new(number, chance.u64(..));
                let done = tree.live_and_die(launcher, &mut totals).await;
                done.and(tree.nothing_left(launcher).await)
                    .map_err(|why| format!("{way}: tree {number}, {:?}: {why}", tree.end))?;
            }
            Ok::<_, String>(())
        },
    )??;
    println!(
        "{way}: {trees} trees ended, 0 survivors; {} processes lived at an end, {} strays named; worst end {:?}; {:.1} s; {:?}",
        totals.processes,
        totals.strays,
        totals.worst,
        begin.elapsed().as_secs_f64(),
        totals.ends
    );
    Ok(())
}

/// One tree: when and how it is to end.
struct Tree {
    tag: String,
    seed: u64,
    end: End,
    youth: Duration,
}

impl Tree {
    fn new(number: u64, seed: u64) -> Self {
        let mut chance = Rng::with_seed(seed ^ number);
        let kinds = ENDS.len() as u64;
        let kind = usize::try_from(chance.u64(..kinds)).unwrap_or(0);
        Self {
            tag: format!("tag-{}-{number}-{seed}", std::process::id()),
            seed,
            end: ENDS[kind],
            youth: Duration::from_micros(chance.u64(..YOUTH)),
        }
    }

    async fn live_and_die(&self, launcher: &Launcher, totals: &mut Totals) -> Result<(), String> {
        let numbers = [self.seed, tree::DEPTH, tree::LIVES].map(|number| number.to_string());
        let [seed, depth, lives] = &numbers;
        let own = std::env::current_exe().map_err(|error| error.to_string())?;
        let spec = spec(&own, &[tree::ROLE, &self.tag, seed, depth, lives], GRACE);
        let (source, mut abort) = AbortSource::new();
        let mut hear = |_: ProcessEvent<'_>| {};
        let mut run = std::pin::pin!(launcher.run(&spec, &mut abort, &mut hear));
        *totals.ends.entry(self.end).or_default() += 1;
        tokio::select! {
            biased;
            ended = &mut run => return told(ended, totals),
            () = sleep(self.youth) => {}
        }
        totals.processes += self.living().len();
        let begin = Instant::now();
        match self.end {
            End::Asked => source.raise(AbortReason::Shutdown),
            End::AtOnce => source.raise(AbortReason::Force),
            // The future goes with this function.
            End::GivenUp => return Ok(()),
            End::GuardKilled => kill_guard(),
            End::GuardKilledAndAsked => {
                source.raise(AbortReason::Shutdown);
                kill_guard();
            }
            End::Itself => {}
        }
        let ended = tokio::select! {
            ended = &mut run => ended,
            () = sleep(self.youth), if self.end == End::Itself => {
                source.raise(AbortReason::Shutdown);
                run.await
            }
        };
        totals.worst = totals.worst.max(begin.elapsed());
        told(ended, totals)
    }

    /// Whoever bears the tag, by name or number.
    fn living(&self) -> Vec<i32> {
        let pids = fs::read_dir("/proc").into_iter().flatten().flatten();
        let pids = pids.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        pids.filter(|pid: &i32| {
            let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            line.split(|byte| *byte == 0).any(|word| word == self.tag.as_bytes())
        })
        .filter(|pid| *pid != std::process::id().cast_signed())
        .collect()
    }

    /// The proof: no child of ours, and nobody with the tag. At once, unless nobody waited for the end.
    async fn nothing_left(&self, launcher: &Launcher) -> Result<(), String> {
        let patience = if self.end == End::GivenUp {
            PATIENCE
        } else {
            Duration::ZERO
        };
        let begin = Instant::now();
        loop {
            let (children, living, survivors) = (children(), self.living(), launcher.survivors());
            if children.is_empty() && living.is_empty() && survivors.is_empty() {
                return Ok(());
            }
            if begin.elapsed() >= patience {
                return Err(format!(
                    "left: {living:?}, children: {children:?}, survivors: {survivors:?}"
                ));
            }
            sleep(Duration::from_millis(1)).await;
        }
    }
}

/// What a run that came to its end has said.
fn told(ended: Result<Finished, StartError>, totals: &mut Totals) -> Result<(), String> {
    match ended {
        Ok(finished) if finished.strays.unkillable.is_empty() => {
            totals.strays += finished.strays.ended.len();
            Ok(())
        }
        Ok(finished) => Err(format!("called unkillable: {:?}", finished.strays.unkillable)),
        // Its guard was killed before it had started anything, or it was aborted so early.
        Err(StartError::Guard(_) | StartError::Aborted(_)) => Ok(()),
        Err(error) => Err(format!("did not start: {error}")),
    }
}

/// There is one guard at a time, and it is our only child.
fn kill_guard() {
    for guard in children() {
        // It may just have ended by itself.
        kill(Pid::from_raw(guard), Signal::SIGKILL).ok();
    }
}

/// Of this process, zombies included.
fn children() -> Vec<i32> {
    let own = std::process::id();
    let list = fs::read_to_string(format!("/proc/{own}/task/{own}/children")).unwrap_or_default();
    list.split_whitespace().filter_map(|word| word.parse().ok()).collect()
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
