// SPDX-License-Identifier: GPL-3.0-or-later

//! JPEG 2000. It is decoded no finer than it is shown.

use std::io::Read;

use hayro_jpeg2000::{ColorSpace, DecodeSettings, Image};

use super::canvas::Canvas;
use super::{FITS, PictureError, Source, over_black};

/// Bytes of a file. Blender's of 8K have some 50 MB at most.
const LARGEST_FILE: u64 = 128 << 20;
/// Pixels that are decoded: twice the side that is shown, four bytes each for up to four planes and a copy of them.
const MOST_PIXELS: u64 = 4 * 1920 * 1080;

pub(super) fn read(source: &mut dyn Source) -> Result<Canvas, PictureError> {
    let mut bytes = Vec::new();
    source.take(LARGEST_FILE + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > LARGEST_FILE {
        return Err(PictureError::TooLarge("a JPEG 2000 of more than 128 MB".to_owned()));
    }
    let settings = DecodeSettings {
        target_resolution: Some(FITS),
        ..DecodeSettings::default()
    };
    let broken = |error| PictureError::Broken(format!("{error}"));
    let image = Image::new(&bytes, &settings).map_err(broken)?;
    let mut canvas = Canvas::new(image.width(), image.height())?;
    if u64::from(image.width()) * u64::from(image.height()) > MOST_PIXELS {
        let (width, height) = (image.width(), image.height());
        return Err(PictureError::TooLarge(format!(
            "JPEG 2000, {width} x {height} pixels at once"
        )));
    }
    if !matches!(image.color_space(), ColorSpace::Gray | ColorSpace::RGB) {
        return Err(PictureError::Unsupported(
            "JPEG 2000 of another colour space".to_owned(),
        ));
    }
    let samples = usize::from(image.color_space().num_channels()) + usize::from(image.has_alpha());
    let pixels = image.decode().map_err(broken)?;
    for (y, row) in (0..).zip(pixels.chunks_exact(image.width() as usize * samples)) {
        canvas.paint(0, y, over_black(row, samples));
    }
    Ok(canvas)
}
