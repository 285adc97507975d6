// SPDX-License-Identifier: GPL-3.0-or-later

//! What a program prints arrives as it was said, in order, ahead of the outcome.

use serde_json::json;
use standin_manager::{Endpoint, Fault, FaultKind};

use test_bed::{Farm, exec};
use test_needs::missing;

/// The lines a program printed, without their `pid=N > `.
fn printed(log: &str) -> Vec<&str> {
    log.lines()
        .filter_map(|line| line.strip_prefix("pid=")?.split_once(" > ").map(|(_, text)| text))
        .collect()
}

#[test]
fn h1_bytes_that_are_no_text_become_marks_where_they_stand_and_touch_no_other_line() {
    let (farm, node) = Farm::with_awake_node();
    let task = farm.script(r"printf 'caf\xe9\nnext\n\xff\xfe in front\nin \x80 between\nnul \x00 here\nends in mark \xef\xbf\xbd\nlast \xc3'");
    farm.completed(&task);
    let log = farm.log(&task);
    let expected = [
        "caf\u{fffd}",
        "next",
        "\u{fffd}\u{fffd} in front",
        "in \u{fffd} between",
        "nul \0 here",
        "ends in mark \u{fffd}",
        "last \u{fffd}",
    ];
    assert_eq!(printed(&log), expected);
    node.finish();
}

#[test]
fn h1_a_character_is_not_cut_by_the_way_it_is_written() {
    if missing("perl") {
        return;
    }
    let (farm, node) = Farm::with_awake_node();
    let program = r#"$| = 1; for my $byte (split //, "gr\xc3\xbc\xc3\x9fe \xf0\x9f\x8e\xac\n") { syswrite STDOUT, $byte; select undef, undef, undef, 0.005; }"#;
    let task = farm.task(&[exec("perl", json!(["-e", program]))]);
    farm.completed(&task);
    assert_eq!(printed(&farm.log(&task)), ["grüße 🎬"]);
    node.finish();
}

#[test]
fn h1_a_hundred_megabytes_without_an_end_of_line_stay_bounded_and_the_next_line_is_whole() {
    let (farm, node) = Farm::with_awake_node();
    let task = farm.script("head -c 100000000 /dev/zero | tr '\\0' x; echo; echo next");
    farm.completed(&task);
    let status = std::fs::read_to_string(format!("/proc/{}/status", node.pid())).unwrap();
    let peak: u64 = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:")?.split_whitespace().next()?.parse().ok())
        .unwrap();
    assert!(peak < 64 * 1024, "{peak} KiB");
    let log = farm.log(&task);
    let lines = printed(&log);
    assert_eq!(lines.last(), Some(&"next"));
    assert!(lines.iter().all(|line| line.len() <= 64 * 1024));
    node.finish();
}

#[test]
fn h2_progress_that_overwrites_itself_is_folded_to_its_first_and_last_state() {
    let (farm, node) = Farm::with_awake_node();
    let task =
        farm.script(r"for i in $(seq 0 999); do printf 'frame %s\r' $i; done; printf 'frame 1000 done\nnext\r\n'");
    farm.completed(&task);
    let log = farm.log(&task);
    let lines = printed(&log);
    assert_eq!(lines[0], "frame 0");
    assert_eq!(lines[lines.len() - 2..], ["frame 1000 done", "next"]);
    assert!(lines.len() <= 8, "{lines:?}");
    node.finish();
}

/// A list that was saved on Windows, read by a script: each name ends in `\r`. The log had `: No such file` alone.
#[test]
fn h2_a_name_from_a_list_of_windows_stays_in_its_message() {
    let (farm, node) = Farm::with_awake_node();
    let task = farm.script(
        r#"printf 'shot_a.blend\r\nshot_b.blend\r\n' | while read -r name; do echo "cannot open $name: No such file"; done"#,
    );
    farm.completed(&task);
    let log = farm.log(&task);
    let lines = printed(&log);
    assert_eq!(
        lines,
        [
            "cannot open shot_a.blend",
            ": No such file",
            "cannot open shot_b.blend",
            ": No such file"
        ]
    );
    node.finish();
}

#[test]
fn h2_the_state_of_progress_shows_while_the_program_runs() {
    let farm = Farm::new();
    let node = farm.awake_node_with(&[("progress", "100ms")]);
    let task = farm.script(r"printf 'frame 1\rframe 2\r'; until [ -e go ]; do sleep 0.02; done; printf 'frame 3\r'");
    farm.says(&task, "> frame 2\n");
    std::fs::write(node.folder.join("go"), "").unwrap();
    farm.completed(&task);
    assert_eq!(printed(&farm.log(&task)).last(), Some(&"frame 3"));
    node.finish();
}

#[test]
fn h3_what_was_said_arrives_although_the_program_is_silent_since() {
    let (farm, node) = Farm::with_awake_node();
    let task = farm.script("echo said; until [ -e go ]; do sleep 0.02; done");
    farm.says(&task, "> said");
    std::fs::write(node.folder.join("go"), "").unwrap();
    farm.completed(&task);
    node.finish();
}

#[test]
fn h4_a_refused_piece_of_log_leaves_the_program_alone_and_is_sent_again() {
    let (farm, node) = Farm::with_awake_node();
    farm.fault(Fault::at(Endpoint::TaskUpdate, FaultKind::status(500)).times(4));
    let task = farm.script("for i in $(seq 1 20); do echo line $i; sleep 0.03; done");
    farm.completed(&task);
    let log = farm.log(&task);
    let expected: Vec<_> = (1..=20).map(|number| format!("line {number}")).collect();
    assert_eq!(printed(&log), expected);
    node.finish();
}

#[test]
fn h4_a_piece_that_is_refused_for_good_is_marked_in_the_log_and_the_rest_goes_on() {
    let (farm, node) = Farm::with_awake_node();
    let task = farm.script("echo first; until [ -e go ]; do sleep 0.02; done; echo second; until [ -e on ]; do sleep 0.02; done; echo third");
    farm.says(&task, "> first");
    let body = r#"{"message":"request body has an error"}"#.into();
    let refusal = FaultKind::Status {
        code: 400,
        headers: Vec::new(),
        body,
    };
    farm.fault(Fault::at(Endpoint::TaskUpdate, refusal));
    std::fs::write(node.folder.join("go"), "").unwrap();
    farm.wait("a piece to be refused", |farm| {
        (farm.requests().iter().filter(|seen| seen.status() == Some(400)).count() == 1).then_some(())
    });
    std::fs::write(node.folder.join("on"), "").unwrap();
    farm.completed(&task);
    let log = farm.log(&task);
    assert!(log.contains("[... 1 line (") && log.contains("missing here"), "{log}");
    assert!(log.contains("> third"), "{log}");
    node.finish();
}

#[test]
fn h5_all_of_the_log_is_accepted_before_the_outcome() {
    let (farm, node) = Farm::with_awake_node();
    let task = farm.script("seq 1 200000; echo the end");
    farm.completed(&task);
    let updates: Vec<_> = farm
        .requests(Endpoint::TaskUpdate)
        .into_iter()
        .filter(|seen| seen.task.as_deref() == Some(task.as_str()))
        .collect();
    let last = updates.last().unwrap().json().unwrap();
    assert_eq!(last["taskStatus"], "completed");
    let logs: Vec<_> = updates
        .iter()
        .filter(|seen| seen.json().is_some_and(|body| body["log"].is_string()))
        .collect();
    assert!(
        logs.iter()
            .all(|seen| seen.json().unwrap()["log"].as_str().unwrap().ends_with('\n')),
        "a piece ends at a line"
    );
    assert!(
        logs.iter()
            .all(|seen| seen.json().unwrap()["log"].as_str().unwrap().len() <= 512 * 1024)
    );
    let log = farm.log(&task);
    let lines = printed(&log);
    assert_eq!(
        (lines.len(), lines[199_999], lines[200_000]),
        (200_001, "200000", "the end")
    );
    let end = log.find("the end").unwrap();
    assert!(log[end..].contains("active -> completed"));
    node.finish();
}

#[test]
fn a_flood_does_not_keep_an_abort_from_being_heard() {
    let (farm, node) = Farm::with_awake_node();
    let task = farm.script("exec yes a line of output that never ends");
    farm.says(&task, "never ends");
    farm.manager
        .set_task_status(&task, standin_manager::TaskStatus::Canceled)
        .unwrap();
    node.until("the flood to be over", || node.children().is_empty());
    node.finish();
}
