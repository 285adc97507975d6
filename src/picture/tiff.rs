// SPDX-License-Identifier: GPL-3.0-or-later

//! TIFF, strip by strip or tile by tile; the first picture of several. Floats are scene-linear.

use tiff::decoder::{ChunkType, Decoder, DecodingResult, Limits};
use tiff::tags::Tag;
use tiff::{ColorType, TiffError};

use super::canvas::Canvas;
use super::light::Srgb;
use super::{PictureError, Source, over_black};

/// Bytes of a strip or tile, decoded. A picture of 8K in one strip has 133 MB with 8 bits a sample.
const LARGEST_CHUNK: usize = 160 << 20;
/// Bytes of a value in the directory: the offsets of a million strips.
const LARGEST_VALUE: usize = 8 << 20;
/// The value of ExtraSamples where colours are already multiplied with their alpha.
const ASSOCIATED_ALPHA: u16 = 1;

pub(super) fn read(source: &mut dyn Source) -> Result<Canvas, PictureError> {
    let mut limits = Limits::default();
    limits.decoding_buffer_size = LARGEST_CHUNK;
    limits.intermediate_buffer_size = LARGEST_CHUNK;
    limits.ifd_value_size = LARGEST_VALUE;
    let mut decoder = Decoder::new(source)?.with_limits(limits);
    let (width, height) = decoder.dimensions()?;
    let mut canvas = Canvas::new(width, height)?;
    let color = decoder.colortype()?;
    let has_alpha = matches!(color, ColorType::GrayA(_) | ColorType::RGBA(_));
    let is_plain = matches!(color, ColorType::Gray(_) | ColorType::RGB(_));
    if !(has_alpha || is_plain) || color.bit_depth() < 8 {
        return Err(PictureError::Unsupported(format!("a TIFF with {color:?}")));
    }
    let samples = color.num_samples();
    let is_associated = has_alpha && extra_sample(&mut decoder)? == Some(ASSOCIATED_ALPHA);
    let colours = if is_associated { samples - 1 } else { samples };
    if decoder.find_tag_unsigned::<u16>(Tag::PlanarConfiguration)? == Some(2) && samples > 1 {
        return Err(PictureError::Unsupported("a TIFF with planes".to_owned()));
    }
    let chunks = match decoder.get_chunk_type() {
        ChunkType::Strip => decoder.strip_count()?,
        ChunkType::Tile => decoder.tile_count()?,
    };
    let pixel = Pixel {
        samples: samples.into(),
        colours: colours.into(),
    };
    let srgb = Srgb::new();
    let (across, down) = decoder.chunk_dimensions();
    let in_row = width.div_ceil(across.max(1)).max(1);
    for chunk in 0..chunks {
        let (left, top) = (
            u64::from(chunk % in_row) * u64::from(across),
            u64::from(chunk / in_row) * u64::from(down),
        );
        if top >= height.into() {
            break;
        }
        let (columns, _) = decoder.chunk_data_dimensions(chunk);
        let bytes = to_srgb8(decoder.read_chunk(chunk)?, &srgb)?;
        let left = i64::try_from(left).unwrap_or(i64::MAX);
        let top = i64::try_from(top).unwrap_or(i64::MAX);
        let rows = bytes.chunks_exact((columns as usize * pixel.samples).max(1));
        for (y, row) in (top..).zip(rows) {
            canvas.paint(left, y, pixel.over_black(row));
        }
    }
    Ok(canvas)
}

#[derive(Debug, Clone, Copy)]
struct Pixel {
    samples: usize,
    /// How many of them are looked at.
    colours: usize,
}

impl Pixel {
    fn over_black(self, row: &[u8]) -> impl Iterator<Item = [u8; 3]> {
        let pixels = row.chunks_exact(self.samples);
        pixels.filter_map(move |pixel| over_black(&pixel[..self.colours], self.colours).next())
    }
}

fn extra_sample(decoder: &mut Decoder<&mut dyn Source>) -> Result<Option<u16>, TiffError> {
    let found = decoder.find_tag_unsigned_vec::<u16>(Tag::ExtraSamples)?;
    Ok(found.and_then(|extra| extra.first().copied()))
}

/// Eight bits of each sample.
fn to_srgb8(chunk: DecodingResult, srgb: &Srgb) -> Result<Vec<u8>, PictureError> {
    Ok(match chunk {
        DecodingResult::U8(samples) => samples,
        DecodingResult::U16(samples) => samples.into_iter().map(|sample| sample.to_be_bytes()[0]).collect(),
        DecodingResult::U32(samples) => samples.into_iter().map(|sample| sample.to_be_bytes()[0]).collect(),
        DecodingResult::F16(samples) => samples.into_iter().map(|light| srgb.half(light)).collect(),
        DecodingResult::F32(samples) => samples.into_iter().map(|light| srgb.float(light)).collect(),
        DecodingResult::U64(_)
        | DecodingResult::F64(_)
        | DecodingResult::I8(_)
        | DecodingResult::I16(_)
        | DecodingResult::I32(_)
        | DecodingResult::I64(_) => {
            return Err(PictureError::Unsupported("a TIFF with such samples".to_owned()));
        }
    })
}

impl From<TiffError> for PictureError {
    fn from(error: TiffError) -> Self {
        match error {
            TiffError::IoError(error) => Self::Io(error),
            TiffError::UnsupportedError(error) => Self::Unsupported(error.to_string()),
            TiffError::LimitsExceeded => Self::TooLarge("a TIFF of such strips or tiles".to_owned()),
            error @ (TiffError::FormatError(_) | TiffError::IntSizeError | TiffError::UsageError(_)) => {
                Self::Broken(error.to_string())
            }
        }
    }
}
