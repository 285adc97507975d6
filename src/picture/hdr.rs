// SPDX-License-Identifier: GPL-3.0-or-later

//! Radiance HDR: scene-linear, three bytes and their common exponent for each pixel, row by row.

use std::io::{self, BufRead, Read};

use super::canvas::Canvas;
use super::light::Srgb;
use super::{PictureError, Source};

/// Bytes of a header.
const LONGEST_HEADER: u64 = 64 << 10;
/// Rows of such widths may be compressed in the newer way, one component after the other.
const COMPONENTS_APART: std::ops::Range<usize> = 8..0x8000;

pub(super) fn read(source: &mut dyn Source) -> Result<Canvas, PictureError> {
    let size = read_header(&mut source.take(LONGEST_HEADER))?;
    let mut canvas = Canvas::new(size.width, size.height)?;
    let srgb = Srgb::new();
    let mut row = vec![[0; 4]; size.width as usize];
    for line in 0..i64::from(size.height) {
        read_row(source, &mut row)?;
        let y = if size.is_upside_down {
            i64::from(size.height) - 1 - line
        } else {
            line
        };
        canvas.paint(0, y, row.iter().map(|pixel| to_srgb8(&srgb, *pixel)));
    }
    Ok(canvas)
}

struct Size {
    width: u32,
    height: u32,
    is_upside_down: bool,
}

/// Lines up to an empty one, and one with the size: `-Y 1080 +X 1920`.
fn read_header(source: &mut impl BufRead) -> Result<Size, PictureError> {
    let mut line = Vec::new();
    while line != b"\n" {
        line.clear();
        if source.read_until(b'\n', &mut line)? == 0 {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
        if line.starts_with(b"FORMAT=") && !line.starts_with(b"FORMAT=32-bit_rle_rgbe") {
            return Err(PictureError::Unsupported("an HDR of another colour space".to_owned()));
        }
    }
    line.clear();
    source.read_until(b'\n', &mut line)?;
    let line = String::from_utf8_lossy(&line);
    let words: Vec<&str> = line.split_whitespace().collect();
    let [up @ ("-Y" | "+Y"), height, "+X", width] = words[..] else {
        return Err(PictureError::Unsupported("an HDR that is turned".to_owned()));
    };
    let number = |word: &str| {
        word.parse()
            .map_err(|_| PictureError::Broken("an HDR without a size".to_owned()))
    };
    Ok(Size {
        width: number(width)?,
        height: number(height)?,
        is_upside_down: up == "+Y",
    })
}

fn read_row(source: &mut dyn Source, row: &mut [[u8; 4]]) -> Result<(), PictureError> {
    let mut first = [0; 4];
    source.read_exact(&mut first)?;
    let is_apart = matches!(first, [2, 2, high, _] if high < 0x80);
    if COMPONENTS_APART.contains(&row.len()) && is_apart {
        for component in 0..4 {
            read_component(source, row, component)?;
        }
        return Ok(());
    }
    // Pixels, among which 1, 1, 1, n repeats the one before n times; a second such pixel has the higher bits of n.
    let (mut at, mut shift) = (0, 0);
    let mut pixel = first;
    while at < row.len() {
        if let ([1, 1, 1, times], Some(last)) = (pixel, at.checked_sub(1)) {
            let times = (usize::from(times) << shift).min(row.len() - at);
            let before = row[last];
            row[at..at + times].fill(before);
            at += times;
            shift = (shift + 8).min(24);
        } else {
            row[at] = pixel;
            at += 1;
            shift = 0;
        }
        if at < row.len() {
            source.read_exact(&mut pixel)?;
        }
    }
    Ok(())
}

/// Up to 128 bytes follow each length; above it, one byte for all.
fn read_component(source: &mut dyn Source, row: &mut [[u8; 4]], component: usize) -> Result<(), PictureError> {
    let mut at = 0;
    let mut piece = [0; 128];
    while at < row.len() {
        let mut length = [0; 1];
        source.read_exact(&mut length)?;
        let (count, given) = match usize::from(length[0]) {
            0 => return Err(PictureError::Broken("an HDR with an empty run".to_owned())),
            count @ 1..=128 => (count, count),
            longer => (longer - 128, 1),
        };
        source.read_exact(&mut piece[..given])?;
        for (index, pixel) in row.iter_mut().skip(at).take(count).enumerate() {
            pixel[component] = piece[index % given];
        }
        at += count;
    }
    Ok(())
}

fn to_srgb8(srgb: &Srgb, [red, green, blue, exponent]: [u8; 4]) -> [u8; 3] {
    if exponent == 0 {
        return [0; 3];
    }
    let unit = (f32::from(exponent) - 136.0).exp2();
    [red, green, blue].map(|light| srgb.float(f32::from(light) * unit))
}
