// SPDX-License-Identifier: GPL-3.0-or-later

//! A worker that keeps a Blender becomes another: that Blender knows only the one that started it.

use std::fs;

use nix::sys::signal::Signal;
use serde_json::json;

use super::bed::Warm;
use test_bed::logged;
use test_needs::missing;

const TAKES_OVER: &str = "taking over from the worker that this process was";

fn takeovers(warm: &Warm) -> usize {
    warm.node.log().matches(TAKES_OVER).count()
}

#[test]
fn l2_a_kept_blender_renders_to_its_end_before_a_reload_and_is_gone_after_it() {
    if missing("python3") {
        return;
    }
    let (warm, task) = Warm::waiting();
    let blender = warm.noted("loads")[0];
    warm.node.signal(Signal::SIGHUP);
    logged(&warm.node, "reloading: ");
    warm.farm.asked(
        standin_manager::Endpoint::MayIRun,
        warm.farm.requests(standin_manager::Endpoint::MayIRun).len() + 2,
    );
    assert!(takeovers(&warm) == 0 && test_bed::lives(blender));
    fs::write(warm.path("go"), "").unwrap();
    warm.node.until("the successor", || takeovers(&warm) == 1);
    warm.farm.completed(&task);
    assert_eq!(warm.farm.outcomes(&task), ["completed"]);
    assert_eq!((warm.picture(2).as_str(), warm.loads()), ("whole 2", 1));
    test_bed::dies(blender, &warm.node);

    warm.file("y.blend", &json!({}));
    warm.done("y.blend", &[3, 4]);
    assert_eq!(warm.loads(), 2, "one is kept again");
    let blender = warm.noted("loads")[1];
    warm.node.signal(Signal::SIGHUP);
    warm.node.until("the successor", || takeovers(&warm) == 2);
    test_bed::dies(blender, &warm.node);
    warm.done("y.blend", &[5]);
    assert_eq!(warm.picture(5), "whole 5");
    warm.node.finish();
}
