// SPDX-License-Identifier: GPL-3.0-or-later

//! The configuration is read again while a task runs.

use nix::sys::signal::Signal;
use standin_manager::{Endpoint, Fault, FaultKind};

use test_bed::{Farm, Node};

fn says(node: &Node, text: &str) {
    node.until(&format!("the worker to say {text:?}"), || node.log().contains(text));
}

#[test]
fn g7_a_second_reading_applies_what_it_can_and_names_what_needs_a_restart() {
    let (farm, mut node) = Farm::with_node();
    node.arguments.retain(|argument| argument != "-debug");
    node.start();
    let task = farm.running("echo running; until [ -e go ]; do sleep 0.02; done");
    assert!(!node.log().contains(" debug "), "{}", node.log());

    node.config.top = vec![
        "nice = 5".into(),
        "log.level = \"debug\"".into(),
        "headers.X-Farm = \"yes\"".into(),
    ];
    node.set("grace", "3s").write_config();
    node.signal(Signal::SIGHUP);
    says(&node, "the configuration was read again applied=\"headers, log\"");
    says(&node, "keys=\"nice, timings.grace\"");
    farm.fault(Fault::at(Endpoint::MayIRun, FaultKind::status(500)).times(2));
    says(&node, " debug ");
    assert_eq!(node.children().len(), 1, "the render goes on");

    node.config.top = vec!["nice = 50".into(), "log.level = \"error\"".into()];
    node.write_config();
    node.signal(Signal::SIGHUP);
    says(&node, "the old one stays");
    says(&node, "flamenco-worker.toml:1:8: `nice` must be between");
    std::fs::write(node.folder.join("go"), "").unwrap();
    farm.completed(&task);
    farm.asked(Endpoint::FetchTask, 2);
    node.finish();
}
