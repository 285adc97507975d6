// SPDX-License-Identifier: GPL-3.0-or-later

//! What is left when it is over: what the programs noted against what the Manager was told.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::time::Duration;

use standin_manager::StandIn;
use test_bed::processes;

use super::mischief::Mischief;
use super::node::Node;
use super::text;

/// Between the last word of a program and the outcome on disk lie its exit, the guard's message and the write: whoever
/// kills the worker or the guard within this time (in seconds) makes the run go unseen. A stray that holds the output adds
/// the linger of 0.2 s.
const UNSEEN: f64 = 0.5;

/// One run of a task's program.
#[derive(Debug, Clone, PartialEq)]
struct Run {
    /// The mark of its node.
    node: String,
    /// Its start, as it named itself.
    name: String,
    /// Seconds since 1970, if it came to its end.
    ended: Option<f64>,
}

pub(super) struct Account {
    mischief: Mischief,
    pub(super) took: Duration,
    /// The mark of the node, and when somebody was killed there, in seconds since 1970.
    kills: Vec<(String, f64)>,
    tasks: usize,
    runs: usize,
    unseen: usize,
    lines: usize,
    counted: usize,
    wrong: Vec<String>,
}

impl Account {
    pub(super) fn begin(mischief: Mischief) -> Self {
        Self {
            mischief,
            took: Duration::ZERO,
            kills: Vec::new(),
            tasks: 0,
            runs: 0,
            unseen: 0,
            lines: 0,
            counted: 0,
            wrong: Vec::new(),
        }
    }

    pub(super) fn is_clean(&self) -> bool {
        self.wrong.is_empty()
    }

    /// The worker leaves, and nothing of it may stay: no process, no temporary directory, no report that waits.
    pub(super) fn node(&mut self, node: &mut Node) -> Result<(), String> {
        let mark = node.mark()?;
        match node.stop()? {
            Some(status) if status.success() => {}
            // It had just been started, and had nothing to lose yet.
            Some(status) if status.signal() == Some(nix::libc::SIGTERM) => {}
            status => self
                .wrong
                .push(format!("a worker left with {status:?}\n{}", node.log())),
        }
        self.kills.extend(node.kills.iter().map(|time| (mark.clone(), *time)));
        self.wrong.extend(
            marked(&mark)
                .into_iter()
                .map(|process| format!("left running: {process}")),
        );
        let waiting = fs::read_dir(node.home().join("spool")).into_iter().flatten().flatten();
        let reports = waiting.filter(|entry| entry.path().join("task.json").exists());
        self.wrong
            .extend(reports.map(|entry| format!("not delivered: {}", entry.path().display())));
        let left = fs::read_dir(node.temporary()).map_err(text)?.flatten();
        self.wrong
            .extend(left.map(|entry| format!("left behind: {}", entry.path().display())));
        Ok(())
    }

    pub(super) fn tasks(&mut self, manager: &StandIn, job: &str, ledger: &Path) -> Result<(), String> {
        let runs = runs(&fs::read_to_string(ledger).map_err(text)?);
        for (index, task) in manager.tasks(job).iter().enumerate() {
            self.tasks += 1;
            let runs = runs.get(&index).map(Vec::as_slice).unwrap_or_default();
            self.runs += runs.len();
            let ended: Vec<_> = runs.iter().filter(|run| run.ended.is_some()).collect();
            let unseen = ended.iter().filter(|run| self.went_unseen(run)).count();
            self.unseen += unseen;
            let asked = 1 + self.mischief.asked_again.get(&task.id).copied().unwrap_or(0);
            if ended.len() > asked + unseen {
                self.wrong.push(format!(
                    "{} ({}) was done {} times, asked for {asked} times: {runs:?}\n{}",
                    task.name,
                    task.id,
                    ended.len(),
                    story(manager, &task.id)
                ));
            }
            let Some(last) = ended.last() else {
                self.wrong
                    .push(format!("{} is completed, and no run of it came to its end", task.name));
                continue;
            };
            self.log(&task.name, &manager.task_log(&task.id), &last.name);
        }
        Ok(())
    }

    fn went_unseen(&self, run: &Run) -> bool {
        let end = run.ended.unwrap_or(f64::INFINITY);
        let just_after = |kill: &f64| (0.0..UNSEEN).contains(&(kill - end));
        self.kills
            .iter()
            .any(|(node, kill)| *node == run.node && just_after(kill))
    }

    /// All lines of the run in order, or counted. A piece whose answer was lost is there twice.
    fn log(&mut self, task: &str, log: &str, run: &str) {
        let own = format!(" in run {run}");
        let mut seen = 0;
        let mut all = 0;
        let mut counted = 0;
        for line in log.lines() {
            if let Some(missing) = line
                .strip_prefix("[... ")
                .and_then(|rest| rest.split(' ').next()?.parse::<usize>().ok())
            {
                counted += usize::from(all > 0) * missing;
            }
            let Some(numbers) = line.strip_suffix(&own).and_then(|line| line.split_once("> line ")) else {
                continue;
            };
            let Some((number, of)) = numbers.1.split_once(" of ") else {
                continue;
            };
            let (Ok(number), Ok(of)) = (number.parse::<usize>(), of.parse::<usize>()) else {
                continue;
            };
            all = of;
            if number == seen + 1 || (number > seen && counted > 0) {
                seen = number;
            } else if number > seen {
                self.wrong
                    .push(format!("{task}: line {number} comes after line {seen}"));
                seen = number;
            }
        }
        self.lines += all;
        self.counted += counted;
        if all == 0 || seen != all {
            self.wrong
                .push(format!("{task}: the log of run {run} ends at line {seen} of {all}"));
        }
    }
}

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (deed, times) in &self.mischief.done {
            writeln!(f, "{times:>6} {}", deed.words())?;
        }
        let Self {
            tasks,
            runs,
            unseen,
            lines,
            counted,
            ..
        } = self;
        writeln!(
            f,
            "{tasks:>6} tasks completed in {runs} runs; {unseen} ended unseen, as their worker or guard was killed"
        )?;
        writeln!(
            f,
            "{lines:>6} lines of log arrived in order, {counted} of them counted as missing"
        )?;
        writeln!(
            f,
            "{:>6} things wrong, after {:.1} s",
            self.wrong.len(),
            self.took.as_secs_f64()
        )?;
        self.wrong.iter().try_for_each(|wrong| writeln!(f, "WRONG: {wrong}"))
    }
}

/// What the Manager was asked about a task.
fn story(manager: &StandIn, task: &str) -> String {
    let requests = manager.requests().into_iter();
    let about = requests.filter(|seen| seen.task.as_deref() == Some(task));
    let worker = |seen: &standin_manager::Seen| seen.worker.clone().unwrap_or_default();
    let lines = about.map(|seen| format!("  {} {seen}\n", &worker(&seen)[..4.min(worker(&seen).len())]));
    lines.collect::<String>()
}

/// The ledger's lines, by task: `start TASK RUN TIME NODE` and `end TASK RUN TIME NODE`.
fn runs(ledger: &str) -> BTreeMap<usize, Vec<Run>> {
    let mut runs: BTreeMap<usize, Vec<Run>> = BTreeMap::new();
    for line in ledger.lines() {
        let words: Vec<_> = line.split(' ').collect();
        let [what, task, name, time, node] = words.as_slice() else {
            continue;
        };
        let (Ok(task), Ok(time)) = (task.parse(), time.parse()) else {
            continue;
        };
        let of_task = runs.entry(task).or_default();
        match *what {
            "start" => of_task.push(Run {
                node: (*node).to_owned(),
                name: (*name).to_owned(),
                ended: None,
            }),
            _ => of_task
                .iter_mut()
                .filter(|run| run.name == *name)
                .for_each(|run| run.ended = Some(time)),
        }
    }
    runs
}

/// Living processes with this mark.
fn marked(mark: &str) -> Vec<String> {
    let ours = processes().into_iter().filter(|process| process.bears_mark(mark));
    ours.map(|process| format!("{process:?}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account() -> Account {
        Account::begin(Mischief::new(fastrand::Rng::with_seed(1)))
    }

    #[test]
    fn runs_are_read_from_the_ledger() {
        let read = runs("start 3 1.5 1.5 a\nstart 3 2.5 2.5 b\nend 3 2.5 2.75 b\nnonsense\n");
        let run = |node: &str, name: &str, ended| Run {
            node: node.to_owned(),
            name: name.to_owned(),
            ended,
        };
        assert_eq!(read[&3], [run("a", "1.5", None), run("b", "2.5", Some(2.75))]);
    }

    #[test]
    fn a_whole_log_passes_also_with_a_piece_sent_twice_and_a_counted_gap() {
        let mut account = account();
        let log = "pid=1 > line 1 of 3 in run 9\npid=1 > line 2 of 3 in run 9\npid=1 > line 1 of 3 in run 9\n\
                   pid=1 > line 2 of 3 in run 9\npid=1 > line 3 of 3 in run 9\n";
        account.log("t", log, "9");
        let gap = "pid=1 > line 1 of 3 in run 8\n[... 1 lines\npid=1 > line 3 of 3 in run 8\n";
        account.log("t", gap, "8");
        assert_eq!(account.wrong, Vec::<String>::new());
    }

    #[test]
    fn a_missing_line_and_a_missing_end_are_wrong() {
        let mut account = account();
        account.log("t", "p > line 1 of 3 in run 9\np > line 3 of 3 in run 9\n", "9");
        assert!(
            account.wrong[0].contains("line 3 comes after line 1"),
            "{:?}",
            account.wrong
        );
        account.log("u", "p > line 1 of 2 in run 9\n", "9");
        assert!(account.wrong[1].contains("ends at line 1 of 2"), "{:?}", account.wrong);
    }

    #[test]
    fn only_a_kill_just_after_the_end_excuses_a_second_run() {
        let mut account = account();
        account.kills = vec![("a".to_owned(), 10.0)];
        let run = |node: &str, ended| Run {
            node: node.to_owned(),
            name: String::new(),
            ended,
        };
        assert!(account.went_unseen(&run("a", Some(9.9))));
        assert!(!account.went_unseen(&run("b", Some(9.9))));
        assert!(!account.went_unseen(&run("a", Some(10.1))));
        assert!(!account.went_unseen(&run("a", Some(9.0))));
        assert!(!account.went_unseen(&run("a", None)));
    }
}
