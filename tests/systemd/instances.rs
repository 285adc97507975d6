// SPDX-License-Identifier: GPL-3.0-or-later

//! The template: several workers on one machine.

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
