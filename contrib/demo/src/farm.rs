// SPDX-License-Identifier: GPL-3.0-or-later
//! The Manager's side: the stand-in, and a turntable as two jobs laid out like Flamenco's "Simple Blender Render".
//!
//! ```text
//! first part   render-1-3  render-4-6 ───► preview-video
//! second part  render-7-9  render-10-18 ─► preview-video     the Worker Actions happen during this one
//! ```

use std::{
    io,
    path::{Path, PathBuf},
};

use serde_json::json;
use standin_manager::{CommandSpec, JobSpec, Options, Sample, StandIn, TaskSpec, Variable};

use crate::renderer::{Encoder, Renderer};

/// Frames once around.
pub(crate) const FRAMES: u16 = 18;
/// Frames per second of the video.
const RATE: u16 = 12;
/// First and last frame of each task of the two jobs.
const FIRST_PART: &[Chunk] = &[Chunk(1, 3), Chunk(4, 6)];
const SECOND_PART: &[Chunk] = &[Chunk(7, BEFORE_THE_LAST), Chunk(BEFORE_THE_LAST + 1, FRAMES)];

/// First and last frame of each task where both parts are one job: enough of them for several workers.
const WHOLE: &[Chunk] = &[
    Chunk(1, 3),
    Chunk(4, 6),
    Chunk(7, 9),
    Chunk(10, 12),
    Chunk(13, 15),
    Chunk(16, FRAMES),
];
/// Tasks of the long render, each once around: with one worker, minutes.
const TURNS: u16 = 20;
/// The priority of what lasts: whatever else is submitted comes first.
const BEHIND: i64 = 40;

/// Pictures that are there before the last task begins.
pub(crate) const BEFORE_THE_LAST: u16 = 9;

/// Frames that one task renders: the first and the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Chunk(u16, u16);

impl Chunk {
    fn frames(self) -> u16 {
        self.1 + 1 - self.0
    }
}

/// What is rendered, with what, to where.
#[derive(Clone, Copy)]
pub(crate) struct Shot<'a> {
    pub(crate) renderer: &'a Renderer,
    pub(crate) encoder: Option<&'a Encoder>,
    pub(crate) output: &'a Path,
    /// Arguments for the renderer besides.
    pub(crate) besides: &'a [&'a str],
}

/// Starts the Manager on a free port of 127.0.0.1.
///
/// # Errors
/// No port, or no folder for its files.
pub(crate) fn start(storage: &Path, renderer: &Renderer, samples: Vec<Sample>) -> io::Result<StandIn> {
    StandIn::start(Options {
        storage: Some(storage.to_owned()),
        name: "Demonstration".to_owned(),
        variables: vec![
            Variable::new("blender", "linux", &renderer.exe.to_string_lossy()),
            Variable::new("blenderArgs", "all", &renderer.exe_args),
        ],
        samples,
        ..Options::default()
    })
}

impl Shot<'_> {
    pub(crate) fn first_part(&self) -> JobSpec {
        self.job("Turntable, first part", FIRST_PART)
    }

    pub(crate) fn second_part(&self) -> JobSpec {
        self.job("Turntable, second part", SECOND_PART)
    }

    /// One job of all pictures.
    pub(crate) fn whole(&self) -> JobSpec {
        self.job("Turntable", WHOLE)
    }

    /// The same turn over and over, each time into a folder of its own below this one.
    pub(crate) fn many_turns(&self, folder: &Path) -> JobSpec {
        (1..=TURNS).fold(blender_job("Long turntable").priority(BEHIND), |job, turn| {
            let output = folder.join(format!("turn-{turn:02}"));
            let shot = Shot {
                output: &output,
                besides: self.renderer.thorough,
                ..*self
            };
            let mut task = shot.render_task(Chunk(1, FRAMES));
            task.name = format!("turn-{turn}");
            job.task(task)
        })
    }

    /// All pictures that exist at the end.
    pub(crate) fn pictures(&self) -> impl Iterator<Item = PathBuf> {
        (1..=FRAMES).map(|frame| self.output.join(format!("turntable-{frame:04}.png")))
    }

    /// How many of them exist now.
    pub(crate) fn rendered(&self) -> u16 {
        (0..)
            .zip(self.pictures().filter(|picture| picture.exists()))
            .fold(0, |_, (at, _)| at + 1)
    }

    /// The video of both parts.
    pub(crate) fn video(&self) -> PathBuf {
        self.output.join(format!("turntable-1-{FRAMES}.mp4"))
    }

    fn job(&self, name: &str, chunks: &[Chunk]) -> JobSpec {
        let mut job = blender_job(name);
        job.tasks = chunks.iter().map(|chunk| self.render_task(*chunk)).collect();
        let last = chunks.last().map_or(0, |chunk| chunk.1);
        if let Some(encoder) = self.encoder {
            let video = (0..chunks.len()).fold(self.video_task(encoder, last), TaskSpec::after);
            job.tasks.push(video);
        }
        job
    }

    fn render_task(&self, chunk: Chunk) -> TaskSpec {
        let Chunk(first, last) = chunk;
        let range = format!("{first}..{last}");
        let output = self.output.join("turntable-####");
        let output = output.to_string_lossy();
        let mut arguments = self.besides.to_vec();
        arguments.extend([
            "--render-output",
            &output,
            "--render-format",
            "PNG",
            "--render-frame",
            &range,
        ]);
        let parameters = json!({
            "exe": "{blender}",
            "exeArgs": "{blenderArgs}",
            "argsBefore": [],
            "blendfile": self.renderer.scene,
            "args": arguments,
        });
        let command = CommandSpec::new("blender-render", parameters).steps(chunk.frames().into());
        TaskSpec::new(&format!("render-{first}-{last}"))
            .kind("blender")
            .command(command)
    }

    fn video_task(&self, encoder: &Encoder, last: u16) -> TaskSpec {
        let quality = if encoder.codec == "h264" { "-crf" } else { "-q:v" };
        let level = if encoder.codec == "h264" { "18" } else { "3" };
        let parameters = json!({
            "exe": "ffmpeg",
            "fps": RATE,
            "inputGlob": self.output.join("turntable-*.png"),
            "outputFile": self.output.join(format!("turntable-1-{last}.mp4")),
            "args": ["-c:v", encoder.codec, quality, level, "-pix_fmt", "yuv420p", "-y"],
        });
        TaskSpec::new("preview-video")
            .kind("ffmpeg")
            .command(CommandSpec::new("frames-to-video", parameters))
    }
}

fn blender_job(name: &str) -> JobSpec {
    let mut job = JobSpec::new(name);
    "simple-blender-render".clone_into(&mut job.job_type);
    job
}

#[cfg(test)]
mod tests {
    use super::*;

    fn in_shot<T>(encoder: Option<&Encoder>, look: impl FnOnce(&Shot<'_>) -> T) -> T {
        let renderer = Renderer {
            label: String::new(),
            exe: "/usr/bin/blender".into(),
            exe_args: "-b -y".to_owned(),
            scene: "/s/turntable.blend".into(),
            overwriting: &[],
            thorough: &["--again"],
        };
        look(&Shot {
            renderer: &renderer,
            encoder,
            output: Path::new("/o"),
            besides: &["--again"],
        })
    }

    #[test]
    fn the_two_parts_and_the_whole_render_each_frame_once() {
        let frames = |chunks: &[Chunk]| {
            let frames = chunks.iter().flat_map(|Chunk(first, last)| *first..=*last);
            frames.collect::<Vec<_>>()
        };
        let once = (1..=FRAMES).collect::<Vec<_>>();
        assert_eq!(frames(&[FIRST_PART, SECOND_PART].concat()), once);
        assert_eq!(frames(WHOLE), once);
    }

    #[test]
    fn no_two_turns_share_a_folder() {
        let job = in_shot(None, |shot| shot.many_turns(Path::new("/l")));
        let outputs = job.tasks.iter().map(|task| &task.commands[0].parameters["args"][2]);
        let different: std::collections::BTreeSet<_> = outputs.map(ToString::to_string).collect();
        assert_eq!(different.len(), usize::from(TURNS));
        assert!(different.contains("\"/l/turn-07/turntable-####\""));
    }

    #[test]
    fn a_video_waits_for_all_its_frames() {
        let encoder = Encoder {
            label: String::new(),
            codec: "h264",
        };
        let job = in_shot(Some(&encoder), |shot| shot.job("one", FIRST_PART));
        let video = job.tasks.last().expect("there are tasks");
        assert_eq!((video.name.as_str(), video.kind.as_str()), ("preview-video", "ffmpeg"));
        assert_eq!(video.after, [0, 1]);
        assert_eq!(video.commands[0].parameters["outputFile"], "/o/turntable-1-6.mp4");
    }

    #[test]
    fn without_an_encoder_there_is_no_video_and_a_task_counts_its_frames() {
        let job = in_shot(None, |shot| shot.job("two", SECOND_PART));
        let steps: Vec<_> = job.tasks.iter().map(|task| task.commands[0].total_step_count).collect();
        assert_eq!(steps, [3, 9]);
        let arguments = &job.tasks[1].commands[0].parameters["args"];
        assert_eq!(arguments[0], "--again");
        assert_eq!(arguments[2], "/o/turntable-####");
        assert_eq!(arguments[6], "10..18");
    }

    #[test]
    fn the_pictures_looked_for_are_those_that_are_rendered() {
        let pictures: Vec<_> = in_shot(None, |shot| shot.pictures().collect());
        assert_eq!(pictures.len(), 18);
        assert_eq!(pictures[8], Path::new("/o/turntable-0009.png"));
    }
}
