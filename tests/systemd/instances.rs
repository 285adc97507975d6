// SPDX-License-Identifier: GPL-3.0-or-later

//! The template: several workers on one machine.

use std::collections::BTreeSet;
use std::path::Path;

use crate::installed::Node;

#[test]
fn g2_instances_have_homes_names_and_environments_of_their_own() {
    let Some(node) = Node::new() else { return };
    let machine = &node.machine;
    for gpu in ["0", "1"] {
        machine.write(
            &format!("/etc/flamenco/worker@gpu{gpu}.env"),
            &format!("CUDA_VISIBLE_DEVICES={gpu}\n"),
        );
    }
    machine.ok(&[
        "systemctl",
        "enable",
        "--now",
        "flamenco-worker@gpu0",
        "flamenco-worker@gpu1",
    ]);
    let names = node.farm.wait("two workers", |farm| {
        let mut names: Vec<_> = farm.workers().map(|worker| worker.name.clone()).collect();
        names.sort();
        (names.len() == 2).then_some(names)
    });
    assert_eq!(names, ["render-node-gpu0", "render-node-gpu1"]);
    // Both are busy, so each has one of the two.
    let script = "echo gpu $CUDA_VISIBLE_DEVICES in $HOME at $PWD; until [ -e /tmp/go ]; do sleep 0.05; done";
    let tasks = [node.farm.script(script), node.farm.script(script)];
    for task in &tasks {
        node.farm.says(task, "> gpu");
    }
    machine.write("/tmp/go", "");
    let logs = tasks.map(|task| {
        node.farm.completed(&task);
        node.farm.log(&task)
    });
    for gpu in ["0", "1"] {
        let home = format!("/var/lib/flamenco-worker@gpu{gpu}");
        assert!(
            logs.iter()
                .any(|log| log.contains(&format!("> gpu {gpu} in {home} at {home}"))),
            "{logs:?}"
        );
        assert!(machine.path(&format!("{home}/flamenco-worker.lock")).exists());
    }
    machine.ok(&["systemctl", "stop", "flamenco-worker@gpu0"]);
    assert_eq!(machine.property("flamenco-worker@gpu1", "ActiveState"), "active");
    machine.ok(&["systemctl", "stop", "flamenco-worker@*"]);
    assert!(node.programs().is_empty());
}

#[test]
fn g2_an_instance_can_work_for_another_farm() {
    let Some(node) = Node::new() else { return };
    let machine = &node.machine;
    let other = machine.farm(standin_manager::Options::default());
    machine.write(
        "/etc/flamenco/worker@north.env",
        "FLAMENCO_CONFIG=/etc/flamenco/north.toml\n",
    );
    machine.write(
        "/etc/flamenco/north.toml",
        &format!("manager = \"{}\"\n", other.manager.url()),
    );
    machine.ok(&["systemctl", "start", "flamenco-worker@north"]);
    other.awake();
    assert!(node.farm.manager.workers().is_empty());
}

/// One file must be one unit, so there are two: what they say differently is written down here.
#[test]
fn g2_the_template_is_the_unit_but_for_what_an_instance_has_of_its_own() {
    let directives = |unit: &str| -> BTreeSet<String> {
        let path = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("packaging/systemd")
            .join(unit);
        let text = std::fs::read_to_string(path).unwrap();
        let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
        lines.map(str::to_owned).collect()
    };
    let (unit, template) = (
        directives("flamenco-worker.service"),
        directives("flamenco-worker@.service"),
    );
    let names = |one: &BTreeSet<String>, other: &BTreeSet<String>| -> Vec<String> {
        let own = one.difference(other).filter_map(|line| line.split_once('='));
        own.map(|(name, _)| name.to_owned()).collect()
    };
    let both = [
        "Description",
        "ExecReload",
        "ExecStart",
        "StateDirectory",
        "WorkingDirectory",
    ];
    assert_eq!(names(&unit, &template), both);
    let own = [
        "Description",
        "Environment",
        "Environment",
        "Environment",
        "EnvironmentFile",
    ];
    assert_eq!(names(&template, &unit), [&own[..], &both[1..]].concat());
}
