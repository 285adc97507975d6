// SPDX-License-Identifier: GPL-3.0-or-later

//! `bench process`: what it costs that each program has a guard. Its start beside a plain spawn's, and how long after an
//! abort the last process is gone, beside a plain `kill` of the same.

#![expect(clippy::print_stdout, reason = "this program's figures are its output")]
#![expect(clippy::print_stderr, reason = "it says why it cannot measure")]
#![expect(clippy::disallowed_methods, reason = "plain programs are started to compare with")]

use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;

use flamenco_worker::abort::{AbortReason, AbortSource};
use flamenco_worker::process::{Launcher, ProcessEvent, ProcessSpec};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::time::Instant;

use crate::contender;
use crate::figures::Times;
use crate::launch::{spec, with_launcher};

/// The first argument that asks for this.
pub(crate) const ROLE: &str = "process";
const ROUNDS: usize = 30;
/// Longer than any of these programs takes to obey.
const GRACE: Duration = Duration::from_secs(10);

/// What is aborted: its name, and a script that says `up` when all of it runs.
const TREES: [(&str, &str); 3] = [
    ("one process", "echo up; exec sleep 1000"),
    (
        "a tree of 200",
        "for i in $(seq 199); do sleep 1000 & done; echo up; wait",
    ),
    (
        "a tree of 200, each in a session of its own",
        "for i in $(seq 199); do setsid sleep 1000 & done; echo up; wait",
    ),
];

pub(crate) fn main() -> ExitCode {
    match measure() {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("bench process: {why}");
            ExitCode::FAILURE
        }
    }
}

fn measure() -> Result<(), String> {
    let worker = contender::ours()?;
    let text = |error: std::io::Error| error.to_string();
    let plain_start = rounds(plain_start).map_err(text)?;
    let mut plain_ends = Vec::new();
    for (_, script) in TREES {
        plain_ends.push(rounds(|| plain_end(script)).map_err(text)?);
    }
    with_launcher(&worker, "bench-process", async |launcher| {
        let mut starts = Vec::new();
        for _ in 0..ROUNDS {
            starts.push(start(launcher).await?);
        }
        row("start of a program", &starts, &plain_start, "goal 5 ms more");
        for ((name, script), plain) in TREES.iter().zip(&plain_ends) {
            let mut ends = Vec::new();
            for _ in 0..ROUNDS {
                ends.push(end(launcher, script).await?);
            }
            row(
                &format!("abort to nothing left: {name}"),
                &ends,
                plain,
                "goal 100 ms more",
            );
        }
        Ok(())
    })?
}

fn rounds(once: impl Fn() -> std::io::Result<Duration>) -> std::io::Result<Vec<Duration>> {
    (0..ROUNDS).map(|_| once()).collect()
}

fn row(what: &str, guarded: &[Duration], plain: &[Duration], goal: &str) {
    let times = |times: &[Duration]| times.iter().copied().collect::<Times>();
    println!("{what:<50} {}; plain: {}; {goal}", times(guarded), times(plain));
}

fn plain_start() -> std::io::Result<Duration> {
    let begin = Instant::now();
    let mut child = Command::new("/bin/true").spawn()?;
    let took = begin.elapsed();
    child.wait()?;
    Ok(took)
}

/// SIGTERM for the group, SIGKILL where it has sessions that it does not reach, until nobody of it is left.
fn plain_end(script: &str) -> std::io::Result<Duration> {
    let mut command = Command::new("bash");
    let mut child = command
        .args(["-c", script])
        .stdout(Stdio::piped())
        .process_group(0)
        .spawn()?;
    let mut up = String::new();
    if let Some(output) = child.stdout.take() {
        BufReader::new(output).read_line(&mut up)?;
    }
    let pid = Pid::from_raw(child.id().cast_signed());
    let elsewhere = children_of(pid);
    let begin = Instant::now();
    kill(Pid::from_raw(-pid.as_raw()), Signal::SIGTERM)?;
    for pid in &elsewhere {
        // Most were of the group, and are gone.
        kill(*pid, Signal::SIGKILL).ok();
    }
    child.wait()?;
    while !elsewhere.iter().all(|pid| is_gone(*pid)) {
        std::thread::yield_now();
    }
    Ok(begin.elapsed())
}

/// Or dead, and not yet taken by whoever has inherited it.
fn is_gone(pid: Pid) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit(')')
        .next()
        .is_none_or(|rest| rest.is_empty() || rest.starts_with(" Z"))
}

fn children_of(pid: Pid) -> Vec<Pid> {
    let list = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    let pids = list.split_whitespace().filter_map(|word| word.parse().ok());
    pids.map(Pid::from_raw).collect()
}

async fn start(launcher: &Launcher) -> Result<Duration, String> {
    let (_source, mut abort) = AbortSource::new();
    let begin = Instant::now();
    let mut took = Duration::ZERO;
    let mut hear = |heard: ProcessEvent<'_>| {
        if let ProcessEvent::Started { .. } = heard {
            took = begin.elapsed();
        }
    };
    let spec = spec(Path::new("/bin/true"), &[], GRACE);
    launcher
        .run(&spec, &mut abort, &mut hear)
        .await
        .map_err(|error| error.to_string())?;
    Ok(took)
}

async fn end(launcher: &Launcher, script: &str) -> Result<Duration, String> {
    let spec: ProcessSpec = spec(Path::new("bash"), &["-c", script], GRACE);
    let (source, mut abort) = AbortSource::new();
    let mut begin = Instant::now();
    let mut hear = |heard: ProcessEvent<'_>| {
        if heard == ProcessEvent::Line("up") {
            begin = Instant::now();
            source.raise(AbortReason::Shutdown);
        }
    };
    launcher
        .run(&spec, &mut abort, &mut hear)
        .await
        .map_err(|error| error.to_string())?;
    Ok(begin.elapsed())
}
