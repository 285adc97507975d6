// SPDX-License-Identifier: GPL-3.0-or-later
//! Small pictures: 256 colours are enough for a page, if those of its own are kept as they are.

use std::{collections::HashMap, error::Error};

use color_quant::NeuQuant;

/// Of the page itself, exactly; the rest of the palette is for what was rendered.
const OWN_COLOURS: usize = 128;
const COLOURS: usize = 256;
/// Of 1 to 30: every pixel is looked at.
const THOROUGH: i32 = 1;

/// About the same pixels, in a quarter of the bytes.
pub(crate) fn small(png: &[u8]) -> Result<Vec<u8>, Box<dyn Error>> {
    let picture = image::load_from_memory(png)?.into_rgba8();
    let mut counts: HashMap<[u8; 4], usize> = HashMap::new();
    for pixel in picture.pixels() {
        *counts.entry(pixel.0).or_default() += 1;
    }
    let mut colours: Vec<_> = counts.into_iter().collect();
    colours.sort_by_key(|(colour, count)| (std::cmp::Reverse(*count), *colour));
    let own: HashMap<[u8; 4], usize> = colours
        .iter()
        .take(OWN_COLOURS)
        .map(|(colour, _)| *colour)
        .zip(0..)
        .collect();
    let rest: Vec<u8> = picture
        .pixels()
        .map(|pixel| pixel.0)
        .filter(|pixel| !own.contains_key(pixel))
        .flatten()
        .collect();
    let others = NeuQuant::new(THOROUGH, COLOURS - OWN_COLOURS, &rest);
    let mut palette: Vec<u8> = colours
        .iter()
        .take(OWN_COLOURS)
        .flat_map(|(colour, _)| colour[..3].to_vec())
        .collect();
    palette.resize(OWN_COLOURS * 3, 0);
    palette.extend(others.color_map_rgb());
    let number = |pixel: &[u8; 4]| {
        own.get(pixel)
            .copied()
            .unwrap_or_else(|| OWN_COLOURS + others.index_of(pixel))
    };
    let pixels = picture.pixels().map(|pixel| u8::try_from(number(&pixel.0)));
    encode(
        (picture.width(), picture.height()),
        palette,
        &pixels.collect::<Result<Vec<_>, _>>()?,
    )
}

fn encode((width, height): (u32, u32), palette: Vec<u8>, pixels: &[u8]) -> Result<Vec<u8>, Box<dyn Error>> {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, width, height);
    encoder.set_color(png::ColorType::Indexed);
    encoder.set_palette(palette);
    encoder.set_compression(png::Compression::High);
    encoder.set_filter(png::Filter::NoFilter);
    encoder.write_header()?.write_image_data(pixels)?;
    Ok(bytes)
}
