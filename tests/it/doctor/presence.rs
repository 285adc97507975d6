// SPDX-License-Identifier: GPL-3.0-or-later

//! What `[presence]` says tells of somebody at this machine, and whether it can.

use test_bed::Farm;

use super::{Answer, node};

#[test]
fn m12_each_source_is_looked_at_and_what_cannot_be_had_comes_with_what_to_do() {
    let farm = Farm::new();
    let mut node = node(&farm);
    let answer = Answer::of(&node);
    answer.says("ok", "presence", "only `flamenco-worker pause` counts");
    let sources = "[presence]\nsources = [\"terminal\", \"session\"]";
    node.config.top.push(sources.into());
    let bus = format!("unix:path={}/bus", node.folder.display());
    node.environment.push(("DBUS_SYSTEM_BUS_ADDRESS".into(), bus.into()));
    let answer = Answer::of(&node);
    answer.says("ok", "presence", "tell when they are used");
    answer.says("warn", "presence", "does dbus run?");
    let devices = std::fs::read_dir("/dev/input").is_ok();
    node.config.top.pop();
    node.config.top.push("[presence]\nsources = [\"input\"]".into());
    if !devices {
        Answer::of(&node).says("warn", "presence", "there is no input device that people use");
    }
}
