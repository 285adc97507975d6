// SPDX-License-Identifier: GPL-3.0-or-later

//! A farm whose worker keeps a stand-in for Blender.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use serde_json::{Value, json};
use standin_manager::{CommandSpec, JobSpec, TaskSpec};
use test_bed::{Farm, Node};

pub(super) const BLENDER: &str = include_str!("blender.py");

/// A farm with a worker that keeps its Blender.
pub(super) struct Warm {
    pub(super) farm: Farm,
    pub(super) node: Node,
}

impl Warm {
    pub(super) fn new(keys: &[&str]) -> Self {
        let (farm, node) = Farm::with_node();
        Self::started(farm, node, keys)
    }

    pub(super) fn started(farm: Farm, mut node: Node, keys: &[&str]) -> Self {
        node.config.top.extend(["[warm]", "blender = true"].map(str::to_owned));
        node.config.top.extend(keys.iter().map(|key| (*key).to_owned()));
        node.set("blender_grace", "100ms")
            .set("blender_firm_grace", "100ms")
            .start();
        farm.awake();
        let blender = node.folder.join("blender");
        fs::write(&blender, BLENDER).unwrap();
        fs::set_permissions(&blender, PermissionsExt::from_mode(0o755)).unwrap();
        let warm = Self { farm, node };
        warm.file("x.blend", &json!({}));
        warm
    }

    /// One whose kept Blender is at a frame that waits for the file `go`; also the task that waits.
    pub(super) fn waiting() -> (Self, String) {
        let warm = Self::new(&[]);
        warm.file("x.blend", &json!({"at": {"2": "wait"}}));
        let task = warm.job("x.blend", &[1, 2]).remove(1);
        warm.farm.says(&task, "> waiting");
        (warm, task)
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.node.folder.join(name)
    }

    /// What the file makes Blender do.
    pub(super) fn file(&self, name: &str, content: &Value) {
        fs::write(self.path(name), content.to_string()).unwrap();
    }

    pub(super) fn command(&self, blend: &str, frame: u32) -> CommandSpec {
        let parameters = json!({
            "exe": self.path("blender"), "exeArgs": "-b", "blendfile": self.path(blend),
            "args": ["--render-output", self.path("######"), "--render-frame", frame.to_string()],
        });
        CommandSpec::new("blender-render", parameters)
    }

    /// A job with a task for each frame; returns the tasks.
    pub(super) fn job(&self, blend: &str, frames: &[u32]) -> Vec<String> {
        let task = |frame: &u32| {
            TaskSpec::new("frame")
                .kind("blender")
                .command(self.command(blend, *frame))
        };
        self.farm
            .job(frames.iter().map(task).fold(JobSpec::new("job"), JobSpec::task))
    }

    /// The same, when all of them are completed.
    pub(super) fn done(&self, blend: &str, frames: &[u32]) -> Vec<String> {
        let tasks = self.job(blend, frames);
        for task in &tasks {
            self.farm.completed(task);
        }
        tasks
    }

    /// The pids of Blenders so far, by what they have noted.
    pub(super) fn noted(&self, name: &str) -> Vec<i32> {
        let notes = fs::read_to_string(self.path(name)).unwrap_or_default();
        notes
            .lines()
            .map(|line| line.split(' ').next().unwrap().parse().unwrap())
            .collect()
    }

    pub(super) fn loads(&self) -> usize {
        self.noted("loads").len()
    }

    pub(super) fn picture(&self, frame: u32) -> String {
        fs::read_to_string(self.path(&format!("{frame:06}.png"))).unwrap_or_default()
    }

    /// Waits until no Blender is kept any more.
    pub(super) fn cold(&self) {
        self.node.nothing_left_but_files();
    }

    /// The guard of the Blender that is kept.
    pub(super) fn guard(&self) -> i32 {
        let blender = *self.noted("loads").last().unwrap();
        let is_its = |guard: &i32| test_bed::children(*guard).contains(&blender);
        self.node.children().into_iter().find(is_its).unwrap()
    }
}
