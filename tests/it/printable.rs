// SPDX-License-Identifier: GPL-3.0-or-later

//! What a task is called and what its programs print steers no terminal of ours, and the Manager gets every byte of it.

use standin_manager::{JobSpec, TaskSpec};

use crate::history::history;
use crate::notify::Ear;
use test_bed::{Farm, bash};

/// Clears the screen, fills the clipboard, begins a line of its own, turns the rest around, and is C1's CSI.
const NAME: &str = "a\x1b[2J\x1b]52;c;eA==\x07b\n<3>error forged\r\u{202e}gnp\u{9b}2Jend";
const SHOWN: &str = "a\\u001b[2J\\u001b]52;c;eA==\\u0007b\\n<3>error forged\\r\\u202egnp\\u009b2Jend";

/// Whether a terminal would obey any of this.
fn steers(text: &str) -> bool {
    text.chars()
        .any(|c| (c.is_control() && c != '\n' && c != '\t') || c == '\u{202e}')
}

#[test]
fn i15_no_terminal_status_or_log_line_of_ours_is_steered_by_a_name_or_an_output() {
    let (farm, mut node) = Farm::with_node();
    let ear = Ear::of(&mut node);
    farm.start(&mut node);
    let printed = r"a\033[2J\033]52;c;eA==\007b\xe2\x80\xae\xc2\x9b2J end";
    let script = format!("printf '{printed}\\n'; until [ -e go ]; do sleep 0.02; done");
    let task = TaskSpec::new(NAME).command(bash(&script));
    let task = farm.job(JobSpec::new("job").task(task)).remove(0);
    farm.says(&task, "a\x1b[2J\x1b]52;c;eA==\x07b\u{202e}\u{9b}2J end");
    ear.until(&format!("STATUS=running {SHOWN}"));
    let titles: Vec<_> = node
        .marked()
        .into_iter()
        .map(|process| process.command)
        .filter(|command| command.starts_with("flamenco-guard"))
        .collect();
    assert!(
        !titles.is_empty() && !titles.iter().any(|title| steers(&title.replace('\0', " "))),
        "{titles:?}"
    );
    std::fs::write(node.folder.join("go"), "").unwrap();
    farm.completed(&task);
    node.until("the end to be in the log", || node.log().contains("completed"));

    let log = node.log();
    assert!(log.contains(&format!("running task {SHOWN}")), "{log}");
    assert!(!steers(&log), "{log:?}");
    assert!(!log.lines().any(|line| line.trim_start().starts_with("<3>")), "{log}");
    for arguments in [&[][..], &[task.as_str()], &["--json"]] {
        let (code, out, err) = history(&node, arguments);
        assert_eq!((code, err.as_str()), (0, ""));
        assert!(out.contains("a\\u001b[2J") && !steers(&out), "{out:?}");
    }
    let (_, json, _) = history(&node, &["--json"]);
    let record: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(record["name"], NAME, "programs get every byte");
    node.finish();
}
