// SPDX-License-Identifier: GPL-3.0-or-later

//! DPX (SMPTE 268M) and Cineon, row by row: the kinds that Blender writes, and a few more.

use std::io::SeekFrom;

use super::canvas::Canvas;
use super::{FixedHeader, PictureError, Source, byte, over_black};

/// Both headers are shorter; nothing behind is asked for.
const HEADER: u64 = 2048;
/// Film in 10 bits: its black and its white, and how much of a decade a step is (density 0.002, gamma 0.6).
const BLACK: f32 = 95.0;
const WHITE: f32 = 685.0;
const STEP: f32 = 0.002 / 0.6;

/// How samples lie in a file.
#[derive(Debug)]
struct Layout {
    begin: u64,
    width: u32,
    height: u32,
    /// Of one pixel.
    samples: usize,
    bits: Bits,
    /// Bytes between two rows.
    gap: usize,
    is_logarithmic: bool,
    is_little_endian: bool,
}

#[derive(Debug, Clone, Copy)]
enum Bits {
    Eight,
    /// Three samples in 32 bits, and so many bits right of the last.
    Ten(u32),
    /// 12 or 16 bits, the highest first.
    Sixteen,
}

pub(super) fn read_dpx(source: &mut dyn Source) -> Result<Canvas, PictureError> {
    let mut header = FixedHeader::read(source, HEADER, false)?;
    header.is_little_endian = header.byte(0) == b'X';
    let unsupported = |what: String| Err(PictureError::Unsupported(format!("DPX with {what}")));
    let samples = match (header.byte(800), header.short(770)) {
        (6, 1) => 1,
        (50, 1) => 3,
        (51, 1) => 4,
        (kind, elements) => return unsupported(format!("{elements} elements of kind {kind}")),
    };
    let bits = match (header.byte(803), header.short(804)) {
        (8, _) => Bits::Eight,
        (10, 1) => Bits::Ten(2),
        (10, 2) => Bits::Ten(0),
        (12, 1) | (16, _) => Bits::Sixteen,
        (bits, packing) => return unsupported(format!("{bits} bits, packed as {packing}")),
    };
    if (header.short(768), header.short(806)) != (0, 0) {
        return unsupported("rows in another order, or compressed".to_owned());
    }
    let begin = if header.long(808) == u32::MAX {
        header.long(4)
    } else {
        header.long(808)
    };
    read_rows(
        source,
        &Layout {
            begin: begin.into(),
            width: header.long(772),
            height: header.long(776),
            samples,
            bits,
            gap: usize::try_from(header.long(812))
                .ok()
                .filter(|gap| *gap < 4096)
                .unwrap_or(0),
            is_logarithmic: matches!(header.byte(801), 1 | 3),
            is_little_endian: header.is_little_endian,
        },
    )
}

pub(super) fn read_cineon(source: &mut dyn Source) -> Result<Canvas, PictureError> {
    let mut header = FixedHeader::read(source, HEADER, false)?;
    header.is_little_endian = header.byte(0) == 0xd7;
    if (header.byte(192), header.byte(193), header.byte(198)) != (0, 3, 10) {
        return Err(PictureError::Unsupported("Cineon of another kind".to_owned()));
    }
    read_rows(
        source,
        &Layout {
            begin: header.long(4).into(),
            width: header.long(200),
            height: header.long(204),
            samples: 3,
            bits: Bits::Ten(2),
            gap: 0,
            is_logarithmic: true,
            is_little_endian: header.is_little_endian,
        },
    )
}

fn read_rows(source: &mut dyn Source, layout: &Layout) -> Result<Canvas, PictureError> {
    let mut canvas = Canvas::new(layout.width, layout.height)?;
    let count = layout.width as usize * layout.samples;
    let length = match layout.bits {
        Bits::Eight => count.next_multiple_of(4),
        Bits::Ten(_) => count.div_ceil(3) * 4,
        Bits::Sixteen => count * 2,
    };
    let film = film();
    let mut row = vec![0; length + layout.gap];
    let mut samples = Vec::with_capacity(count + 2);
    source.seek(SeekFrom::Start(layout.begin))?;
    for y in 0..i64::from(layout.height) {
        source.read_exact(&mut row)?;
        samples.clear();
        if layout.is_logarithmic {
            let shown = |sample: u16| film.get(usize::from(sample >> 6)).copied().unwrap_or(u8::MAX);
            read_samples(&row[..length], layout, |sample| samples.push(shown(sample)));
        } else {
            read_samples(&row[..length], layout, |sample| samples.push(sample.to_be_bytes()[0]));
        }
        // A row ends with the word or the four bytes that its last sample is in.
        samples.truncate(count);
        canvas.paint(0, y, over_black(&samples, layout.samples));
    }
    Ok(canvas)
}

/// The samples of a row, with 16 bits each.
fn read_samples(row: &[u8], layout: &Layout, mut push: impl FnMut(u16)) {
    let is_little = layout.is_little_endian;
    match layout.bits {
        Bits::Eight => row.iter().for_each(|byte| push(u16::from(*byte) * 257)),
        Bits::Ten(right) => {
            for word in row.as_chunks::<4>().0 {
                let word = if is_little {
                    u32::from_le_bytes(*word)
                } else {
                    u32::from_be_bytes(*word)
                };
                for shift in [20, 10, 0] {
                    push(u16::try_from((word >> (shift + right)) & 0x3ff).unwrap_or(0) << 6);
                }
            }
        }
        Bits::Sixteen => {
            for word in row.as_chunks::<2>().0 {
                push(if is_little {
                    u16::from_le_bytes(*word)
                } else {
                    u16::from_be_bytes(*word)
                });
            }
        }
    }
}

/// What is shown of each logarithmic value of 10 bits.
fn film() -> Vec<u8> {
    let light = |value: f32| 10_f32.powf((value - WHITE) * STEP);
    let black = light(BLACK);
    (0..1024_u16)
        .map(|value| byte((light(value.into()) - black) / (1.0 - black) * 255.0))
        .collect()
}
