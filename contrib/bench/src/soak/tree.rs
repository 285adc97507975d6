// SPDX-License-Identifier: GPL-3.0-or-later

//! A process tree of random shape: this program again, at each of its nodes. Bounded: a node has at most three
//! children, three deep, and follows itself at most ten times.

use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;

use fastrand::Rng;
use nix::sys::signal::{SigSet, Signal, kill};
use nix::unistd::{getpid, setsid};

/// The first argument that makes this program a node.
pub(crate) const ROLE: &str = "tree";
/// Deepest, and most successors.
pub(crate) const DEPTH: u64 = 3;
pub(crate) const LIVES: u64 = 10;
/// The name of one that stops itself.
pub(crate) const HALTS: &str = "soak-halts";
/// A node that should have been ended ends here, so that a failed soak does not take the machine.
const LONGEST: Duration = Duration::from_secs(60);

/// `tree TAG SEED DEPTH LIVES`
pub(crate) fn main(words: &[String]) -> ExitCode {
    let [tag, numbers @ ..] = words else {
        return ExitCode::from(2);
    };
    let numbers: Vec<u64> = numbers.iter().filter_map(|word| word.parse().ok()).collect();
    let [seed, depth, lives] = numbers[..] else {
        return ExitCode::from(2);
    };
    let mut chance = Rng::with_seed(seed);
    if chance.u8(..3) == 0 {
        // Refused to who leads a group already.
        setsid().ok();
    }
    if chance.u8(..4) == 0 {
        SigSet::all().thread_block().ok();
    }
    // The first always has some; the last never.
    let children = chance.u64(..4).max(u64::from(depth == DEPTH)).min(depth * 4);
    for _ in 0..children {
        start(&mut chance, tag, depth - 1, LIVES);
    }
    match chance.u64(..10) {
        0..3 => ExitCode::from(chance.u8(..3)),
        3..5 if lives > 0 => {
            start(&mut chance, tag, depth, lives - 1);
            ExitCode::SUCCESS
        }
        5 => {
            std::fs::write("/proc/self/comm", HALTS).ok();
            kill(getpid(), Signal::SIGSTOP).ok();
            ExitCode::SUCCESS
        }
        _ => {
            std::thread::sleep(LONGEST);
            ExitCode::SUCCESS
        }
    }
}

/// Another node, which may have no output, no environment, or a group of its own.
fn start(chance: &mut Rng, tag: &str, depth: u64, lives: u64) {
    let mut command = Command::new("/proc/self/exe");
    let numbers = [chance.u64(..), depth, lives].map(|number| number.to_string());
    command
        .arg0("soak")
        .args([ROLE, tag])
        .args(numbers)
        .stdin(Stdio::null());
    if chance.u8(..4) == 0 {
        command.env_clear();
    }
    if chance.u8(..2) == 0 {
        command.stdout(Stdio::null()).stderr(Stdio::null());
    }
    if chance.u8(..4) == 0 {
        command.process_group(0);
    }
    // Who cannot be started for want of processes is not missed.
    command.spawn().ok();
}
