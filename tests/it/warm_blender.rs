// SPDX-License-Identifier: GPL-3.0-or-later

//! Blender itself, kept between the tasks of a job: what it renders is what one does that was started for each frame.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::json;
use standin_manager::{CommandSpec, JobSpec, TaskSpec};
use test_bed::{Farm, Node};
use test_needs::missing;

const SCENE: &str = include_str!("warm/scene.py");

/// A farm whose worker keeps its Blender, or does not.
struct Renders {
    farm: Farm,
    node: Node,
    files: tempfile::TempDir,
}

impl Renders {
    fn new() -> Self {
        let (farm, node) = Farm::with_node();
        let files = tempfile::tempdir().unwrap();
        fs::write(files.path().join("scene.py"), SCENE).unwrap();
        Self { farm, node, files }
    }

    fn start(&mut self, is_warm: bool) {
        self.node.config.top = vec!["[warm]".to_owned(), format!("blender = {is_warm}")];
        self.node.start();
        self.farm.awake();
    }

    fn path(&self, name: &str) -> PathBuf {
        self.files.path().join(name)
    }

    /// Has Blender make a file; what the script takes is in its head.
    fn make(&self, nodes: &str, special: &str) {
        let made = Command::new("blender")
            .args(["-b", "--factory-startup", "--python-exit-code", "1", "-P"])
            .arg(self.path("scene.py"))
            .arg("--")
            .args([self.path("x.blend"), self.path("library.blend")])
            .args([nodes, special])
            .output()
            .unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stdout));
    }

    /// Renders frames, each as a task of one job, into a folder of that name; returns the tasks.
    fn render(&self, folder: &str, format: &str, frames: &[u32]) -> Vec<String> {
        let task = |frame: &u32| {
            let parameters = json!({
                "exe": "blender", "exeArgs": "-b -y --factory-startup", "blendfile": self.path("x.blend"),
                "args": ["--render-output", self.path(folder).join("####"), "--render-format", format, "--render-frame", frame.to_string()],
            });
            TaskSpec::new("frame")
                .kind("blender")
                .command(CommandSpec::new("blender-render", parameters))
        };
        let tasks = self
            .farm
            .job(frames.iter().map(task).fold(JobSpec::new("job"), JobSpec::task));
        tasks.iter().for_each(|task| drop(self.farm.completed(task)));
        tasks
    }

    /// Which of the tasks were rendered in one that was kept before.
    fn kept(&self, tasks: &[String]) -> Vec<bool> {
        tasks
            .iter()
            .map(|task| self.farm.log(task).contains("kept from the task before"))
            .collect()
    }
}

/// The pixels of every picture in a folder, by name.
fn pixels(folder: &Path) -> Vec<(String, String)> {
    let mut all: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    all.sort();
    let hash = |path: PathBuf| {
        let read = Command::new("ffmpeg")
            .args(["-v", "error", "-i"])
            .arg(&path)
            .args(["-f", "framemd5", "-"])
            .output();
        let read = String::from_utf8(read.unwrap().stdout).unwrap();
        let line = read.lines().last().unwrap().to_owned();
        (path.file_name().unwrap().to_string_lossy().into_owned(), line)
    };
    all.into_iter().map(hash).collect()
}

#[test]
fn what_a_kept_blender_renders_is_pixel_by_pixel_what_a_new_one_does() {
    if missing("blender") || missing("ffmpeg") {
        return;
    }
    let mut renders = Renders::new();
    let nodes = renders.path("nodes");
    renders.make("1,0,0", "library");
    renders.make(&nodes.to_string_lossy(), "");
    let mut seen = Vec::new();
    for is_warm in [false, true] {
        renders.start(is_warm);
        for format in ["PNG", "OPEN_EXR"] {
            let folder = format!("{format}-{is_warm}");
            let tasks = renders.render(&folder, format, &[1, 2, 3]);
            assert_eq!(renders.kept(&tasks), [false, is_warm, is_warm]);
            seen.push((pixels(&renders.path(&folder)), pixels(&nodes)));
            fs::remove_dir_all(&nodes).unwrap();
        }
        assert_eq!(renders.node.stop(), 0);
    }
    assert_eq!(seen[0].0.len(), 3);
    assert_eq!(seen[0].1.len(), 3, "the node writes one for each frame");
    assert_ne!(seen[0].0[0].1, seen[0].0[2].1, "frames differ");
    assert_eq!(seen[0], seen[2]);
    assert_eq!(seen[1], seen[3]);
    renders.node.nothing_left();
}

#[test]
fn a_single_layer_a_movie_and_a_whole_animation_have_a_blender_of_their_own() {
    if missing("blender") {
        return;
    }
    let mut renders = Renders::new();
    let nodes = renders.path("nodes");
    renders.make("1,0,0", "library");
    renders.start(true);
    renders.make(&nodes.to_string_lossy(), "fast");
    let movie = renders.render("movie", "FFMPEG", &[1]);
    renders.make(&nodes.to_string_lossy(), "layer");
    let layer = renders.render("layer", "PNG", &[1]);
    for task in movie.iter().chain(&layer) {
        let log = renders.farm.log(task);
        assert!(
            log.matches("Blender quit").count() >= 1 && !log.contains("kept"),
            "{log}"
        );
    }
    assert_eq!(fs::read_dir(renders.path("layer")).unwrap().count(), 1);
    renders.node.finish();
}

#[test]
fn k4_a_library_that_was_changed_between_two_frames_is_rendered_as_it_is_now() {
    if missing("blender") || missing("ffmpeg") {
        return;
    }
    let mut renders = Renders::new();
    let nodes = renders.path("nodes").to_string_lossy().into_owned();
    renders.make("1,0,0", "library");
    renders.make(&nodes, "fast");
    renders.start(true);
    // One job each, as all tasks of a job are handed out at once; what is kept is not for another job.
    let first = renders.render("red", "PNG", &[2]);
    renders.make("0,0,1", "library");
    let second = renders.render("blue", "PNG", &[2]);
    assert_eq!(renders.kept(&[first, second].concat()), [false, false]);
    assert_ne!(pixels(&renders.path("red")), pixels(&renders.path("blue")));
    renders.node.finish();
}
