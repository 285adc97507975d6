// SPDX-License-Identifier: GPL-3.0-or-later
//! A worker in a terminal, in the middle of its second render.

use serde_json::json;
use standin_manager::{CommandSpec, JobSpec, TaskSpec};
use test_bed::{Farm, Terminal, until};

use crate::Done;

const ROWS: u16 = 20;

/// Small pictures, which take about a second.
const SMALL: &str = "import bpy; s = bpy.context.scene; s.render.engine = 'CYCLES'; s.cycles.samples = 16; s.cycles.use_denoising = False; \
                     s.render.resolution_x = 320; s.render.resolution_y = 180";

/// Shows each of the terminals at the moment worth a picture.
pub(crate) fn at_work(mut show: impl FnMut(&str, &Terminal) -> Done) -> Done {
    for (name, columns, no_color) in [
        ("worker-80", 80, ""),
        ("worker-200", 200, ""),
        ("worker-no-colour", 80, "1"),
    ] {
        let (farm, mut node) = Farm::with_node();
        let terminal = Terminal::new(ROWS, columns);
        node.arguments.clear();
        node.set("may_i_run", "1m").set("may_i_run_hinted", "10s");
        for (name, value) in [
            ("TERM", "xterm-256color"),
            ("LC_ALL", "C.UTF-8"),
            ("NO_COLOR", no_color),
        ] {
            node.environment.push((name.into(), value.into()));
        }
        node.start_in(&terminal, &[]);
        let render = |name: &str, frames: i64| {
            let output = node.folder.join(name).join("####");
            let parameters = json!({
                "exe": "blender", "exeArgs": "-b --factory-startup", "blendfile": "",
                "args": ["--python-expr", SMALL, "-o", output, "-F", "PNG", "-s", "1", "-e", frames.to_string(), "-a"],
            });
            let command = CommandSpec::new("blender-render", parameters).steps(frames);
            farm.job(JobSpec::new(name).task(TaskSpec::new(name).kind("blender").command(command)))
                .remove(0)
        };
        farm.completed(&render("shot_010", 5));
        render("shot_020", 40);
        let is_far = |row: &String| row.contains("▕██") && row.contains(" of 40, ") && row.ends_with(" left");
        let in_the_middle = || terminal.rows().iter().any(is_far).then_some(());
        until("the render to be far", in_the_middle, || terminal.rows().join("\n"));
        show(name, &terminal)?;
    }
    Ok(())
}
