// SPDX-License-Identifier: GPL-3.0-or-later

//! `bench chaos [--seed N] [--tasks N] [--nodes N]`: a farm on which everything goes wrong at random, and then an account
//! of what was lost. The same seed makes the same plan; what the processes make of it is theirs.
//!
//! ```text
//! seed ─► mischief ─► StandIn: errors, hangs, cuts, restarts      ╮
//!                 └─► nodes: worker, guard, both killed, stopped, ├─► ledger (what the programs did)  ─► account
//!                            disk full                            ╯   logs (what the Manager was told) ─┘
//! ```

mod account;
mod mischief;
mod node;

use std::ffi::OsString;
use std::fmt::Write as _;
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use serde_json::json;
use standin_manager::{CommandSpec, JobSpec, Options, StandIn, TaskSpec, TaskStatus};

use account::Account;
use mischief::Mischief;
use node::Node;

use crate::contender;

/// The word on the command line.
pub(crate) const CASE: &str = "chaos";

/// How long an undisturbed farm may take for what is left when the mischief ends.
const CALM: Duration = Duration::from_secs(180);

/// What every program does: notes its start, prints so many numbered lines, leaves something running (some of them), notes
/// its end. A run is named after its start.
const PROGRAM: &str = r#"
ledger=$1 task=$2 lines=$3 pause=$4 stray=$5 run=$EPOCHREALTIME
echo "start $task $run $EPOCHREALTIME $FLAMENCO_WORKER_MARK" >> "$ledger"
for ((line = 1; line <= lines; line++)); do
  echo "line $line of $lines in run $run"
  ((line % 20)) || sleep "$pause"
done
if [[ $stray == yes ]]; then setsid sleep 300 & fi
echo "end $task $run $EPOCHREALTIME $FLAMENCO_WORKER_MARK" >> "$ledger"
"#;

/// What is asked for on the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Plan {
    seed: u64,
    tasks: usize,
    nodes: usize,
}

impl Plan {
    /// # Errors
    /// What is wrong with the words.
    pub(crate) fn parse(words: &[OsString]) -> Result<Self, String> {
        let mut plan = Self {
            seed: fastrand::u64(..),
            tasks: 300,
            nodes: 3,
        };
        let mut words = words.iter().map(|word| word.to_string_lossy());
        while let Some(word) = words.next() {
            let value = words.next().ok_or(format!("{word} needs a number"))?;
            let number: u64 = value.parse().map_err(|_| format!("{word}: {value} is not a number"))?;
            match word.as_ref() {
                "--seed" => plan.seed = number,
                "--tasks" => plan.tasks = usize::try_from(number).unwrap_or(usize::MAX).max(1),
                "--nodes" => plan.nodes = usize::try_from(number).unwrap_or(usize::MAX).max(1),
                _ => return Err(format!("chaos has no option {word}")),
            }
        }
        Ok(plan)
    }
}

/// Runs the farm and prints the account; a failure if anything was lost, done twice or left behind.
#[expect(clippy::print_stdout, clippy::print_stderr, reason = "its account is its output")]
pub(crate) fn main(words: &[OsString]) -> ExitCode {
    let plan = match Plan::parse(words) {
        Ok(plan) => plan,
        Err(error) => {
            eprintln!("bench: {error}");
            return ExitCode::from(2);
        }
    };
    println!("chaos: seed {}, {} tasks, {} nodes", plan.seed, plan.tasks, plan.nodes);
    match run(&plan) {
        Ok(account) => {
            println!("{account}");
            if account.is_clean() {
                ExitCode::SUCCESS
            } else {
                ExitCode::FAILURE
            }
        }
        Err(error) => {
            eprintln!("chaos: {error}\nseed {}", plan.seed);
            ExitCode::FAILURE
        }
    }
}

fn run(plan: &Plan) -> Result<Account, String> {
    let begin = Instant::now();
    let mut random = fastrand::Rng::with_seed(plan.seed);
    let folder = tempfile::Builder::new().prefix("chaos-").tempdir().map_err(text)?;
    let manager = StandIn::start(Options::default()).map_err(text)?;
    let binary = contender::ours()?;
    let mut nodes = (0..plan.nodes)
        .map(|index| Node::new(folder.path(), index, &binary, &manager.url()))
        .collect::<Result<Vec<_>, _>>()?;
    for node in &mut nodes {
        node.start()?;
    }
    let ledger = folder.path().join("ledger");
    let job = manager.submit(job(plan, &mut random, &ledger)).map_err(text)?;
    let mut mischief = Mischief::new(random);
    let mut last = String::new();
    while let Some(progress) = left(&manager, &job) {
        report(&mut last, progress);
        mischief.strike(&manager, &job, &mut nodes)?;
    }
    mischief.end(&manager, &mut nodes)?;
    // What was asked for again at the last moment is done in peace.
    manager.wait_for(CALM, "all tasks to be completed", |farm| {
        farm.tasks(&job)
            .all(|task| task.status == TaskStatus::Completed)
            .then_some(())
    })?;
    let mut account = Account::begin(mischief);
    for node in &mut nodes {
        account.node(node)?;
    }
    account.tasks(&manager, &job, &ledger)?;
    account.took = begin.elapsed();
    Ok(account)
}

/// How far the farm is; `None` when every task is completed.
fn left(manager: &StandIn, job: &str) -> Option<(usize, usize)> {
    let tasks = manager.tasks(job);
    let done = tasks.iter().filter(|task| task.status == TaskStatus::Completed).count();
    (done < tasks.len()).then_some((done, tasks.len()))
}

#[expect(clippy::print_stderr, reason = "it takes minutes")]
fn report(last: &mut String, (done, all): (usize, usize)) {
    let mut now = String::new();
    write!(now, "{} of {all} tasks done", done - done % 20).ok();
    if *last != now {
        eprintln!("{now}");
        *last = now;
    }
}

fn job(plan: &Plan, random: &mut fastrand::Rng, ledger: &Path) -> JobSpec {
    (0..plan.tasks).fold(JobSpec::new("chaos"), |job, index| {
        // Most are short; one in ten says a lot.
        let lines = if random.u8(..10) == 0 {
            random.u32(5_000..20_000)
        } else {
            random.u32(20..400)
        };
        let pause = if lines > 1_000 {
            "0".to_owned()
        } else {
            format!("0.0{}", random.u8(1..9))
        };
        let stray = if random.u8(..4) == 0 { "yes" } else { "no" };
        let arguments = json!([
            "-c",
            PROGRAM,
            "chaos",
            ledger,
            index.to_string(),
            lines.to_string(),
            pause,
            stray
        ]);
        let command = CommandSpec::new("exec", json!({ "exe": "bash", "args": arguments }));
        job.task(TaskSpec::new(&format!("task-{index}")).command(command))
    })
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_is_read_and_what_is_wrong_is_named() {
        let parse = |line: &str| Plan::parse(&line.split_whitespace().map(OsString::from).collect::<Vec<_>>());
        let plan = parse("--seed 7 --tasks 12 --nodes 2").unwrap();
        assert_eq!((plan.seed, plan.tasks, plan.nodes), (7, 12, 2));
        assert_eq!(parse("--seed"), Err("--seed needs a number".to_owned()));
        assert!(parse("--seed x").unwrap_err().contains("x is not a number"));
        assert!(parse("--speed 1").unwrap_err().contains("--speed"));
    }

    #[test]
    fn the_same_seed_makes_the_same_job() {
        let plan = Plan {
            seed: 1,
            tasks: 20,
            nodes: 1,
        };
        let job = |seed| format!("{:?}", job(&plan, &mut fastrand::Rng::with_seed(seed), Path::new("/l")));
        assert_eq!(job(1), job(1));
        assert_ne!(job(1), job(2));
    }
}
