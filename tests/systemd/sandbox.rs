// SPDX-License-Identifier: GPL-3.0-or-later

//! What the units keep from renders, and that Blender renders all the same.

use std::time::Duration;

use serde_json::json;
use standin_manager::{CommandSpec, TaskStatus};

use crate::harness::exec;
use crate::installed::{Node, UNIT};
use crate::machine::missing;

/// A cube, some samples, the processor: Cycles from beginning to end.
const SCENE: &str = "import bpy; s = bpy.context.scene; s.render.engine = 'CYCLES'; s.cycles.device = 'CPU'; \
     s.cycles.samples = 2; s.render.resolution_x = 64; s.render.resolution_y = 36; s.render.resolution_percentage = 100; \
     bpy.ops.wm.save_as_mainfile(filepath='/mnt/render/cube.blend')";

/// How exposed `systemd-analyze security` finds the unit, drop-ins included: 0 (safe) to 10.
fn exposure(node: &Node) -> f64 {
    let said = node.machine.ok(&["systemd-analyze", "security", "--no-pager", UNIT]);
    let figure = said.rsplit(": ").next().and_then(|end| end.split(' ').next());
    figure
        .and_then(|figure| figure.parse().ok())
        .unwrap_or_else(|| panic!("{said}"))
}

/// Blender makes a scene on the shared storage and renders a frame of it there.
fn renders(node: &Node) {
    node.machine.shared("/mnt/render");
    node.start();
    let task = node.farm.task(&[
        exec(
            "blender",
            json!(["--background", "--factory-startup", "--python-expr", SCENE]),
        ),
        CommandSpec::new(
            "blender-render",
            json!({
                "exe": "blender",
                "exeArgs": "-b -y",
                "argsBefore": [],
                "blendfile": "/mnt/render/cube.blend",
                "args": ["--render-output", "/mnt/render/frame-####", "--render-format", "PNG", "--render-frame", "1"],
            }),
        ),
    ]);
    node.farm
        .manager
        .wait_for(Duration::from_secs(120), "the render to end", |farm| {
            farm.task(&task)
                .filter(|task| {
                    matches!(
                        task.status,
                        TaskStatus::Completed | TaskStatus::Failed | TaskStatus::SoftFailed
                    )
                })
                .map(|_| ())
        })
        .unwrap();
    let log = node.farm.log(&task);
    assert_eq!(
        node.farm.manager.task(&task).unwrap().status,
        TaskStatus::Completed,
        "{log}"
    );
    let picture = std::fs::read(node.machine.path("/mnt/render/frame-0001.png")).unwrap();
    assert!(picture.starts_with(b"\x89PNG"));
    node.machine.ok(&["systemctl", "stop", UNIT]);
    node.stopped_well();
}

#[test]
fn blender_renders_under_the_unit() {
    if missing("blender") {
        return;
    }
    let Some(node) = Node::new() else { return };
    let figure = exposure(&node);
    assert!(figure <= 5.1, "{figure}");
    renders(&node);
}

#[test]
fn blender_renders_hardened() {
    if missing("blender") {
        return;
    }
    let Some(node) = Node::new() else { return };
    node.drop_in("hardened");
    let figure = exposure(&node);
    assert!(figure <= 2.0, "{figure}");
    renders(&node);
}

#[test]
fn hardened_all_of_a_tree_is_still_ended_and_nothing_else_can_be_written() {
    let Some(node) = Node::new() else { return };
    node.drop_in("hardened");
    node.machine.shared("/mnt/render");
    node.machine.shared("/mnt/other");
    node.start();
    let task = node.farm.script(
        "touch /mnt/render/mine && echo written; touch /mnt/other/mine || echo refused; ls /root || echo hidden; \
         grep ^0:: /proc/self/cgroup; setsid sleep 1000 & (setsid sleep 1000 &); echo running; wait",
    );
    node.farm.says(&task, "> running");
    let log = node.farm.log(&task);
    for word in ["> written", "> refused", "> hidden", &format!("/{UNIT}/flamenco-")] {
        assert!(log.contains(word), "{word}: {log}");
    }
    node.farm.manager.set_task_status(&task, TaskStatus::Canceled).unwrap();
    node.no_programs();
    node.machine.ok(&["systemctl", "stop", UNIT]);
    node.stopped_well();
}

#[test]
fn the_units_and_drop_ins_are_understood() {
    let Some(node) = Node::new() else { return };
    for name in [
        "drain",
        "hardened",
        "nvidia",
        "setuid-programs",
        "shared-storage",
        "workstation",
    ] {
        node.drop_in(name);
    }
    node.machine.ok(&["groupadd", "render-farm"]);
    node.machine.ok(&["systemctl", "daemon-reload"]);
    for unit in [UNIT, "flamenco-worker@gpu0.service"] {
        let said = node.machine.run(&["systemd-analyze", "verify", "--man=no", unit]);
        assert_eq!((said.code, said.err.as_str()), (0, ""), "{unit}");
    }
}
