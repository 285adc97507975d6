// SPDX-License-Identifier: GPL-3.0-or-later

//! Nothing goes round for ever: an answer that is odd costs its own task at most, and the next one runs.

use serde_json::{Value, json};
use standin_manager::{CommandSpec, Endpoint, Fault, FaultKind, Snapshot, TaskStatus};

use crate::push_trouble::{MEMORY_KIB, peak_kib};
use test_bed::{Farm, PATIENCE, bash, until};

/// The next task runs, which a task that went round would not let it.
fn the_next_one_runs(farm: &Farm) {
    let next = farm.script("true");
    farm.completed(&next);
}

/// The text of each task that is handed out is what `rewrite` makes of it.
fn rewritten(farm: &Farm, rewrite: fn(String) -> String) {
    farm.fault(Fault::at(Endpoint::FetchTask, FaultKind::Rewritten(rewrite)).forever());
}

/// `text` with a change of what is in it, if it is a task.
fn changed(text: String, change: fn(&mut Value)) -> String {
    let Ok(mut task) = serde_json::from_str(&text) else {
        return text;
    };
    change(&mut task);
    task.to_string()
}

#[test]
fn i3_counts_of_steps_beyond_ours_run() {
    let (farm, node) = Farm::with_awake_node();
    for steps in [-1, 5_000_000_000, 4_000_000_000, i64::MAX, i64::MIN] {
        let task = farm.task(&[bash("echo ran").steps(steps), bash("true").steps(1)]);
        farm.completed(&task);
        assert!(farm.log(&task).contains("> ran"), "{}", farm.log(&task));
        the_next_one_runs(&farm);
    }
    node.finish();
}

/// A list in a list, and so on, as text: as values they would need the stack of the stand-in, too.
fn nested(levels: usize) -> String {
    format!("{}\"core\"{}", "[".repeat(levels), "]".repeat(levels))
}

#[test]
fn i3_parameters_nested_deep_run() {
    let (farm, node) = Farm::with_awake_node();
    rewritten(&farm, |text| {
        [130, 400, 9000].into_iter().fold(text, |text, levels| {
            text.replace(&format!("\"nested {levels}\""), &nested(levels))
        })
    });
    for levels in [130, 400, 9000] {
        let deep = format!("nested {levels}");
        // Where it is asked for, and where nobody asks.
        for args in [json!(["ran", deep]), json!(["ran"])] {
            let parameters = json!({ "exe": "echo", "args": args, "unasked": deep });
            let task = farm.task(&[CommandSpec::new("exec", parameters)]);
            farm.completed(&task);
            assert!(farm.log(&task).contains("> ran"), "{}", farm.log(&task));
        }
        the_next_one_runs(&farm);
    }
    node.finish();
}

#[test]
fn i3_a_task_of_17_mib_runs() {
    let (farm, node) = Farm::with_awake_node();
    let parameters = json!({ "exe": "echo", "args": ["ran"], "unasked": "x".repeat(17 << 20) });
    let task = farm.task(&[CommandSpec::new("exec", parameters)]);
    // An unoptimized build takes its time for that much.
    let done = |farm: &Snapshot<'_>| (farm.task(&task)?.status == TaskStatus::Completed).then_some(());
    let done = farm.manager.wait_for(4 * PATIENCE, "the large task", done);
    assert!(done.is_ok(), "{done:?}\n{}", farm.logs());
    the_next_one_runs(&farm);
    node.finish();
}

#[test]
fn i12_many_small_values_fail_their_task_and_fill_no_memory() {
    let (farm, node) = Farm::with_awake_node();
    rewritten(&farm, |text| {
        text.replace("\"many\"", &format!("[{}0]", "0,".repeat(4 << 20)))
    });
    let task = farm.task(&[CommandSpec::new("echo", json!({ "message": "ran", "unasked": "many" }))]);
    farm.failed(&task);
    let failed = farm.manager.task(&task).unwrap();
    assert!(failed.activity.contains("values"), "{failed:?}");
    let peak = peak_kib(&node);
    assert!(peak < MEMORY_KIB, "{peak} KiB");
    farm.manager.clear_faults();
    the_next_one_runs(&farm);
    node.finish();
}

#[test]
fn i3_nulls_run() {
    let (farm, node) = Farm::with_awake_node();
    fn nothing(task: &mut Value) {
        for key in ["job", "name", "job_type", "task_type"] {
            task[key] = Value::Null;
        }
    }
    rewritten(&farm, |text| changed(text, nothing));
    let task = farm.script("echo ran");
    farm.completed(&task);
    assert!(farm.log(&task).contains("> ran"));
    the_next_one_runs(&farm);
    node.finish();
}

#[test]
fn i3_what_cannot_be_read_but_has_an_id_has_failed_with_the_reason() {
    let (farm, node) = Farm::with_awake_node();
    rewritten(&farm, |text| changed(text, |task| task["commands"] = json!("none")));
    let task = farm.script("echo ran >> runs");
    farm.failed(&task);
    farm.manager.clear_faults();
    let failed = farm.manager.task(&task).unwrap();
    assert!(
        failed.activity.contains("cannot read what the Manager says"),
        "{failed:?}"
    );
    the_next_one_runs(&farm);
    assert!(!node.folder.join("runs").exists());
    node.finish();
}

#[test]
fn i3_what_has_no_id_is_said_once_and_asked_again_slowly() {
    let farm = Farm::new();
    let node = farm.awake_node_with(&[
        ("backoff_min", "400ms"),
        ("backoff_max", "400ms"),
        ("asleep_backoff_max", "400ms"),
    ]);
    rewritten(&farm, |text| text.replace("\"uuid\"", "\"id\""));
    farm.manager.clear_requests();
    let task = farm.script("true");
    let tasks = |farm: &Farm| -> Vec<_> {
        let fetches = farm.requests(Endpoint::FetchTask).into_iter();
        fetches.filter(|seen| seen.status() == Some(200)).collect()
    };
    until(
        "the task to be asked for again",
        || (tasks(&farm).len() >= 5).then_some(()),
        || farm.logs(),
    );
    farm.manager.clear_faults();
    farm.completed(&task);
    let odd = tasks(&farm);
    let span = odd[4].received.saturating_sub(odd[0].received);
    assert!(span.as_millis() >= 4 * 200, "{span:?}");
    let warnings = |log: &str| {
        log.lines()
            .filter(|line| line.contains(" warn ") && line.contains("`uuid`"))
            .count()
    };
    assert_eq!(warnings(&node.log()), 1, "{}", node.log());
    node.finish();
}
