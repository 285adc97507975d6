// SPDX-License-Identifier: GPL-3.0-or-later

//! IRIS (SGI): planes of bytes, bottom row first.

use std::io::SeekFrom;

use super::canvas::Canvas;
use super::{FixedHeader, PictureError, Source, over_black};

/// Where the header ends, and the tables of rows or the rows begin.
const HEADER: u64 = 512;

pub(super) fn read(source: &mut dyn Source) -> Result<Canvas, PictureError> {
    let header = FixedHeader::read(source, HEADER, false)?;
    let (width, height) = (usize::from(header.short(6)), usize::from(header.short(8)));
    let planes = match (header.byte(3), header.short(4), header.short(10)) {
        (1, 3, planes @ 1..=4) => usize::from(planes),
        (1, 1 | 2, _) => 1,
        (bytes, _, planes) => {
            return Err(PictureError::Unsupported(format!(
                "IRIS with {planes} planes of {bytes} bytes"
            )));
        }
    };
    let mut canvas = Canvas::new(header.short(6).into(), header.short(8).into())?;
    let rows = height * planes;
    // Where each row begins, and then how long each is.
    let table = match header.byte(2) {
        0 => None,
        _ => Some(FixedHeader::read(source, (rows * 8) as u64, false)?),
    };
    let mut position = table.as_ref().map_or(HEADER, |table| HEADER + table.bytes.len() as u64);
    let mut pixels = vec![0; width * planes];
    for y in 0..height {
        for plane in 0..planes {
            let row = plane * height + y;
            let (begin, length) = match &table {
                None => (HEADER + (row * width) as u64, width),
                Some(table) => (table.long(row * 4).into(), table.long((rows + row) * 4) as usize),
            };
            // Two bytes for each pixel are more than any row takes.
            if length > width * 2 + 2 {
                return Err(PictureError::Broken("IRIS with rows of such a length".to_owned()));
            }
            // Mostly it is there already, and a seek forgets what was read ahead.
            if position != begin {
                source.seek(SeekFrom::Start(begin))?;
            }
            let mut bytes = vec![0; length];
            source.read_exact(&mut bytes)?;
            position = begin + length as u64;
            let samples = pixels.iter_mut().skip(plane).step_by(planes);
            if table.is_some() {
                unpack(&bytes, samples);
            } else {
                samples.zip(bytes).for_each(|(to, from)| *to = from);
            }
        }
        let y = i64::try_from(height - 1 - y).unwrap_or_default();
        canvas.paint(0, y, over_black(&pixels, planes));
    }
    Ok(canvas)
}

/// The lower seven bits of a byte are a length, with the eighth of as many bytes that follow, else of one for all. A
/// length of 0 ends the row.
fn unpack<'a>(bytes: &[u8], mut samples: impl Iterator<Item = &'a mut u8>) {
    let mut bytes = bytes.iter().copied();
    while let Some(run) = bytes.next().filter(|run| run & 0x7f != 0) {
        let length = usize::from(run & 0x7f);
        let piece = samples.by_ref().take(length);
        if run & 0x80 == 0 {
            let byte = bytes.next().unwrap_or_default();
            piece.for_each(|sample| *sample = byte);
        } else {
            piece.zip(bytes.by_ref()).for_each(|(to, from)| *to = from);
        }
    }
}
