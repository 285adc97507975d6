// SPDX-License-Identifier: GPL-3.0-or-later

//! What the doctor says of the rules of `[sandbox]`.

use std::fs;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::path::Path;

use serde_json::{Value, json};
use test_bed::{Farm, exec, logged};

use super::{Answer, node};
use crate::sandbox::{Bed, User, no_landlock};

/// The findings about the rules themselves that are a warning, as far as they were seen.
fn warned(answer: &Answer) -> Vec<&str> {
    let warned = answer
        .findings
        .iter()
        .filter(|finding| finding["name"] == "sandbox" && finding["verdict"] == "warn");
    warned
        .filter(|finding| finding["advice"] != Value::Null)
        .filter_map(|finding| finding["seen"].as_str())
        .collect()
}

#[test]
fn n37_rules_of_the_sandbox_that_lead_nowhere_are_a_warning() {
    let farm = Farm::new();
    let mut node = farm.node("node");
    let there = node.folder.join("render").display().to_string();
    fs::create_dir(&there).unwrap();
    node.config.top.push(format!(
        "[sandbox]\nprograms = [\"no-such-program\"]\nwrite = [\"/no/such\", {there:?}]\nread = [\"/usr*\", \"/usr\"]"
    ));
    let answer = Answer::of(&node);
    let seen = warned(&answer);
    for expected in [
        "tasks can start no program: none of [\"no-such-program\"] is here",
        "tasks cannot write below /no/such: it is not there",
        "tasks cannot read below /usr*: it is not there; only `programs` has patterns",
    ] {
        assert!(seen.contains(&expected), "{seen:#?}");
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

#[test]
fn n37_a_place_of_programs_without_one_is_a_warning_and_a_name_that_others_have_is_none() {
    let farm = Farm::new();
    let mut node = farm.node("node");
    node.config
        .top
        .push("[sandbox]\nprograms = [\"/no/such-*/blender\", \"/no/such\", \"no-such-program\", \"sh\"]".to_owned());
    let answer = Answer::of(&node);
    let seen = warned(&answer);
    let at = |place: &str| format!("no program is at {place:?} of `programs`");
    assert!(
        seen.contains(&at("/no/such-*/blender").as_str()) && seen.contains(&at("/no/such").as_str()),
        "{seen:?}"
    );
    assert!(!seen.iter().any(|seen| seen.contains("no-such-program")), "{seen:?}");
}

#[test]
fn n37_a_program_that_tasks_can_replace_is_a_warning() {
    let farm = Farm::new();
    let mut node = node(&farm);
    let tools = node.folder.join("bin");
    let rules = |write: &Path| vec![format!("[sandbox]\nprograms = [\"blender\"]\nwrite = [{write:?}]")];
    let text = format!(
        "tasks may start {}/blender, and write below {}",
        tools.display(),
        node.folder.display()
    );
    node.config.top = rules(&node.folder);
    let answer = Answer::of(&node);
    assert!(warned(&answer).contains(&text.as_str()));
    // What leads to the worker's own files is none to write in.
    let closed = format!(
        "nothing can be made, renamed or removed right in {}, ",
        node.folder.display()
    );
    assert!(warned(&answer).iter().any(|seen| seen.starts_with(&closed)));
    node.config.top = rules(&node.home());
    let answer = Answer::of(&node);
    assert!(!warned(&answer).contains(&text.as_str()));
    assert!(!warned(&answer).iter().any(|seen| seen.starts_with(&closed)));
}

#[test]
fn n37_a_link_of_programs_that_tasks_can_exchange_is_a_warning() {
    let farm = Farm::new();
    let mut node = node(&farm);
    let tools = node.folder.join("tools");
    fs::create_dir(&tools).unwrap();
    let link = tools.join("render");
    symlink("/bin/sh", &link).unwrap();
    node.config.top = vec![format!("[sandbox]\nprograms = [{link:?}]\nwrite = [{tools:?}]")];
    let text = format!(
        "tasks may start what {} leads to, and write below {}",
        link.display(),
        tools.display()
    );
    assert!(warned(&Answer::of(&node)).contains(&text.as_str()));
}

#[test]
fn n52_a_blender_that_tasks_may_not_start_is_none_that_is_well_and_the_log_says_so_at_the_start() {
    if no_landlock() {
        return;
    }
    let farm = Farm::new();
    let mut node = node(&farm);
    node.config.top.push("[sandbox]\nprograms = [\"ffmpeg\"]".to_owned());
    let refused = format!(
        "the sandbox of this node does not let tasks start {}: programs = [\"ffmpeg\"] of [sandbox]",
        node.folder.join("bin/blender").display()
    );
    let answer = Answer::of(&node);
    answer.says("warn", "blender", &refused);
    answer.says("ok", "ffmpeg", "is FFmpeg 6.1");
    answer.says("ok", "privileges", "gain no privileges ([sandbox])");
    farm.start(&mut node);
    logged(&node, &refused);
    assert_eq!(node.stop(), 0);
    node.config.top = vec!["[sandbox]\nprograms = [\"blender\"]".to_owned()];
    Answer::of(&node).says("warn", "ffmpeg", "does not let tasks start");
    node.finish();
}

#[test]
fn n51_doctor_asks_a_program_that_a_task_has_named_in_its_sandbox_and_tells_it_nothing() {
    if no_landlock() {
        return;
    }
    let mut bed = Bed::prepared(&["write = [\"SHARED\"]"]);
    bed.node.environment.push(("OPERATORS".into(), "secret".into()));
    assert!(bed.start(User::Ours));
    let program = bed.at("shared/blender-4.2");
    let script = format!(
        "#!/bin/sh\ntouch {0}/new; rm {0}/kept; echo Blender 4.2.0 ${{OPERATORS-untold}}\n",
        bed.at("outside").display()
    );
    let make = "printf %s \"$1\" > \"$0\" && chmod 755 \"$0\"";
    bed.completed(exec("sh", json!(["-c", make, program, script])));
    bed.completed(exec(program.to_str().unwrap(), json!([])));
    let answer = Answer::of(&bed.node);
    answer.says("ok", "blender", "shared/blender-4.2 is Blender 4.2.0 untold");
    bed.nothing_has_changed();
    bed.node.finish();
}
