// SPDX-License-Identifier: GPL-3.0-or-later

//! `status --watch`, over the life of several workers.

use std::fs::File;
use std::io::{Read, pipe};
use std::os::fd::{AsFd, OwnedFd};
use std::process::{Child, Stdio};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::pty::openpty;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use super::command;
use test_bed::{Farm, Node, PATIENCE, until};

/// A watch that is read.
struct Watch {
    process: Child,
    input: File,
    /// What was read and is not done with.
    shown: String,
}

impl Watch {
    /// One that writes to `output`, and is read at `input`.
    fn of(node: &Node, words: &[&str], (input, output): (impl Into<OwnedFd>, impl Into<Stdio>)) -> Self {
        let mut watch = command(&node.home(), &[&["--watch"], words].concat());
        Self {
            process: watch.env("TERM", "xterm").stdout(output).spawn().unwrap(),
            input: input.into().into(),
            shown: String::new(),
        }
    }

    /// Waits until what was shown is as `fact` wants it.
    fn until<T>(&mut self, fact: impl Fn(&str) -> Option<T>) -> T {
        let patience = PollTimeout::try_from(PATIENCE).unwrap();
        loop {
            if let Some(found) = fact(&self.shown) {
                return found;
            }
            let mut more = [PollFd::new(self.input.as_fd(), PollFlags::POLLIN)];
            assert_eq!(poll(&mut more, patience), Ok(1), "waited in vain: {}", self.shown);
            let mut piece = [0; 4096];
            let length = self.input.read(&mut piece).unwrap();
            assert!(length > 0, "the watch has ended: {}", self.shown);
            self.shown.push_str(&String::from_utf8_lossy(&piece[..length]));
        }
    }

    /// Waits for a line that is as `fact` wants it; those up to it are done with.
    fn line(&mut self, fact: impl Fn(&str) -> bool) -> String {
        let find = |shown: &str| {
            let mut end = 0;
            let mut whole = shown.split_inclusive('\n').filter(|line| line.ends_with('\n'));
            let found = whole.find(|line| {
                end += line.len();
                fact(line)
            });
            found.map(|line| (line.to_owned(), end))
        };
        let (line, end) = self.until(find);
        self.shown.drain(..end);
        line
    }

    /// The reader goes; nothing has to happen for the watch to notice.
    fn ends(mut self) {
        self.input = File::open("/dev/null").unwrap();
        let ended = || self.process.try_wait().unwrap();
        let status = until("the watch to end", ended, String::new);
        assert_eq!(status.code(), Some(0));
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

#[test]
fn j14_a_watch_goes_on_over_a_restart_and_ends_with_its_reader() {
    let (farm, mut node) = Farm::with_node();
    let is = |word: &'static str| {
        move |line: &str| {
            let seen: Value = serde_json::from_str(line).unwrap();
            seen["state"] == word || seen["activity"] == word
        }
    };
    let mut watch = Watch::of(&node, &["--json"], pipe().unwrap());
    watch.line(is("not running"));
    farm.start(&mut node);
    watch.line(is("idle"));
    let task = farm.running("echo running; until [ -e go ]; do sleep 0.02; done");
    let seen = watch.line(is("running"));
    assert!(seen.contains(&task), "{seen}");
    node.kill();
    watch.line(is("not running"));
    node.start();
    watch.line(is("running"));
    std::fs::write(node.folder.join("go"), "").unwrap();
    farm.completed(&task);
    watch.line(is("idle"));
    watch.ends();
    let mut lines = Watch::of(&node, &[], pipe().unwrap());
    let line = lines.line(|line| line.contains("): idle, last task"));
    // The date and the time of day are in front.
    assert_eq!((line.find(&node.name), line.as_bytes()[4]), (Some(21), b'-'), "{line}");
    assert_eq!(node.stop(), 0);
    lines.line(|line| line.contains("no worker runs in the home"));
    lines.ends();
    node.swept();
    node.nothing_left();
}

#[test]
fn in_a_terminal_a_line_is_written_over_until_something_else_begins() {
    let (farm, mut node) = Farm::with_node();
    let terminal = openpty(None, None).unwrap();
    let mut watch = Watch::of(&node, &[], (terminal.master, terminal.slave));
    let shows = |text: &'static str| move |shown: &str| shown.contains(text).then(|| shown.to_owned());
    watch.until(shows("no worker runs in the home"));
    farm.start(&mut node);
    watch.until(shows(": idle, no task yet"));
    // The seconds since the Manager's last answer change by themselves.
    node.signal(Signal::SIGUSR1);
    let shown = watch.until(shows(": asleep: asked on this machine"));
    let lines: Vec<_> = shown.split('\n').collect();
    let begin = "\r\u{1b}[2K\u{1b}[?7l";
    assert!(lines.iter().all(|line| line.starts_with(begin)), "{shown:?}");
    let told = |number: usize, text: &str| lines[number].contains(text);
    assert!(told(0, "no worker runs") && !told(1, "no worker runs"), "{shown:?}");
    assert!(told(lines.len() - 1, "asleep"), "{shown:?}");
    // A shell without job control has what it runs in the background ignore SIGINT.
    kill(Pid::from_raw(watch.process.id().cast_signed()), Signal::SIGTERM).unwrap();
    watch.process.wait().unwrap();
    node.finish();
}
