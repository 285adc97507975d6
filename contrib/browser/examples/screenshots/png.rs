// SPDX-License-Identifier: GPL-3.0-or-later
//! Small pictures: the browser's own PNGs are packed in haste.

use std::error::Error;

use image::{
    DynamicImage, ImageEncoder,
    codecs::png::{CompressionType, FilterType, PngEncoder},
};

/// The same pixels, in fewer bytes.
pub(crate) fn small(png: &[u8]) -> Result<Vec<u8>, Box<dyn Error>> {
    let picture = DynamicImage::from(image::load_from_memory(png)?.into_rgb8());
    let mut bytes = Vec::new();
    PngEncoder::new_with_quality(&mut bytes, CompressionType::Best, FilterType::Adaptive).write_image(
        picture.as_bytes(),
        picture.width(),
        picture.height(),
        picture.color().into(),
    )?;
    Ok(bytes)
}
