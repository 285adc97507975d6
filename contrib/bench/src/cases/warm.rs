// SPDX-License-Identifier: GPL-3.0-or-later

//! From one frame of a job to the next, where each is a task: with a Blender for each, and with one that is kept.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::json;
use standin_manager::{CommandSpec, Endpoint, JobSpec, TaskSpec, TaskStatus};

use super::{Bench, Result};
use crate::contender::Contender;
use crate::figures::{Table, Times};
use crate::node::Node;

/// A file that Blender is kept for.
struct Scene {
    name: &'static str,
    /// What makes it of the scene that Blender begins with.
    script: &'static str,
    /// Frames with a Blender for each, and with one that is kept.
    frames: [u32; 2],
    goal: &'static str,
}

const SCENES: [Scene; 2] = [
    Scene {
        name: "a cube",
        script: "",
        frames: [10, 100],
        goal: "30 ms",
    },
    Scene {
        name: "a file of 300 MB",
        script: "bpy.ops.mesh.primitive_grid_add(x_subdivisions=1600, y_subdivisions=1600); ",
        frames: [4, 8],
        goal: "2 s",
    },
];

/// Where tasks read and write, below the folder of the worker.
const FILE: &str = "scene.blend";

pub(super) fn run(bench: &Bench, table: &mut Table) -> Result {
    for scene in &SCENES {
        for (column, contender) in bench.contenders.iter().enumerate().filter(|(_, one)| one.is_ours()) {
            let (cold, first) = frames(scene, contender, false)?;
            let (kept, second) = frames(scene, contender, true)?;
            let same = first.iter().zip(&second).all(|(one, other)| one == other);
            if first.is_empty() || !same {
                return Err(format!("{}: a kept Blender renders other pixels", scene.name));
            }
            table
                .row(&format!("{}: a frame, a Blender for each", scene.name))
                .cell(column, cold);
            let row = table.row(&format!("{}: a frame, Blender kept", scene.name));
            row.goal(scene.goal).cell(column, kept);
        }
    }
    Ok(())
}

/// The times between frames, and the pixels of each frame.
fn frames(scene: &Scene, contender: &Contender, is_kept: bool) -> Result<(Times, Vec<String>)> {
    let node = Node::awake(&contender.with(&format!("[warm]\nblender = {is_kept}\ntasks = 1000\n")))?;
    let folder = node.worker.folder().to_owned();
    make(scene, &folder)?;
    let frames = scene.frames[usize::from(is_kept)];
    let job = (1..=frames).fold(JobSpec::new("job"), |job, frame| {
        let args = json!([
            "--render-output",
            folder.join("####"),
            "--render-format",
            "PNG",
            "--render-frame",
            frame.to_string()
        ]);
        let parameters = json!({
            "exe": "blender", "exeArgs": "-b --factory-startup", "blendfile": folder.join(FILE), "args": args,
        });
        job.task(
            TaskSpec::new("frame")
                .kind("blender")
                .command(CommandSpec::new("blender-render", parameters)),
        )
    });
    let job = node.manager.submit(job).map_err(|refused| refused.to_string())?;
    let done = node.wait("all frames to be rendered", |farm| {
        let is_done = farm.tasks(&job).all(|task| task.status == TaskStatus::Completed);
        let completed = |seen: &&standin_manager::Seen| {
            let word = seen
                .json()
                .and_then(|body| body["taskStatus"].as_str().map(str::to_owned));
            seen.endpoint == Endpoint::TaskUpdate && word.as_deref() == Some("completed")
        };
        is_done.then(|| {
            farm.requests()
                .iter()
                .filter(completed)
                .map(|seen| seen.received)
                .collect::<Vec<Duration>>()
        })
    })?;
    let times = done.windows(2).map(|pair| pair[1].saturating_sub(pair[0])).collect();
    let pixels = (1..=scene.frames[0]).map(|frame| pixels(&folder.join(format!("{frame:04}.png"))));
    Ok((times, pixels.collect::<Result<_>>()?))
}

/// What makes the file of a scene.
fn script(scene: &Scene, file: &Path) -> String {
    format!(
        "import bpy; {}r = bpy.context.scene.render; r.engine = 'CYCLES'; bpy.context.scene.cycles.samples = 1; \
         bpy.context.scene.cycles.use_denoising = False; r.resolution_x = r.resolution_y = 64; \
         c = bpy.data.objects['Cube']; c.keyframe_insert('location', frame=1); c.location.x = 3; \
         c.keyframe_insert('location', frame=100); \
         bpy.ops.wm.save_as_mainfile(filepath={:?}, compress=False)",
        scene.script,
        file.display().to_string()
    )
}

fn make(scene: &Scene, folder: &Path) -> Result {
    output(Command::new("blender").args([
        "-b",
        "--factory-startup",
        "--python-exit-code",
        "1",
        "--python-expr",
        &script(scene, &folder.join(FILE)),
    ]))
    .map(drop)
}

fn pixels(picture: &Path) -> Result<String> {
    let hashes = output(
        Command::new("ffmpeg")
            .args(["-v", "error", "-i"])
            .arg(picture)
            .args(["-f", "framemd5", "-"]),
    )?;
    hashes
        .lines()
        .last()
        .map(str::to_owned)
        .ok_or_else(|| format!("{} is no picture", picture.display()))
}

fn output(command: &mut Command) -> Result<String> {
    let ended = command.output().map_err(|error| format!("{command:?}: {error}"))?;
    let text = String::from_utf8_lossy(&ended.stdout).into_owned();
    if ended.status.success() {
        Ok(text)
    } else {
        Err(format!("{command:?}: {}\n{text}", ended.status))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_makes_a_file_is_python() {
        if test_needs::missing("python3") {
            return;
        }
        for scene in &SCENES {
            let script = script(scene, Path::new("/a \"b/scene.blend"));
            let check = "import sys; compile(sys.argv[1], 'scene', 'exec')";
            output(Command::new("python3").args(["-c", check, &script])).unwrap();
        }
    }
}
