// SPDX-License-Identifier: GPL-3.0-or-later
//! The hidden role that renders where there is no Blender. It takes Blender's arguments and writes Blender's lines, so the
//! job, the worker and the Manager see no difference.
//!
//! ```text
//! demo demo-render -b -y SCENE --render-output DIR/name-#### --render-format PNG --render-frame 1..3
//! ```

use std::{
    ffi::OsString,
    fs,
    io::{self, Write},
    ops::RangeInclusive,
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use tokio::time::Instant;

use crate::tracer::{SIZE, Scene};

/// The hidden first word.
pub(crate) const ROLE: &str = "demo-render";

/// Renders frames whose pictures exist; without it they are skipped, as the scene for Blender has it.
pub(crate) const OVERWRITE: &str = "--overwrite";
/// Twice as many samples along each side.
pub(crate) const THOROUGH: &str = "--thorough";

/// What one run is asked for.
#[derive(Debug, PartialEq, Eq)]
struct Run {
    scene: PathBuf,
    output: String,
    frames: RangeInclusive<u16>,
    overwrite: bool,
    thorough: bool,
}

/// What a scene file of ours holds: `frames=24 samples=2`.
#[derive(Debug, PartialEq, Eq)]
struct SceneFile {
    frames: u16,
    samples: u16,
}

/// Renders as the words say.
pub(crate) fn render(words: impl Iterator<Item = OsString>) -> ExitCode {
    let mut out = io::stdout();
    match Run::parse(words).and_then(|run| run.carry_out(&mut out)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _nobody_else_to_tell = writeln!(out, "Error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Writes a scene of that many frames, with as many samples as fit into the time for one.
pub(crate) fn write_scene(path: &Path, frames: u16, target: Duration) -> io::Result<()> {
    let began = Instant::now();
    drop(Scene::at(0.0).picture(1));
    let once = began.elapsed().max(Duration::from_micros(1));
    let wanted = target.div_duration_f32(once).sqrt();
    // Samples are counted along one side: at most 12 x 12.
    let samples = (1..=12_u16).rev().find(|side| f32::from(*side) <= wanted).unwrap_or(1);
    fs::write(path, format!("frames={frames} samples={samples}\n"))
}

impl Run {
    fn parse(words: impl Iterator<Item = OsString>) -> Result<Self, String> {
        let words: Vec<String> = words.map(|word| word.to_string_lossy().into_owned()).collect();
        let after = |flag: &str| {
            let at = words.iter().position(|word| word == flag);
            let value = at.and_then(|at| words.get(at + 1)).cloned();
            value.ok_or_else(|| format!("{flag} is missing"))
        };
        let given = |flag: &str| words.iter().any(|word| word == flag);
        let scene = words.iter().find(|word| !word.starts_with('-'));
        Ok(Self {
            scene: scene.ok_or("no scene is given")?.into(),
            output: after("--render-output")?,
            frames: frame_range(&after("--render-frame")?)?,
            overwrite: given(OVERWRITE),
            thorough: given(THOROUGH),
        })
    }

    fn carry_out(&self, out: &mut impl Write) -> Result<(), String> {
        let text = fs::read_to_string(&self.scene)
            .map_err(|error| format!("Cannot read file \"{}\": {error}", self.scene.display()))?;
        let scene = SceneFile::parse(&text).ok_or("the scene is not one of this renderer's")?;
        let samples = if self.thorough {
            scene.samples * 2
        } else {
            scene.samples
        };
        let mut say = |line: &str| writeln!(out, "{line}").and_then(|()| out.flush());
        let said = |error: io::Error| error.to_string();
        say(&format!("flamenco-worker demo renderer {}", env!("CARGO_PKG_VERSION"))).map_err(said)?;
        say(&format!("Read blend: {}", self.scene.display())).map_err(said)?;
        for frame in self.frames.clone() {
            let path = frame_path(&self.output, frame);
            if path.exists() && !self.overwrite {
                say(&format!("skipping existing frame \"{}\"", path.display())).map_err(said)?;
                continue;
            }
            let began = Instant::now();
            say(&progress_line(frame, samples)).map_err(said)?;
            let turn = f32::from(frame - 1) / f32::from(scene.frames.max(1));
            let picture = Scene::at(turn).picture(samples);
            let rendered = began.elapsed();
            save(&picture, &path).map_err(|error| format!("cannot save {}: {error}", path.display()))?;
            let whole = began.elapsed();
            say(&saved_lines(&path, whole, whole.saturating_sub(rendered))).map_err(said)?;
        }
        say("\nBlender quit").map_err(said)
    }
}

impl SceneFile {
    fn parse(text: &str) -> Option<Self> {
        let (frames, samples) = text.trim().strip_prefix("frames=")?.split_once(" samples=")?;
        Some(Self {
            frames: frames.parse().ok()?,
            samples: samples.parse().ok()?,
        })
    }
}

/// `4..6`, or `7` for one.
fn frame_range(text: &str) -> Result<RangeInclusive<u16>, String> {
    let (first, last) = text.split_once("..").unwrap_or((text, text));
    match (first.parse::<u16>(), last.parse()) {
        (Ok(first), Ok(last)) if 1 <= first && first <= last => Ok(first..=last),
        (Ok(_) | Err(_), Ok(_) | Err(_)) => Err(format!("\"{text}\" is not a range of frames")),
    }
}

/// The row of `#` becomes the frame's number; the ending is added as Blender adds it.
fn frame_path(output: &str, frame: u16) -> PathBuf {
    let Some(last) = output.rfind('#') else {
        return format!("{output}{frame:04}.png").into();
    };
    let first = output[..=last]
        .rfind(|letter| letter != '#')
        .map_or(0, |at| at + output[at..].chars().next().map_or(0, char::len_utf8));
    let width = last + 1 - first;
    format!("{}{frame:0width$}{}.png", &output[..first], &output[last + 1..]).into()
}

/// In two steps, so that a render that is killed leaves a whole picture or none.
fn save(picture: &image::RgbImage, path: &Path) -> Result<(), image::ImageError> {
    let unfinished = path.with_extension("png.part");
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    picture.save_with_format(&unfinished, image::ImageFormat::Png)?;
    Ok(fs::rename(&unfinished, path)?)
}

fn progress_line(frame: u16, samples: u16) -> String {
    let bytes = f32::from(SIZE.0) * f32::from(SIZE.1) * 3.0;
    let mem = bytes / f32::from(1_u16 << 10) / f32::from(1_u16 << 10);
    let all = u32::from(samples) * u32::from(samples);
    format!("Fra:{frame} Mem:{mem:.2}M (Peak {mem:.2}M) | Time:00:00.00 | Rendering 1 / {all} samples")
}

/// As Blender 3.4 says it: the blank before `Time:` included.
fn saved_lines(path: &Path, whole: Duration, saving: Duration) -> String {
    let (path, whole, saving) = (path.display(), minutes(whole), minutes(saving));
    format!("Saved: '{path}'\n Time: {whole} (Saving: {saving})\n")
}

fn minutes(time: Duration) -> String {
    let seconds = time.as_secs();
    format!(
        "{:02}:{:02}.{:02}",
        seconds / 60,
        seconds % 60,
        time.subsec_millis() / 10
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> impl Iterator<Item = OsString> {
        line.split_whitespace().map(OsString::from)
    }

    #[test]
    fn the_arguments_of_a_render_task_are_understood() {
        let line = "-b -y /s/scene.txt --render-output /o/t-#### --render-format PNG --render-frame 4..6";
        let run = Run {
            scene: "/s/scene.txt".into(),
            output: "/o/t-####".to_owned(),
            frames: 4..=6,
            overwrite: false,
            thorough: false,
        };
        assert_eq!(Run::parse(words(line)), Ok(run));
        assert!(Run::parse(words("-b scene --render-output x")).is_err_and(|it| it.contains("--render-frame")));
    }

    #[test]
    fn frames_are_ranges_that_go_up_from_one() {
        assert_eq!(frame_range("7"), Ok(7..=7));
        for wrong in ["", "0", "6..4", "1-3", "a..b"] {
            assert!(frame_range(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn hashes_become_the_number() {
        assert_eq!(frame_path("/o/t-####", 7), Path::new("/o/t-0007.png"));
        assert_eq!(frame_path("/ü/##x", 7), Path::new("/ü/07x.png"));
        assert_eq!(frame_path("/o/t", 123), Path::new("/o/t0123.png"));
    }

    #[test]
    fn lines_are_those_of_blender() {
        let lines = saved_lines(
            Path::new("/o/0001.png"),
            Duration::from_millis(61_859),
            Duration::from_millis(600),
        );
        assert_eq!(lines, "Saved: '/o/0001.png'\n Time: 01:01.85 (Saving: 00:00.60)\n");
        assert!(progress_line(3, 2).starts_with("Fra:3 Mem:0.66M "));
    }

    #[test]
    fn a_run_renders_what_is_missing_and_keeps_what_is_there() {
        let folder = tempfile::tempdir().unwrap();
        let scene = folder.path().join("scene");
        fs::write(&scene, "frames=4 samples=1\n").unwrap();
        let output = folder.path().join("t-####");
        fs::write(folder.path().join("t-0002.png"), "there").unwrap();
        let mut run = Run {
            scene,
            output: output.to_string_lossy().into_owned(),
            frames: 1..=3,
            overwrite: false,
            thorough: false,
        };
        let mut said = Vec::new();
        run.carry_out(&mut said).unwrap();
        let said = String::from_utf8(said).unwrap();
        assert_eq!(said.matches("\nSaved: '").count(), 2, "{said}");
        assert_eq!(said.matches("\nskipping existing frame \"").count(), 1, "{said}");
        assert_eq!(fs::read(folder.path().join("t-0002.png")).unwrap(), b"there");
        assert_eq!(
            image::image_dimensions(folder.path().join("t-0003.png")).unwrap(),
            (640, 360)
        );
        run.overwrite = true;
        run.carry_out(&mut Vec::new()).unwrap();
        assert!(image::image_dimensions(folder.path().join("t-0002.png")).is_ok());
    }
}
