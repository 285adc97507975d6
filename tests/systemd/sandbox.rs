// SPDX-License-Identifier: GPL-3.0-or-later

//! What the units keep from renders, and that Blender renders all the same.

use serde_json::json;
use standin_manager::{CommandSpec, JobSpec, TaskSpec, TaskStatus};

use crate::installed::{Node, UNIT};
use test_needs::missing;

/// A cube, some samples, the processor: Cycles from beginning to end.
const SCENE: &str = "import bpy; s = bpy.context.scene; s.render.engine = 'CYCLES'; s.cycles.device = 'CPU'; \
     s.cycles.samples = 2; s.cycles.use_denoising = False; s.render.resolution_x = 64; s.render.resolution_y = 36; \
     s.render.resolution_percentage = 100";

/// How exposed `systemd-analyze security` finds the unit, drop-ins included: 0 (safe) to 10.
fn exposure(node: &Node) -> f64 {
    let said = node.machine.ok(&["systemd-analyze", "security", "--no-pager", UNIT]);
    let figure = said.rsplit(": ").next().and_then(|end| end.split(' ').next());
    figure
        .and_then(|figure| figure.parse().ok())
        .unwrap_or_else(|| panic!("{said}"))
}

/// Blender renders two frames to the shared storage.
fn renders(node: &Node) {
    node.machine.shared("/mnt/render");
    node.start();
    let parameters = json!({
        "exe": "blender", "exeArgs": "-b -y", "argsBefore": [], "blendfile": "",
        "args": ["--python-expr", SCENE, "--render-output", "/mnt/render/####", "--render-format", "PNG", "--render-frame", "1..2"],
    });
    let render = CommandSpec::new("blender-render", parameters).steps(2);
    let spec = TaskSpec::new("shot_010").kind("blender").command(render);
    let task = node.farm.job(JobSpec::new("render").task(spec)).remove(0);
    node.says("rendering frame 1 of 2 of shot_010");
    node.farm.completed(&task);
    for frame in ["0001", "0002"] {
        let picture = std::fs::read(node.machine.path(&format!("/mnt/render/{frame}.png"))).unwrap();
        assert!(picture.starts_with(b"\x89PNG"));
    }
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
        "hardened",
        "metrics",
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

/// With GPUs as far as they can be had here: their nodes, behind which is no device. Let through by the unit, it is the
/// kernel that finds none; what is refused is "Operation not permitted". (`hardened` lets through whose driver is loaded.)
#[test]
fn gpus_are_within_reach_and_hardened_other_devices_are_not() {
    let Some(node) = Node::new() else { return };
    let machine = &node.machine;
    machine.ok(&["mkdir", "-p", "/dev/dri"]);
    // Numbers as in the kernel's admin-guide/devices.txt; NVIDIA's is a local one.
    let nodes = [
        ("/dev/dri/renderD128", "226", "128"),
        ("/dev/nvidia0", "195", "0"),
        ("/dev/other", "200", "0"),
    ];
    for (device, major, minor) in nodes {
        machine.ok(&["mknod", "-m", "666", device, "c", major, minor]);
    }
    node.start();
    let look = || {
        let task = node
            .farm
            .script("cat /dev/dri/renderD128; cat /dev/nvidia0; cat /dev/other; cat /dev/null && echo null");
        node.farm.completed(&task);
        node.farm.log(&task)
    };
    let log = look();
    assert_eq!(log.matches(": No such device").count(), 3, "{log}");
    node.drop_in("hardened");
    machine.ok(&["systemctl", "restart", UNIT]);
    let log = look();
    assert!(
        log.contains("/dev/other: Operation not permitted") && log.contains("> null"),
        "{log}"
    );
}

#[test]
fn programs_gain_privileges_only_with_the_drop_in_for_that() {
    let Some(node) = Node::awake() else { return };
    let gains = || {
        let task = node.farm.script("grep -E 'NoNewPrivs|CapBnd' /proc/self/status");
        node.farm.completed(&task);
        node.farm.log(&task)
    };
    let log = gains();
    assert!(
        log.contains("NoNewPrivs:\t1") && log.contains("CapBnd:\t0000000000000000"),
        "{log}"
    );
    node.drop_in("setuid-programs");
    node.machine.ok(&["systemctl", "restart", UNIT]);
    let log = gains();
    assert!(
        log.contains("NoNewPrivs:\t0") && !log.contains("CapBnd:\t0000000000000000"),
        "{log}"
    );
}

#[test]
fn at_a_workstation_renders_get_what_is_left_over() {
    let Some(node) = Node::new() else { return };
    node.drop_in("workstation");
    node.start();
    let task = node
        .farm
        .script("echo nice $(nice), $(chrt -p $$ | head -n 1), oom $(cat /proc/self/oom_score_adj)");
    node.farm.completed(&task);
    let log = node.farm.log(&task);
    assert!(
        log.contains("nice 19,") && log.contains("SCHED_IDLE,") && log.contains("oom 500"),
        "{log}"
    );
}

#[test]
fn shared_storage_that_is_not_there_yet_keeps_no_worker_from_starting() {
    let Some(node) = Node::new() else { return };
    node.machine.ok(&["groupadd", "render-farm"]);
    node.drop_in("shared-storage");
    node.start();
    node.farm.completed(&node.farm.script("true"));
}

#[test]
fn what_is_rendered_on_shared_storage_belongs_to_its_group() {
    let Some(node) = Node::new() else { return };
    node.machine.ok(&["groupadd", "render-farm"]);
    node.machine.shared("/mnt/render");
    node.drop_in("hardened");
    node.drop_in("shared-storage");
    node.start();
    let task = node.farm.script("touch /mnt/render/frame");
    node.farm.completed(&task);
    assert_eq!(
        node.machine.ok(&["stat", "--format=%U %G %a", "/mnt/render/frame"]),
        "flamenco-worker render-farm 664"
    );
}
