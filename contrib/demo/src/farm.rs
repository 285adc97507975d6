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
use standin_manager::{CommandSpec, JobSpec, Options, StandIn, TaskSpec, Variable};

use crate::renderer::{Encoder, Renderer};

/// Frames once around.
pub(crate) const FRAMES: u16 = 18;
/// Frames per second of the video.
const RATE: u16 = 12;
/// First and last frame of each task of the two jobs.
const FIRST_PART: &[Chunk] = &[Chunk(1, 3), Chunk(4, 6)];
const SECOND_PART: &[Chunk] = &[Chunk(7, BEFORE_THE_LAST), Chunk(BEFORE_THE_LAST + 1, FRAMES)];

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
pub(crate) struct Shot<'a> {
    pub(crate) renderer: &'a Renderer,
    pub(crate) encoder: Option<&'a Encoder>,
    pub(crate) output: &'a Path,
}

/// Starts the Manager on a free port of 127.0.0.1.
///
/// # Errors
/// No port, or no folder for its files.
pub(crate) fn start(storage: &Path, renderer: &Renderer) -> io::Result<StandIn> {
    StandIn::start(Options {
        storage: Some(storage.to_owned()),
        name: "Demonstration".to_owned(),
        variables: vec![
            Variable::new("blender", "linux", &renderer.exe.to_string_lossy()),
            Variable::new("blenderArgs", "all", &renderer.exe_args),
        ],
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
        let mut job = JobSpec::new(name);
        "simple-blender-render".clone_into(&mut job.job_type);
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
        let parameters = json!({
            "exe": "{blender}",
            "exeArgs": "{blenderArgs}",
            "argsBefore": [],
            "blendfile": self.renderer.scene,
            "args": [
                "--render-output", self.output.join("turntable-####"),
                "--render-format", "PNG",
                "--render-frame", format!("{first}..{last}"),
            ],
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

#[cfg(test)]
mod tests {
    use super::*;

    fn in_shot<T>(encoder: Option<&Encoder>, look: impl FnOnce(&Shot<'_>) -> T) -> T {
        let renderer = Renderer {
            label: String::new(),
            exe: "/usr/bin/blender".into(),
            exe_args: "-b -y".to_owned(),
            scene: "/s/turntable.blend".into(),
        };
        look(&Shot {
            renderer: &renderer,
            encoder,
            output: Path::new("/o"),
        })
    }

    #[test]
    fn the_two_parts_render_each_frame_once() {
        let frames = FIRST_PART
            .iter()
            .chain(SECOND_PART)
            .flat_map(|Chunk(first, last)| *first..=*last);
        assert!(frames.eq(1..=FRAMES));
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
        assert_eq!(arguments[1], "/o/turntable-####");
        assert_eq!(arguments[5], "10..18");
    }

    #[test]
    fn the_pictures_looked_for_are_those_that_are_rendered() {
        let pictures: Vec<_> = in_shot(None, |shot| shot.pictures().collect());
        assert_eq!(pictures.len(), 18);
        assert_eq!(pictures[8], Path::new("/o/turntable-0009.png"));
    }
}
