// SPDX-License-Identifier: GPL-3.0-or-later
//! The hidden role that stands in for Blender where there is none: it takes Blender's arguments, writes Blender's lines, and
//! saves colours that move from picture to picture, so the job, the worker and the Manager see no difference.
//!
//! ```text
//! demo demo-render -b -y SCENE --render-output DIR/name-#### --render-format PNG --render-frame 1..3
//! ```

use std::{
    error::Error,
    ffi::OsString,
    fs,
    io::{self, Write},
    ops::RangeInclusive,
    path::{Path, PathBuf},
    process::ExitCode,
    thread,
    time::Duration,
};

use clap::Parser;
use image::{ImageFormat, Rgb, RgbImage};

use crate::{farm::FRAMES, renderer::FRAME_TIME};

/// The hidden first word.
pub(crate) const ROLE: &str = "demo-render";
/// Renders frames whose pictures exist; without it they are skipped, as the scene for Blender has it.
pub(crate) const OVERWRITE: &str = "--overwrite";
/// Takes four times as long.
pub(crate) const THOROUGH: &str = "--thorough";

/// Pixels of a picture.
const SIZE: (u32, u32) = (640, 360);

/// What one run is asked for, with Blender's names of its options.
#[derive(Debug, Parser)]
struct Run {
    #[arg(short)]
    b: bool,
    #[arg(short)]
    y: bool,
    scene: PathBuf,
    #[arg(long)]
    render_output: String,
    #[arg(long)]
    render_format: String,
    #[arg(long, value_parser = frame_range)]
    render_frame: RangeInclusive<u16>,
    #[arg(long)]
    overwrite: bool,
    #[arg(long)]
    thorough: bool,
}

/// Renders as the words say.
pub(crate) fn render(words: impl Iterator<Item = OsString>) -> ExitCode {
    let mut out = io::stdout();
    let run = Run::try_parse_from([OsString::from(ROLE)].into_iter().chain(words));
    match run.map_err(Into::into).and_then(|run| run.carry_out(&mut out)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            writeln!(out, "Error: {error}").ok();
            ExitCode::FAILURE
        }
    }
}

impl Run {
    fn carry_out(&self, out: &mut impl Write) -> Result<(), Box<dyn Error>> {
        writeln!(out, "Read blend: {}", self.scene.display())?;
        let time = FRAME_TIME * if self.thorough { 4 } else { 1 };
        for frame in self.render_frame.clone() {
            let path = self.render_output.replace("####", &format!("{frame:04}")) + ".png";
            if Path::new(&path).exists() && !self.overwrite {
                writeln!(out, "skipping existing frame \"{path}\"")?;
                continue;
            }
            writeln!(out, "Fra:{frame} Mem:0.66M (Peak 0.66M) | Time:00:00.00 | Rendering")?;
            thread::sleep(time);
            save(frame, Path::new(&path))?;
            // As Blender 3.4 says it: the blank before `Time:` included.
            writeln!(out, "Saved: '{path}'\n {}\n", time_line(time))?;
        }
        Ok(writeln!(out, "\nBlender quit")?)
    }
}

/// `4..6`, or `7` for one.
fn frame_range(text: &str) -> Result<RangeInclusive<u16>, String> {
    let (first, last) = text.split_once("..").unwrap_or((text, text));
    match (first.parse(), last.parse()) {
        (Ok(first), Ok(last)) if first <= last => Ok(first..=last),
        (Ok(_) | Err(_), Ok(_) | Err(_)) => Err(format!("\"{text}\" is not a range of frames")),
    }
}

fn time_line(time: Duration) -> String {
    let (seconds, hundredths) = (time.as_secs(), time.subsec_millis() / 10);
    format!("Time: 00:{seconds:02}.{hundredths:02} (Saving: 00:00.00)")
}

/// In two steps, so that a render that is killed leaves a whole picture or none.
fn save(frame: u16, path: &Path) -> Result<(), Box<dyn Error>> {
    let unfinished = path.with_extension("png.part");
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    picture(frame).save_with_format(&unfinished, ImageFormat::Png)?;
    Ok(fs::rename(&unfinished, path)?)
}

/// Three gradients, of which one has gone once around after all frames.
fn picture(frame: u16) -> RgbImage {
    let (width, height) = SIZE;
    let turn = u32::from(frame) * width / u32::from(FRAMES);
    let share = |part: u32, of: u32| u8::try_from(part * 255 / of).unwrap_or(u8::MAX);
    RgbImage::from_fn(width, height, |x, y| {
        let around = (x + turn) % width;
        let there_and_back = around.min(width - around) * 2;
        Rgb([share(there_and_back, width), share(y, height), share(x, width)])
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_renders_what_is_missing_and_keeps_what_is_there_with_blender_s_words() {
        let folder = tempfile::tempdir().unwrap();
        let picture = |frame| folder.path().join(format!("t-{frame:04}.png"));
        fs::write(picture(2), "there").unwrap();
        let output = folder.path().join("t-####");
        let run = |frames: &str, more: &[&str]| {
            let words = "demo-render -b -y /s/scene.blend --render-format PNG --render-output";
            let words = words
                .split(' ')
                .chain([output.to_str().unwrap(), "--render-frame", frames]);
            let mut said = Vec::new();
            let run = Run::try_parse_from(words.chain(more.iter().copied())).unwrap();
            run.carry_out(&mut said).unwrap();
            String::from_utf8(said).unwrap()
        };
        let said = run("1..2", &[]);
        let saved = format!(
            "Saved: '{}'\n Time: 00:00.35 (Saving: 00:00.00)\n",
            picture(1).display()
        );
        assert!(said.contains(&saved), "{said}");
        assert_eq!(said.matches("\nskipping existing frame \"").count(), 1, "{said}");
        assert_eq!(fs::read(picture(2)).unwrap(), b"there");
        run("2", &[OVERWRITE]);
        assert_eq!(image::image_dimensions(picture(2)).unwrap(), SIZE);
    }

    #[test]
    fn frames_are_ranges_that_go_up() {
        assert_eq!(frame_range("7"), Ok(7..=7));
        assert_eq!(frame_range("4..6"), Ok(4..=6));
        for wrong in ["", "6..4", "1-3", "a..b"] {
            assert!(frame_range(wrong).is_err(), "{wrong}");
        }
    }
}
