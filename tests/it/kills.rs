// SPDX-License-Identifier: GPL-3.0-or-later

//! Blender itself, killed at random moments in which it writes a picture.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::json;
use standin_manager::{CommandSpec, JobSpec, Snapshot, TaskSpec, TaskStatus};
use tokio::time::Instant;

use crate::frames::requeue;
use test_bed::{Farm, Node, kill_together, pass};
use test_needs::missing;

/// Noise, which takes its time to be written, in each of the ways in which Blender writes pictures.
const SCENE: &str = "import bpy; s = bpy.context.scene; r = s.render; r.engine = 'BLENDER_WORKBENCH'; \
    r.resolution_x = 700; r.resolution_y = 500; r.resolution_percentage = 100; r.use_overwrite = False; \
    s.use_nodes = True; t = s.node_tree; t.nodes.clear(); n = t.nodes.new('CompositorNodeTexture'); \
    n.texture = bpy.data.textures.new('n', 'NOISE'); l = t.nodes.new('CompositorNodeRLayers'); \
    m = t.nodes.new('CompositorNodeMixRGB'); m.inputs[0].default_value = 0.9; \
    t.links.new(l.outputs['Image'], m.inputs[1]); t.links.new(n.outputs['Color'], m.inputs[2]); \
    c = t.nodes.new('CompositorNodeComposite'); t.links.new(m.outputs[0], c.inputs[0]); \
    r.image_settings.compression = 90";
/// The ways: a name, what is added to the scene, the format, and the picture whose writing is cut.
const WAYS: [(&str, &str, &str, &str); 5] = [
    ("png", "", "PNG", "x000#.png"),
    ("exr", "", "OPEN_EXR", "x000#.exr"),
    ("layers", "", "OPEN_EXR_MULTILAYER", "x000#.exr"),
    (
        "nodes",
        "; f = t.nodes.new('CompositorNodeOutputFile'); f.base_path = OUT; f.format.file_format = 'OPEN_EXR'; \
         f.file_slots[0].path = 'depth/d'; t.links.new(m.outputs[0], f.inputs[0])",
        "PNG",
        "depth/d000#.exr",
    ),
    ("placeholder", "; r.use_placeholder = True", "PNG", "x000#.png"),
];
/// Blender takes its time on a busy machine.
const LONG: Duration = Duration::from_secs(300);

/// A number that looks random, and is another one each time.
fn dice(sides: u64) -> u64 {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).unwrap();
    u64::from_le_bytes(bytes) % sides
}

/// A render by Blender whose writing is cut.
struct Cut {
    farm: Farm,
    node: Node,
    task: String,
    out: PathBuf,
    /// What was announced as saved by then.
    finished: Vec<(PathBuf, Vec<u8>)>,
    stumps: usize,
}

/// Kills Blender, its guard, its worker, or both of these, at a random moment in the time in which it writes a picture.
/// `FLAMENCO_TEST_KILLS` says how often.
#[test]
fn i2_blender_killed_at_random_in_mid_write_completes_with_whole_pictures_only() {
    if missing("blender") || missing("ffmpeg") {
        return;
    }
    let kills = std::env::var("FLAMENCO_TEST_KILLS").map_or(WAYS.len(), |text| text.parse().unwrap());
    let (mut finished, mut stumps, mut aside) = (0, 0, 0);
    for round in 0..kills {
        let mut cut = Cut::begin(WAYS[round % WAYS.len()]);
        cut.cut(WAYS[round % WAYS.len()].3, round);
        finished += cut.finished.len();
        stumps += cut.stumps;
        aside += cut.completes();
        let kills = round + 1;
        eprintln!("{kills} kills: {finished} finished pictures kept, {stumps} stumps met, {aside} set aside");
    }
}

impl Cut {
    fn begin((name, extra, format, _): (&str, &str, &str, &str)) -> Self {
        let (farm, mut node) = Farm::with_node();
        node.set("crash_window", "1ms").start();
        farm.awake();
        let out = node.folder.join(name);
        let scene = format!("{SCENE}{extra}").replace("OUT", &format!("{:?}", out.display().to_string()));
        let parameters = json!({
            "exe": "blender", "exeArgs": "-b --factory-startup", "blendfile": "",
            "args": ["--python-expr", scene, "-o", out.join("x"), "-F", format, "-f", "1..2"],
        });
        let command = CommandSpec::new("blender-render", parameters);
        let task = farm.job(JobSpec::new("job").task(TaskSpec::new(name).kind("blender").command(command)));
        Self {
            farm,
            node,
            task: task[0].clone(),
            out,
            finished: Vec::new(),
            stumps: 0,
        }
    }

    fn cut(&mut self, picture: &str, round: usize) {
        let target = self.out.join(picture.replace('#', &(1 + dice(2)).to_string()));
        let deadline = Instant::now() + LONG;
        while !target.exists() {
            assert!(Instant::now() < deadline, "{}", self.farm.logs());
            std::thread::park_timeout(Duration::from_millis(1));
        }
        pass(Duration::from_micros(dice(300_000)));
        // It stands still while its pictures are looked at, and does not run again.
        let guard = self.node.children().first().copied();
        let children = guard.and_then(|pid| fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).ok());
        let blender = children.and_then(|pids| pids.split_whitespace().next()?.parse().ok());
        if let Some(pid) = blender {
            kill(Pid::from_raw(pid), Signal::SIGSTOP).ok();
        }
        // What Blender has announced by now, as the worker keeps it in mind.
        let journal = fs::read_dir(self.node.home().join("rendering"))
            .unwrap()
            .flatten()
            .next();
        let journal = journal.map_or_else(String::new, |entry| {
            fs::read_to_string(entry.path()).unwrap_or_default()
        });
        let saved = journal.lines().skip(1).map(|line| serde_json::from_str(line).unwrap());
        let bytes = |path: PathBuf| Some((path.clone(), fs::read(path).ok()?));
        self.finished = saved.filter_map(bytes).collect();
        self.stumps = pictures(&self.out).len() - self.finished.len();
        match (round / WAYS.len() % 4, blender, guard) {
            (0, Some(pid), _) | (1, _, Some(pid)) => drop(kill(Pid::from_raw(pid), Signal::SIGKILL)),
            (2 | 3, _, guard) => {
                let guard = guard.filter(|_| round / WAYS.len() % 4 == 3);
                let both: Vec<_> = guard.into_iter().chain([self.node.pid()]).collect();
                kill_together(&both);
                assert_eq!(self.node.ended(), -9);
                self.node.nothing_left_but_files();
                self.node.start();
            }
            // It had ended just now.
            _ => {}
        }
    }

    /// The task is run until it is completed. Answers how many pictures were set aside.
    fn completes(self) -> usize {
        let over = |farm: &Snapshot<'_>| {
            let status = farm.task(&self.task)?.status;
            let failed = matches!(status, TaskStatus::Failed | TaskStatus::SoftFailed);
            (failed || status == TaskStatus::Completed).then_some(failed)
        };
        while self.farm.manager.wait_for(LONG, "the end of the task", over).unwrap() {
            requeue(&self.farm, &self.task);
        }
        let log = self.farm.log(&self.task);
        for (path, bytes) in &self.finished {
            let kept = fs::read(path).is_ok_and(|now| now == *bytes);
            // A node's file is written anew with its frame.
            assert!(
                kept || path.parent() != Some(&self.out),
                "{} was lost\n{log}",
                path.display()
            );
        }
        let pictures = pictures(&self.out);
        assert_eq!(pictures, whole(&self.out), "{log}");
        let frames = pictures.iter().filter(|path| path.parent() == Some(&self.out));
        assert_eq!(frames.count(), 2, "{pictures:?}\n{log}");
        self.node.finish();
        let is_said = |line: &&str| line.starts_with("Set aside: ") || line.starts_with("Removed: ");
        log.lines().filter(is_said).count()
    }
}

/// All pictures below a folder, those set aside left out.
fn pictures(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(pictures(&path));
        } else if path
            .extension()
            .is_some_and(|ending| ending == "png" || ending == "exr")
        {
            found.push(path);
        }
    }
    found
}

/// Those of them that FFmpeg can read from their first line to their last.
fn whole(folder: &Path) -> Vec<PathBuf> {
    // FFmpeg has to be told which of several layers to read.
    let reads = |path: &PathBuf, layer: &[&str]| {
        let decoded = Command::new("ffmpeg")
            .args(["-v", "error", "-xerror"])
            .args(layer)
            .arg("-i")
            .arg(path)
            .args(["-f", "null", "-"])
            .output()
            .unwrap();
        decoded.status.success() && decoded.stderr.is_empty()
    };
    let decodes = |path: &PathBuf| reads(path, &[]) || reads(path, &["-layer", "Composite.Combined"]);
    pictures(folder).into_iter().filter(decodes).collect()
}
