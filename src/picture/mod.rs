// SPDX-License-Identifier: GPL-3.0-or-later

//! Pictures of every format that renderers write, made small while they are read. Knows nothing of tasks and processes.
//!
//! ```text
//! bytes ─► format by its signature ─► decoder ─► rows or blocks of RGB, 8 bits each ─► Canvas ─► RgbImage
//! ```
//!
//! A decoder hands on what it has as soon as it has it, and keeps what is compressed together: mostly a few rows, so a
//! picture of 16k x 16k takes some 60 MB; of a TIFF in one strip, or of the 256 rows of DWAB, more. Of JPEG, WebP, BMP and
//! TGA the whole picture is in memory, because their decoders want it so. Each has its limit, and says before it begins
//! that a picture is too large.
//!
//! An OpenEXR is decompressed by threads beside the one that reads and paints ([`Helpers`]), as far as the same memory does.
//!
//! What is transparent becomes black, as where the Manager itself makes a JPEG of a PNG.

#![warn(missing_docs)]

mod canvas;
mod exr;
mod film;
mod hdr;
mod helpers;
mod iris;
mod jpeg;
mod jpeg2000;
mod light;
mod png;
mod tiff;
mod whole;

use std::io::{self, BufRead, Read, Seek};

use image::RgbImage;
use image::codecs::jpeg::JpegEncoder;

pub use self::helpers::Helpers;
use self::whole::WholeFormat;

/// What the Manager makes of a picture; more would be scaled down there.
const FITS: (u32, u32) = (1920, 1080);

/// Where the bytes of a picture come from.
pub trait Source: BufRead + Seek {}

impl<T: BufRead + Seek> Source for T {}

/// Why nothing came of a picture.
#[derive(Debug, thiserror::Error)]
pub enum PictureError {
    /// Nothing is wrong: it is of a format, or a kind of a format, that is not read here.
    #[error("{0} is not supported")]
    Unsupported(String),
    /// It says so itself, before anything was done for it.
    #[error("it is larger than supported: {0}")]
    TooLarge(String),
    /// It is damaged, cut off, or made up.
    #[error("{0}")]
    Broken(String),
    /// It cannot be read.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Reads a picture and makes it fit 1920 x 1080 pixels. Never enlarges. What takes longest is done by the helpers.
///
/// # Errors
/// See [`PictureError`].
pub fn shrink(source: &mut dyn Source, helpers: &Helpers) -> Result<RgbImage, PictureError> {
    let mut head = Vec::new();
    source.take(32).read_to_end(&mut head)?;
    source.rewind()?;
    let canvas = match head.as_slice() {
        [0x89, b'P', b'N', b'G', ..] => png::read(source),
        [0x76, 0x2f, 0x31, 0x01, ..] => exr::read(source, helpers),
        [b'I', b'I', 42 | 43, 0, ..] | [b'M', b'M', 0, 42 | 43, ..] => tiff::read(source),
        [0xff, 0x4f, 0xff, 0x51, ..] | [0, 0, 0, 12, b'j', b'P', b' ', b' ', ..] => jpeg2000::read(source),
        [b'#', b'?', ..] => hdr::read(source),
        [b'S', b'D', b'P', b'X', ..] | [b'X', b'P', b'D', b'S', ..] => film::read_dpx(source),
        [0x80, 0x2a, 0x5f, 0xd7, ..] | [0xd7, 0x5f, 0x2a, 0x80, ..] => film::read_cineon(source),
        [0x01, 0xda, ..] => iris::read(source),
        head => match whole_format(head) {
            Some(format) => whole::read(source, format),
            None => Err(PictureError::Unsupported("a file of this format".to_owned())),
        },
    }?;
    Ok(canvas.finish())
}

/// A small picture as a JPEG of this quality, 1-100.
///
/// # Errors
/// It is larger than a JPEG can be.
pub fn to_jpeg(image: &RgbImage, quality: u8) -> Result<Vec<u8>, PictureError> {
    let mut bytes = Vec::new();
    JpegEncoder::new_with_quality(&mut bytes, quality).encode_image(image)?;
    Ok(bytes)
}

/// The formats whose decoders want the whole picture in memory.
fn whole_format(head: &[u8]) -> Option<WholeFormat> {
    match head {
        [0xff, 0xd8, 0xff, ..] => Some(WholeFormat::Jpeg),
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => Some(WholeFormat::WebP),
        [b'B', b'M', ..] => Some(WholeFormat::Bmp),
        // It has no signature: no or one palette, a known type, no origin (a renderer has none), a known depth.
        [
            _,
            0 | 1,
            1 | 2 | 3 | 9 | 10 | 11,
            _,
            _,
            _,
            _,
            _,
            0,
            0,
            0,
            0,
            _,
            _,
            _,
            _,
            8 | 15 | 16 | 24 | 32,
            ..,
        ] => Some(WholeFormat::Tga),
        _ => None,
    }
}

/// The pixels of a row with one (grey), two (grey, alpha), three or four samples each.
fn over_black(row: &[u8], samples: usize) -> impl Iterator<Item = [u8; 3]> {
    row.chunks_exact(samples.max(1)).map(|pixel| match *pixel {
        [grey] => [grey; 3],
        [grey, alpha] => [through(grey, alpha); 3],
        [red, green, blue] => [red, green, blue],
        [red, green, blue, alpha, ..] => [through(red, alpha), through(green, alpha), through(blue, alpha)],
        [] => [0; 3],
    })
}

fn through(light: u8, alpha: u8) -> u8 {
    u8::try_from(u16::from(light) * u16::from(alpha) / 255).unwrap_or(u8::MAX)
}

/// The nearest of what a byte can be.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "such a cast goes to the nearest value there is"
)]
fn byte(light: f32) -> u8 {
    (light + 0.5) as u8
}

/// A header of numbers at fixed places, of either byte order. What is beyond its end is 0.
#[derive(Debug)]
struct FixedHeader {
    bytes: Vec<u8>,
    is_little_endian: bool,
}

impl FixedHeader {
    /// Reads the first `length` bytes, or what there is of them.
    fn read(source: &mut dyn Source, length: u64, is_little_endian: bool) -> io::Result<Self> {
        let mut bytes = Vec::new();
        source.take(length).read_to_end(&mut bytes)?;
        Ok(Self {
            bytes,
            is_little_endian,
        })
    }

    fn byte(&self, at: usize) -> u8 {
        self.bytes.get(at).copied().unwrap_or(0)
    }

    fn short(&self, at: usize) -> u16 {
        let bytes = [self.byte(at), self.byte(at + 1)];
        if self.is_little_endian {
            u16::from_le_bytes(bytes)
        } else {
            u16::from_be_bytes(bytes)
        }
    }

    fn long(&self, at: usize) -> u32 {
        let bytes = std::array::from_fn(|byte| self.byte(at + byte));
        if self.is_little_endian {
            u32::from_le_bytes(bytes)
        } else {
            u32::from_be_bytes(bytes)
        }
    }
}

#[cfg(test)]
mod tests;
