// SPDX-License-Identifier: GPL-3.0-or-later

//! Formats whose decoders want the whole picture in memory: JPEG, WebP, BMP and TGA.

use image::codecs::bmp::BmpDecoder;
use image::codecs::jpeg::JpegDecoder;
use image::codecs::tga::TgaDecoder;
use image::codecs::webp::WebPDecoder;
use image::{ColorType, ImageDecoder, ImageError, Limits};

use super::canvas::Canvas;
use super::{PictureError, Source, over_black};

/// Bytes of a picture in memory: 16k x 8k with three bytes a pixel.
const MOST_PIXELS: u64 = 400 << 20;

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
    let mut decoder: Box<dyn ImageDecoder + '_> = match format {
        WholeFormat::Jpeg => Box::new(JpegDecoder::new(source)?),
        WholeFormat::WebP => Box::new(WebPDecoder::new(source)?),
        WholeFormat::Bmp => Box::new(BmpDecoder::new(source)?),
        WholeFormat::Tga => Box::new(TgaDecoder::new(source)?),
    };
    let (width, height) = decoder.dimensions();
    let mut canvas = Canvas::new(width, height)?;
    if decoder.total_bytes() > MOST_PIXELS {
        return Err(PictureError::TooLarge(format!(
            "{width} x {height} pixels as {format:?}"
        )));
    }
    let mut limits = Limits::no_limits();
    limits.max_alloc = Some(MOST_PIXELS);
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
