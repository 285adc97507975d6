// SPDX-License-Identifier: GPL-3.0-or-later

//! The preview process: reads one image of unknown origin and writes a small JPEG of it.
//!
//! It is a process of its own, because an image can be hostile or just huge: it may run out of memory or time,
//! and only it ends. It knows nothing of tasks and connects to nothing.

use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io::{self, BufReader, BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process::ExitCode;

use image::codecs::jpeg::JpegEncoder;
use image::imageops::FilterType;
use image::{DynamicImage, ImageError, ImageFormat, ImageReader, Limits, RgbImage};
use nix::sys::resource::{Resource, setrlimit};

use crate::files;

/// First argument that makes a `flamenco-worker` this process; then the image, then where the small one goes.
pub(crate) const PREVIEW_ROLE: &str = "__flamenco-picture";

/// What the Manager makes of it; more would be scaled down there.
const FITS: (u32, u32) = (1920, 1080);
/// JPEG quality, 1-100. The Go worker's.
const QUALITY: u8 = 85;
/// Longest side of an image that is looked at, in pixels.
const LONGEST_SIDE: u32 = 16_384;
/// Bytes for the decoded image: 16k x 8k with 4 bytes a pixel. 8K with 16 bits a channel takes half of it.
const MOST_PIXELS: u64 = 512 << 20;
/// Address space of the whole process, in bytes: the image, the small ones while scaling, the program.
const MOST_MEMORY: u64 = 1280 << 20;

/// The exit code of this process; only the log shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum PreviewExit {
    Done = 0,
    Failed = 1,
    /// The arguments make no sense.
    Misused = 2,
    /// Not a PNG or JPEG: nothing is wrong, there just is no picture.
    NoPicture = 3,
}

/// Runs the process. `args` follow [`PREVIEW_ROLE`]. Blocks; needs no runtime.
pub(crate) fn preview_main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let args: Vec<OsString> = args.into_iter().collect();
    let end = match args.as_slice() {
        [input, output] => limited(Path::new(input), Path::new(output)),
        _ => PreviewExit::Misused,
    };
    ExitCode::from(end as u8)
}

fn limited(input: &Path, output: &Path) -> PreviewExit {
    // Without it the image's own limits hold, and the sender's time.
    setrlimit(Resource::RLIMIT_AS, MOST_MEMORY, MOST_MEMORY).ok();
    match shrink(input, output) {
        Ok(end) => end,
        Err(error) => {
            // It may be closed.
            writeln!(io::stderr(), "{}: {error}", input.display()).ok();
            PreviewExit::Failed
        }
    }
}

/// Reads `input` and writes a JPEG to `output` that fits the Manager's largest. Never enlarges.
fn shrink(input: &Path, output: &Path) -> Result<PreviewExit, ImageError> {
    if !input.metadata()?.is_file() {
        return Ok(PreviewExit::NoPicture);
    }
    let mut reader = ImageReader::new(BufReader::new(File::open(input)?)).with_guessed_format()?;
    if !matches!(reader.format(), Some(ImageFormat::Png | ImageFormat::Jpeg)) {
        return Ok(PreviewExit::NoPicture);
    }
    let mut limits = Limits::no_limits();
    limits.max_image_width = Some(LONGEST_SIDE);
    limits.max_image_height = Some(LONGEST_SIDE);
    limits.max_alloc = Some(MOST_PIXELS);
    reader.limits(limits);
    let mut image = reader.decode()?;
    if image.width() > FITS.0 || image.height() > FITS.1 {
        image = image.resize(FITS.0, FITS.1, FilterType::Triangle);
    }
    let mut made = OpenOptions::new();
    made.write(true).create(true).truncate(true).mode(0o600);
    let mut file = BufWriter::new(files::open_with(output, &mut made)?);
    JpegEncoder::new_with_quality(&mut file, QUALITY).encode_image(&over_black(image))?;
    file.flush()?;
    Ok(PreviewExit::Done)
}

/// What is transparent becomes black, as it does where the Manager itself makes a JPEG of a PNG.
fn over_black(image: DynamicImage) -> RgbImage {
    if !image.color().has_alpha() {
        return image.into_rgb8();
    }
    let image = image.into_rgba8();
    let mut small = RgbImage::new(image.width(), image.height());
    for (to, from) in small.pixels_mut().zip(image.pixels()) {
        let [red, green, blue, alpha] = from.0;
        to.0 = [red, green, blue].map(|light| through(light, alpha));
    }
    small
}

fn through(light: u8, alpha: u8) -> u8 {
    u8::try_from(u16::from(light) * u16::from(alpha) / 255).unwrap_or(u8::MAX)
}

#[cfg(test)]
#[path = "preview_process_tests.rs"]
mod tests;
