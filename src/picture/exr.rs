// SPDX-License-Identifier: GPL-3.0-or-later

//! OpenEXR, block by block: of all layers, parts and views the first that is the picture. Scene-linear.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use exr::block::reader::ChunksReader;
use exr::block::{UncompressedBlock, read as read_meta};
use exr::meta::attribute::{IntegerBounds, SampleType};
use exr::meta::header::Header;
use exr::prelude::{Vec2, f16};

use super::canvas::Canvas;
use super::helpers::{Helpers, Work};
use super::light::Srgb;
use super::{PictureError, Source};

/// Bytes of one block, or of all that are decompressed at once. With DWAB a block has 256 rows: 16k with four floats has 67 MB,
/// 4K with twelve passes 190 MB. Each is in memory up to three times.
const LARGEST_BLOCK: usize = 128 << 20;

/// What is shown of a part: three channels, which are one and the same where there is no colour.
#[derive(Debug, Clone, Copy)]
struct PictureChannels {
    part: usize,
    channels: [usize; 3],
}

/// How well a layer stands for the picture; the least is the best, and the first of its kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    /// Of no named layer, as in a file with one.
    Plain,
    /// What Blender's compositor made of all.
    Composite,
    /// What a view layer came to.
    Combined,
    Colour,
    Luminance,
    Anything,
}

/// Where samples of a channel are in each row of a block.
#[derive(Debug, Clone, Copy)]
struct Channel {
    /// Bytes of the channels before it, for each pixel.
    before: usize,
    kind: SampleType,
}

pub(super) fn read(source: &mut dyn Source, helpers: &Helpers) -> Result<Canvas, PictureError> {
    let reader = read_meta(source, false)?;
    let Some(shown) = choose(reader.headers()) else {
        return Err(PictureError::Unsupported(
            "OpenEXR with deep or sub-sampled channels only".to_owned(),
        ));
    };
    let header = &reader.headers()[shown.part];
    let block = header.max_block_byte_size();
    if block > LARGEST_BLOCK {
        return Err(PictureError::TooLarge(format!("OpenEXR in blocks of {block} bytes")));
    }
    let at_once = (LARGEST_BLOCK / block.max(1)).min(helpers.count() + 1);
    let data = header.data_window();
    let frame = frame(data, header.shared_attributes.display_window);
    let side = |side: usize| u32::try_from(side).unwrap_or(u32::MAX);
    let canvas = Canvas::new(side(frame.size.width()), side(frame.size.height()))?;
    let mut painter = Painter {
        canvas,
        part: shown.part,
        left: i64::from(data.position.x()) - i64::from(frame.position.x()),
        top: i64::from(data.position.y()) - i64::from(frame.position.y()),
        bytes: header.channels.bytes_per_pixel,
        channels: shown.channels.map(|index| channel(header, index)),
        srgb: Srgb::new(),
    };
    let mut chunks = reader.filter_chunks(false, |_, _, block| painter.is_of_it(block.layer, block.level))?;
    let all = Arc::new(chunks.meta_data().clone());
    let mut under_way = VecDeque::new();
    loop {
        if under_way.len() == at_once
            && let Some(first) = under_way.pop_front()
        {
            painter.finish(first)?;
        }
        let Some(chunk) = chunks.next().transpose()? else { break };
        // A table of offsets may lead anywhere, also to blocks of a part that is not shown, of any size.
        if chunk.layer_index == shown.part {
            let all = Arc::clone(&all);
            under_way.push_back(helpers.give(move || UncompressedBlock::decompress_chunk(chunk, &all, false)));
        }
    }
    under_way.into_iter().try_for_each(|work| painter.finish(work))?;
    Ok(painter.canvas)
}

/// The display window; where nothing of the data lies in it, that of the data.
fn frame(data: IntegerBounds, display: IntegerBounds) -> IntegerBounds {
    let (from, to) = (data.position, data.end());
    let (first, last) = (display.position, display.end());
    let meets = from.x() < last.x() && first.x() < to.x() && from.y() < last.y() && first.y() < to.y();
    if meets { display } else { data }
}

/// The best of all parts.
fn choose(headers: &[Header]) -> Option<PictureChannels> {
    let mut best: Option<(Rank, PictureChannels)> = None;
    for (part, header) in headers.iter().enumerate() {
        let is_sampled = header
            .channels
            .list
            .iter()
            .any(|channel| channel.sampling != Vec2(1, 1));
        if header.deep || is_sampled {
            continue;
        }
        for (rank, channels) in candidates(header) {
            if best.is_none_or(|(so_far, _)| rank < so_far) {
                best = Some((rank, PictureChannels { part, channels }));
            }
        }
    }
    best.map(|(_, shown)| shown)
}

/// The layers of a part: names like `ViewLayer.Combined.R`, with a view before the letter where there are several.
fn candidates(header: &Header) -> Vec<(Rank, [usize; 3])> {
    let names: Vec<String> = header
        .channels
        .list
        .iter()
        .map(|channel| channel.name.to_string())
        .collect();
    let names: Vec<(&str, &str)> = names
        .iter()
        .map(|name| name.rsplit_once('.').unwrap_or(("", name)))
        .collect();
    let part = header.own_attributes.layer_name.as_ref().map(ToString::to_string);
    // There may be a hundred thousand. Of those with one name it is the first.
    let mut colours: HashMap<(&str, &str), usize> = HashMap::new();
    for (index, (layer, letter)) in names.iter().enumerate() {
        let colour = ["R", "G", "B"]
            .into_iter()
            .find(|colour| letter.eq_ignore_ascii_case(colour));
        if let Some(colour) = colour {
            colours.entry((*layer, colour)).or_insert(index);
        }
    }
    let candidate = |(index, (layer, letter)): (usize, &(&str, &str))| {
        let of_layer = |colour: &'static str| colours.get(&(*layer, colour)).copied();
        if let (Some(red), Some(green), Some(blue)) = (of_layer("R"), of_layer("G"), of_layer("B")) {
            return (rank(part.as_deref().unwrap_or(""), layer), [red, green, blue]);
        }
        let is_grey = ["Y", "V"].iter().any(|grey| letter.eq_ignore_ascii_case(grey));
        (if is_grey { Rank::Luminance } else { Rank::Anything }, [index; 3])
    };
    names.iter().enumerate().map(candidate).collect()
}

fn rank(part: &str, layer: &str) -> Rank {
    let has = |word: &str| part.split('.').chain(layer.split('.')).any(|name| name == word);
    if part.is_empty() && layer.is_empty() {
        Rank::Plain
    } else if has("Composite") {
        Rank::Composite
    } else if has("Combined") {
        Rank::Combined
    } else {
        Rank::Colour
    }
}

fn channel(header: &Header, index: usize) -> Channel {
    let channels = &header.channels.list;
    Channel {
        before: channels[..index]
            .iter()
            .map(|channel| channel.sample_type.bytes_per_sample())
            .sum(),
        kind: channels[index].sample_type,
    }
}

/// Knows where what is in a block goes.
#[derive(Debug)]
struct Painter {
    canvas: Canvas,
    part: usize,
    /// Of the data within the picture.
    left: i64,
    top: i64,
    /// Of a pixel with all its channels.
    bytes: usize,
    channels: [Channel; 3],
    srgb: Srgb,
}

impl Painter {
    fn is_of_it(&self, layer: usize, level: Vec2<usize>) -> bool {
        layer == self.part && level == Vec2(0, 0)
    }

    /// Paints what comes of it.
    fn finish(&mut self, work: Work<exr::error::Result<UncompressedBlock>>) -> Result<(), PictureError> {
        let Some(block) = work.wait() else {
            return Err(PictureError::Broken("OpenEXR".to_owned()));
        };
        let block = block?;
        if self.is_of_it(block.index.layer, block.index.level) {
            self.paint(&block);
        }
        Ok(())
    }

    fn paint(&mut self, block: &UncompressedBlock) {
        let width = block.index.pixel_size.width();
        let offset = |at: usize| i64::try_from(at).unwrap_or(i64::MAX / 2);
        let x = self.left + offset(block.index.pixel_position.x());
        let y = self.top + offset(block.index.pixel_position.y());
        for (y, row) in (y..).zip(block.data.chunks_exact((width * self.bytes).max(1))) {
            let light = self.channels.map(|channel| channel.light(row, width, &self.srgb));
            let [red, green, blue] = &light;
            let pixels = red.iter().zip(green).zip(blue);
            self.canvas
                .paint(x, y, pixels.map(|((red, green), blue)| [*red, *green, *blue]));
        }
    }
}

impl Channel {
    fn light(self, row: &[u8], width: usize, srgb: &Srgb) -> Vec<u8> {
        let samples = row.get(self.before * width..).unwrap_or_default();
        let floats = || samples.as_chunks::<4>().0.iter().take(width);
        match self.kind {
            SampleType::F16 => {
                let halves = samples.as_chunks::<2>().0.iter().take(width);
                halves.map(|bytes| srgb.half(f16::from_ne_bytes(*bytes))).collect()
            }
            SampleType::F32 => floats().map(|bytes| srgb.float(f32::from_ne_bytes(*bytes))).collect(),
            // They are numbers of things, and no light; what is something is white.
            SampleType::U32 => {
                let is_something = |bytes: &[u8; 4]| u32::from_ne_bytes(*bytes) > 0;
                floats()
                    .map(|bytes| if is_something(bytes) { u8::MAX } else { 0 })
                    .collect()
            }
        }
    }
}

impl From<exr::error::Error> for PictureError {
    fn from(error: exr::error::Error) -> Self {
        match error {
            exr::error::Error::Io(error) => Self::Io(error),
            exr::error::Error::NotSupported(what) => Self::Unsupported(format!("OpenEXR: {what}")),
            exr::error::Error::Invalid(what) => Self::Broken(format!("OpenEXR: {what}")),
            exr::error::Error::Aborted => Self::Broken("OpenEXR".to_owned()),
        }
    }
}

#[cfg(test)]
#[path = "exr_tests.rs"]
mod tests;
