// SPDX-License-Identifier: GPL-3.0-or-later

//! Formats whose decoders want the whole picture in memory: JPEG, WebP, BMP and TGA.

use std::io::{self, SeekFrom};

use image::codecs::bmp::BmpDecoder;
use image::codecs::jpeg::JpegDecoder;
use image::codecs::tga::TgaDecoder;
use image::codecs::webp::WebPDecoder;
use image::{ColorType, ImageDecoder, ImageError, Limits};

use super::canvas::Canvas;
use super::{FixedHeader, PictureError, Source, jpeg, over_black};

/// Bytes of a decoder with all its pixels: a JPEG of 16k x 8k, and its file of up to 64 MB. The process is given a little
/// more.
const MOST_BYTES: u64 = 448 << 20;

/// The formats.
#[derive(Debug, Clone, Copy)]
pub(super) enum WholeFormat {
    Jpeg,
    WebP,
    Bmp,
    Tga,
}

/// Of an animation it is the first picture.
pub(super) fn read(source: &mut dyn Source, format: WholeFormat) -> Result<Canvas, PictureError> {
    let needs = Needs::of(source, format)?;
    let mut decoder: Box<dyn ImageDecoder + '_> = match format {
        WholeFormat::Jpeg => Box::new(JpegDecoder::new(source)?),
        WholeFormat::WebP => Box::new(WebPDecoder::new(source)?),
        WholeFormat::Bmp => Box::new(BmpDecoder::new(source)?),
        WholeFormat::Tga => Box::new(TgaDecoder::new(source)?),
    };
    let (width, height) = decoder.dimensions();
    let mut canvas = Canvas::new(width, height)?;
    let pixels = u64::from(width) * u64::from(height);
    let bytes = decoder.total_bytes() + needs.fixed + needs.a_pixel * pixels;
    if bytes > MOST_BYTES {
        return Err(PictureError::TooLarge(format!(
            "{width} x {height} pixels as {format:?}, whose decoder needs {} MB",
            bytes >> 20
        )));
    }
    let mut limits = Limits::no_limits();
    limits.max_alloc = Some(MOST_BYTES);
    decoder.set_limits(limits)?;
    let color = decoder.color_type();
    if !matches!(
        color,
        ColorType::L8 | ColorType::La8 | ColorType::Rgb8 | ColorType::Rgba8
    ) {
        return Err(PictureError::Unsupported(format!("{format:?} with {color:?}")));
    }
    let samples = usize::from(color.channel_count());
    let mut pixels = vec![0; usize::try_from(decoder.total_bytes()).unwrap_or(usize::MAX)];
    decoder.read_image(&mut pixels)?;
    for (y, row) in (0..).zip(pixels.chunks_exact(width as usize * samples)) {
        canvas.paint(0, y, over_black(row, samples));
    }
    Ok(canvas)
}

/// What a decoder has in memory beside its result, in bytes, as their code has it (zune-jpeg 0.5, image-webp 0.2).
#[derive(Debug, Default)]
struct Needs {
    fixed: u64,
    a_pixel: u64,
}

impl Needs {
    fn of(source: &mut dyn Source, format: WholeFormat) -> io::Result<Self> {
        let needs = match format {
            WholeFormat::Bmp | WholeFormat::Tga => Self::default(),
            WholeFormat::WebP => {
                let header = FixedHeader::read(source, 16, true)?;
                let a_pixel = match header.bytes.get(12..) {
                    // Brightness, and colour at half its resolution.
                    Some(b"VP8 ") => 2,
                    // The same picture with alpha.
                    Some(b"VP8L") => 4,
                    // An animation's canvas and its first picture; or alpha, which comes as a picture.
                    _ => 10,
                };
                Self { fixed: 0, a_pixel }
            }
            WholeFormat::Jpeg => Self {
                a_pixel: 2 * u64::from(jpeg::kept_components(source)?),
                // The file, in a list that has doubled until it fit.
                fixed: source.seek(SeekFrom::End(0))?.next_power_of_two(),
            },
        };
        source.rewind()?;
        Ok(needs)
    }
}

impl From<ImageError> for PictureError {
    fn from(error: ImageError) -> Self {
        match error {
            ImageError::IoError(error) => Self::Io(error),
            ImageError::Unsupported(error) => Self::Unsupported(error.to_string()),
            ImageError::Limits(error) => Self::TooLarge(error.to_string()),
            ImageError::Decoding(_) | ImageError::Encoding(_) | ImageError::Parameter(_) => {
                Self::Broken(error.to_string())
            }
        }
    }
}
