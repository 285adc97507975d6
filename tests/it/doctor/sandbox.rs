// SPDX-License-Identifier: GPL-3.0-or-later

//! What the doctor says of the rules of `[sandbox]`.

use std::os::unix::net::UnixListener;

use serde_json::Value;

use super::Answer;
use test_bed::Farm;

#[test]
fn n37_rules_of_the_sandbox_that_lead_nowhere_are_a_warning() {
    let farm = Farm::new();
    let mut node = farm.node("node");
    let there = node.folder.display().to_string();
    node.config.top.push(format!(
        "[sandbox]\nprograms = [\"no-such-program\"]\nwrite = [\"/no/such\", {there:?}]\nread = [\"/usr*\", \"/usr\"]"
    ));
    let answer = Answer::of(&node);
    let said: Vec<_> = answer
        .findings
        .iter()
        .filter(|finding| finding["name"] == "sandbox")
        .collect();
    let warned = said
        .iter()
        .filter(|finding| finding["verdict"] == "warn" && finding["advice"] != Value::Null);
    let seen: Vec<_> = warned.filter_map(|finding| finding["seen"].as_str()).collect();
    for expected in [
        "tasks can start no program: none of [\"no-such-program\"] is here",
        "tasks cannot write below /no/such: it is not there",
        "tasks cannot read below /usr*: it is not there; only `programs` has patterns",
    ] {
        assert!(seen.contains(&expected), "{said:#?}");
    }
    assert!(!seen.iter().any(|seen| seen.contains(&there)), "{seen:?}");
}

#[test]
fn n38_a_program_that_starts_others_for_whoever_asks_is_named_unless_tasks_cannot_ask() {
    let farm = Farm::new();
    let mut node = farm.node("node");
    let session = farm.folder.path();
    let _bus = UnixListener::bind(session.join("bus")).unwrap();
    node.environment.push(("XDG_RUNTIME_DIR".into(), session.into()));
    let mut names_it = |rules: &str| {
        node.config.top = vec![format!("[sandbox]\n{rules}")];
        let answer = Answer::of(&node);
        let mut all = answer.findings.iter().filter(|finding| finding["name"] == "sandbox");
        all.any(|finding| {
            let seen = finding["seen"].as_str().unwrap_or_default();
            finding["verdict"] == "warn" && seen.contains(&format!("what listens at {}/bus", session.display()))
        })
    };
    assert!(names_it("write = [\"/tmp\"]"));
    assert!(!names_it("write = [\"/tmp\"]\nnetwork = \"none\""));
    assert!(!names_it(""));
}
