// SPDX-License-Identifier: GPL-3.0-or-later

//! Who looks on sees what is kept.

use serde_json::{Value, json};
use test_bed::Farm;
use test_needs::missing;

use super::bed::Warm;
use crate::history::history;
use crate::metrics::{Monitored, value};
use crate::status::{said, status, until_asked};

#[test]
fn what_is_kept_and_what_that_saved_is_seen_in_the_status_the_metrics_and_the_history() {
    if missing("python3") {
        return;
    }
    let (farm, mut node) = Farm::with_node();
    let scrape = Monitored::at_socket(&mut node);
    let warm = Warm::started(farm, node, &[]);
    let tasks = warm.done("x.blend", &[1, 2, 3]);
    let pid = warm.noted("loads")[0];
    let is_kept = |seen: &Value| !seen["warm_blender"]["kept"].is_null();
    let seen = until_asked(&warm.node, "the Blender to be kept", is_kept)["warm_blender"].take();
    assert_eq!((&seen["warm"], &seen["cold"]), (&json!(2), &json!(1)));
    let kept = &seen["kept"];
    assert_eq!((&kept["pid"], &kept["tasks"]), (&json!(pid), &json!(3)));
    assert!(kept["memory"].as_u64().unwrap() > 1 << 20, "{kept}");
    let line = said(&status(&warm.node.home(), &[]));
    assert!(
        line.contains(&format!("its Blender is kept (pid {pid}, 3 tasks)")),
        "{line}"
    );
    let text = scrape.metrics();
    let counted = |start| {
        value(
            &text,
            &format!("flamenco_worker_kept_blender_tasks_total{{start=\"{start}\"}}"),
        )
    };
    assert_eq!((counted("warm"), counted("cold")), (Some(2.0), Some(1.0)));
    for (task, number) in tasks.iter().zip(1..) {
        let (_, told, _) = history(&warm.node, &[task]);
        assert!(
            told.contains(&format!("kept between tasks (this was number {number})")),
            "{told}"
        );
    }
    warm.node.finish();
}
