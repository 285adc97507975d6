// SPDX-License-Identifier: GPL-3.0-or-later

//! A worker in a terminal: one line below the log tells how far its task is, and whatever the terminal does, it stops nobody.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use nix::sys::signal::Signal;
use serde_json::json;
use standin_manager::{CommandSpec, JobSpec, TaskSpec, When, WorkerStatus};

use test_bed::{Farm, Node, Strace, Terminal, as_user, dies, logged, open_files, own_user, until};

/// A render of four frames. Each is done when there is a file of its number. A stubborn one has to be killed.
const RENDERER: &str = r#"#!/bin/bash
[ ! -e stubborn ] || trap '' INT TERM
for frame in 1 2 3 4; do
    until [ -e go$frame ]; do sleep 0.02; done
    echo " Time: 00:00.01 (Saving: 00:00.00)"
done
"#;

const CTRL_Q: &str = "\x11";
const CTRL_S: &str = "\x13";
const CTRL_Z: &str = "\x1a";

/// Ends of the bar.
const BAR: [char; 2] = ['▕', '▏'];

/// A worker that is not started yet, and the terminal for it.
struct Stage {
    farm: Farm,
    node: Node,
    terminal: Terminal,
}

impl Stage {
    fn new(rows: u16, columns: u16) -> Self {
        let (farm, mut node) = Farm::with_node();
        node.environment = [
            ("TERM", "xterm-256color"),
            ("LANG", "C.UTF-8"),
            ("LC_ALL", ""),
            ("NO_COLOR", ""),
        ]
        .map(|(name, value)| (name.into(), value.into()))
        .into();
        let renderer = node.folder.join("renderer");
        fs::write(&renderer, RENDERER).unwrap();
        fs::set_permissions(&renderer, PermissionsExt::from_mode(0o755)).unwrap();
        Self {
            farm,
            node,
            terminal: Terminal::new(rows, columns),
        }
    }

    /// Starts the worker, through these words, and a render.
    fn render(&mut self, through: &[&str]) -> String {
        self.node.start_in(&self.terminal, through);
        self.task()
    }

    /// The id of a render that is to be done.
    fn task(&self) -> String {
        let parameters = json!({ "exe": self.node.folder.join("renderer"), "blendfile": "", "args": ["-f", "1..4"] });
        let command = CommandSpec::new("blender-render", parameters).steps(4);
        let task = TaskSpec::new("shot_010").kind("blender").command(command);
        self.farm.job(JobSpec::new("job").task(task)).remove(0)
    }

    /// Lets the renderer do this frame.
    fn frame(&self, number: u32) {
        fs::write(self.node.folder.join(format!("go{number}")), "").unwrap();
    }

    /// The next render waits for this frame again.
    fn take_back(&self, number: u32) {
        fs::remove_file(self.node.folder.join(format!("go{number}"))).unwrap();
    }

    /// Waits until the last row is like this, and returns it.
    fn last_row(&self, what: &str, is_right: impl Fn(&str) -> bool) -> String {
        let last = || self.terminal.rows().into_iter().rfind(|row| !row.is_empty());
        until(
            what,
            || last().filter(|row| is_right(row)),
            || self.terminal.rows().join("\n"),
        )
    }

    /// Waits until there is no live line on the screen.
    fn no_live_line(&self) {
        self.last_row("the live line to be gone", |_| !self.has_bar());
    }

    fn has_bar(&self) -> bool {
        self.terminal.rows().iter().any(|row| row.contains(BAR))
    }
}

/// Whether a row begins as a line of the log does.
fn is_log(row: &str) -> bool {
    let time = row.get(..8).unwrap_or_default();
    let shape: String = time.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
    shape == "00:00:00"
}

#[test]
fn j15_a_line_below_the_log_tells_how_far_a_task_is_and_goes_with_it() {
    let mut stage = Stage::new(300, 500);
    let task = stage.render(&[]);
    let first = stage.last_row("the live line", |row| row.contains("frame 1 of 4"));
    assert!(first.contains("shot_010 ▕   ") && !first.contains("left"), "{first}");
    stage.frame(1);
    let second = stage.last_row("the second frame", |row| row.contains("frame 2 of 4"));
    assert!(second.contains("▕███") && !second.contains("left"), "{second}");
    stage.frame(2);
    let third = stage.last_row("the third frame", |row| row.contains("frame 3 of 4"));
    assert!(
        third.contains("▕███") && third.contains(" each, about ") && third.ends_with(" left"),
        "{third}"
    );
    // Lines of the log, while the line stands there.
    stage.node.signal(Signal::SIGUSR2);
    logged(&stage.node, "signal received: Wake");
    stage.last_row("the line below them", |row| row.contains("frame 3 of 4"));
    (3..=4).for_each(|number| stage.frame(number));
    stage.farm.completed(&task);
    stage.no_live_line();
    let rows = stage.terminal.rows();
    let summary = rows.iter().find(|row| row.contains("task shot_010 completed: "));
    let told = |text: &str| summary.is_some_and(|row| row.contains(text));
    assert!(
        told("4 frames in ") && told(" each), peak memory ") && told("B  task="),
        "{summary:?}"
    );
    let odd: Vec<_> = stage
        .terminal
        .rows()
        .into_iter()
        .filter(|row| !row.is_empty() && !is_log(row))
        .collect();
    assert!(odd.is_empty(), "{odd:#?}");
    stage.node.finish();
}

#[test]
fn j15_it_fits_into_the_window_as_it_is_now() {
    let mut stage = Stage::new(30, 200);
    let task = stage.render(&["setsid", "--ctty"]);
    for columns in [200, 80, 20, 41, 200, 80] {
        stage.terminal.resize(30, 1);
        stage.terminal.resize(30, columns);
        let fits = |row: &str| {
            row.chars().count() < columns.into()
                && row.contains("frame 1 of 4")
                && row.contains(BAR) == (columns >= 40)
                && !is_log(row)
        };
        stage.last_row(&format!("a line for {columns} columns"), fits);
        let rows = stage.terminal.rows();
        let lines = rows.iter().filter(|row| row.contains(" of 4") || row.contains(BAR));
        assert_eq!(lines.count(), 1, "{columns}: {rows:#?}");
    }
    (1..=4).for_each(|number| stage.frame(number));
    stage.farm.completed(&task);
    stage.no_live_line();
    stage.node.finish();
}

#[test]
fn j16_there_is_nothing_of_it_where_there_is_no_terminal_or_a_dumb_one() {
    for dumb in [true, false] {
        let mut stage = Stage::new(60, 300);
        stage
            .node
            .environment
            .push(("TERM".into(), if dumb { "dumb" } else { "xterm" }.into()));
        // The shell makes a pipe of its standard error.
        let piped = ["bash", "-c", "\"$0\" \"$@\" 2>&1 | cat"];
        let task = stage.render(if dumb { &[] } else { &piped });
        stage.last_row("the task to run", |row| {
            row.contains("listening") || row.contains("running command")
        });
        (1..=4).for_each(|number| stage.frame(number));
        stage.farm.completed(&task);
        stage.farm.ask(WorkerStatus::Offline, When::Now);
        assert_eq!(stage.node.ended(), 0);
        assert!(!stage.terminal.bytes().contains(&0x1b), "{:#?}", stage.terminal.rows());
        stage.node.nothing_left();
    }
}

#[test]
fn j16_no_color_is_no_colour() {
    let mut stage = Stage::new(60, 300);
    stage.node.environment.push(("NO_COLOR".into(), "1".into()));
    let task = stage.render(&[]);
    stage.last_row("the live line", |row| row.contains("frame 1 of 4"));
    (1..=4).for_each(|number| stage.frame(number));
    stage.farm.completed(&task);
    stage.no_live_line();
    let bytes = stage.terminal.bytes();
    let text = String::from_utf8_lossy(&bytes);
    let escapes: Vec<_> = text
        .split('\x1b')
        .skip(1)
        .map(|rest| &rest[..rest.len().min(4)])
        .collect();
    let drawn = |escape: &&str| ["[J", "[?7l", "[?7h"].iter().any(|known| escape.starts_with(known));
    assert!(escapes.len() > 3 && escapes.iter().all(drawn), "{escapes:?}");
    stage.node.finish();
}

#[test]
fn j17_a_terminal_that_is_stopped_or_not_read_stops_nobody() {
    let mut stage = Stage::new(60, 300);
    // A log of more than a terminal keeps.
    stage.node.arguments.push("-trace".into());
    let task = stage.render(&[]);
    stage.last_row("the live line", |row| row.contains("frame 1 of 4"));
    stage.terminal.type_in(CTRL_S);
    (1..=4).for_each(|number| stage.frame(number));
    stage.farm.completed(&task);
    (0..10).for_each(|_| drop(stage.farm.completed(&stage.farm.script("true"))));
    stage.terminal.type_in(CTRL_Q);
    stage.no_live_line();
    let missing = |row: &str| row.contains("lines are missing here");
    until(
        "what is missing to be said",
        || stage.terminal.rows().iter().any(|row| missing(row)).then_some(()),
        || stage.node.log(),
    );
    {
        let _held = stage.terminal.hold();
        (0..100).for_each(|_| drop(stage.farm.completed(&stage.farm.script("true"))));
    }
    stage.node.finish();
}

/// After `su` the terminal is still that of who logged in.
#[test]
fn j17_a_terminal_of_another_user_is_written_to_without_waiting_too() {
    let mut stage = Stage::new(60, 300);
    let Some(user) = own_user(&stage.farm, &stage.node) else {
        return;
    };
    let as_user = as_user(user);
    let controlling = ["setsid", "--ctty"].into_iter();
    let words: Vec<_> = controlling.chain(as_user.iter().map(String::as_str)).collect();
    let task = stage.render(&words);
    stage.last_row("the live line", |row| row.contains("frame 1 of 4"));
    // What it was given may wait. This is a file of its own that does not.
    assert!(open_files(stage.node.pid()).contains(&"/dev/tty".into()));
    (1..=4).for_each(|number| stage.frame(number));
    stage.farm.completed(&task);
    stage.node.finish();
}

#[test]
fn j18_a_job_in_the_background_draws_nothing_and_is_not_stopped_for_what_it_logs() {
    let mut stage = Stage::new(60, 300);
    let jobs = r#"stty tostop; "$0" "$@" & until [ -e front ]; do sleep 0.02; done; fg; until [ -e again ]; do sleep 0.02; done; fg"#;
    stage
        .node
        .start_in(&stage.terminal, &["setsid", "--ctty", "bash", "-mc", jobs]);
    stage.farm.awake();
    let task = stage.task();
    (1..=4).for_each(|number| stage.frame(number));
    stage.farm.completed(&task);
    assert!(
        !stage.has_bar() && !stage.node.log().contains("now awake"),
        "{}",
        stage.node.log()
    );
    (1..=4).for_each(|number| stage.take_back(number));
    let task = stage.task();
    fs::write(stage.node.folder.join("front"), "").unwrap();
    stage.last_row("the live line", |row| row.contains("frame 1 of 4"));
    // The worker is stopped, and the shell goes on.
    stage.terminal.type_in(CTRL_Z);
    logged(&stage.node, "Stopped");
    stage.frame(1);
    fs::write(stage.node.folder.join("again"), "").unwrap();
    stage.last_row("the live line again", |row| row.contains("frame 2 of 4"));
    (2..=4).for_each(|number| stage.frame(number));
    stage.farm.completed(&task);
    logged(&stage.node, "lines are missing here");
    stage.farm.ask(WorkerStatus::Offline, When::Now);
    assert_eq!(stage.node.ended(), 0);
    stage.node.nothing_left();
}

#[test]
fn j15_a_third_signal_takes_it_away_too() {
    let mut stage = Stage::new(30, 120);
    stage.node.set("blender_grace", "30s");
    fs::write(stage.node.folder.join("stubborn"), "").unwrap();
    stage.render(&["setsid", "--ctty"]);
    stage.last_row("the live line", |row| row.contains("frame 1 of 4"));
    stage.node.signal(Signal::SIGTERM);
    stage.last_row("the line to say so", |row| {
        row.contains("ending: the worker is shutting down")
    });
    stage.node.signal_again(Signal::SIGTERM);
    // Of another kind: it counts at once, before the second one has ended all that is waited for.
    stage.node.signal(Signal::SIGINT);
    stage.node.ended();
    stage.last_row("a line of the log to be last", is_log);
    stage.node.nothing_left_but_files();
}

#[test]
fn j15_a_panic_takes_it_away_too() {
    let mut stage = Stage::new(30, 600);
    stage.render(&["setsid", "--ctty"]);
    stage.last_row("the live line", |row| row.contains("frame 1 of 4"));
    let worker = stage.node.pid();
    let Some(strace) = Strace::attach(&stage.node, worker, "epoll_wait:error=EIO:when=1", false) else {
        return;
    };
    dies(worker, &stage.node);
    strace.detach();
    assert_eq!(stage.node.ended(), 101);
    stage.last_row("the panic to be last", |row| row.contains("panicked at"));
    assert!(!stage.has_bar(), "{:#?}", stage.terminal.rows());
    stage.node.nothing_left_but_files();
}

#[test]
fn j15_a_third_signal_ends_a_job_in_the_background_that_may_not_write() {
    let mut stage = Stage::new(30, 120);
    stage.node.set("blender_grace", "30s");
    fs::write(stage.node.folder.join("stubborn"), "").unwrap();
    // The first two far enough from each other to count, the third before the second has ended all that is waited for.
    let jobs = r#"stty tostop; "$0" "$@"; bg; kill $!; sleep 0.15; kill $!; kill -INT $!; wait; jobs"#;
    stage.render(&["setsid", "--ctty", "bash", "-mc", jobs]);
    stage.last_row("the live line", |row| row.contains("frame 1 of 4"));
    stage.terminal.type_in(CTRL_Z);
    stage.node.ended();
    logged(&stage.node, "Exit 130");
    stage.node.nothing_left_but_files();
}
