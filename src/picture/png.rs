// SPDX-License-Identifier: GPL-3.0-or-later

//! PNG, row by row, also where its rows come in seven passes.

use png::{BitDepth, Decoder, DecodingError, Limits, Transformations};

use super::canvas::Canvas;
use super::{PictureError, Source, over_black};

/// Bytes that the decoder may keep, in rows and chunks.
const MOST_MEMORY: usize = 64 << 20;
/// The passes of an interlaced picture (PNG specification, 8.2).
const PASSES: [Pass; 7] = [
    pass(0, 0, 8, 8),
    pass(4, 0, 8, 8),
    pass(0, 4, 4, 8),
    pass(2, 0, 4, 4),
    pass(0, 2, 2, 4),
    pass(1, 0, 2, 2),
    pass(0, 1, 1, 2),
];

pub(super) fn read(source: &mut dyn Source) -> Result<Canvas, PictureError> {
    let mut decoder = Decoder::new_with_limits(source, Limits { bytes: MOST_MEMORY });
    decoder.set_transformations(Transformations::normalize_to_color8());
    decoder.set_ignore_text_chunk(true);
    decoder.set_ignore_iccp_chunk(true);
    let info = decoder.read_header_info()?;
    let mut canvas = Canvas::new(info.width, info.height)?;
    let mut reader = decoder.read_info()?;
    let (color, depth) = reader.output_color_type();
    if depth != BitDepth::Eight {
        return Err(PictureError::Unsupported(format!("a PNG with {depth:?} bits")));
    }
    let (width, height) = (canvas.width(), canvas.height());
    let rows: Box<dyn Iterator<Item = Row>> = if reader.info().interlaced {
        Box::new(PASSES.into_iter().flat_map(move |pass| pass.rows(width, height)))
    } else {
        Box::new((0..height).map(|y| Row { y, left: 0, step: 1 }))
    };
    for Row { y, left, step } in rows {
        let Some(row) = reader.next_interlaced_row()? else {
            break;
        };
        let pixels = over_black(row.data(), color.samples());
        if step == 1 {
            canvas.paint(left.into(), y.into(), pixels);
        } else {
            canvas.paint_apart(left as usize, step, y.into(), pixels);
        }
    }
    Ok(canvas)
}

/// Where the pixels of a row go.
#[derive(Debug)]
struct Row {
    y: u32,
    left: u32,
    step: usize,
}

/// Where a pass of an interlaced picture begins, and its steps.
#[derive(Debug, Clone, Copy)]
struct Pass {
    left: u32,
    top: u32,
    across: usize,
    down: usize,
}

const fn pass(left: u32, top: u32, across: usize, down: usize) -> Pass {
    Pass {
        left,
        top,
        across,
        down,
    }
}

impl Pass {
    /// Its rows, of which there are none where a picture is too narrow to have one.
    fn rows(self, width: u32, height: u32) -> impl Iterator<Item = Row> {
        let height = if self.left < width { height } else { 0 };
        (self.top..height).step_by(self.down).map(move |y| Row {
            y,
            left: self.left,
            step: self.across,
        })
    }
}

impl From<DecodingError> for PictureError {
    fn from(error: DecodingError) -> Self {
        match error {
            DecodingError::IoError(error) => Self::Io(error),
            DecodingError::LimitsExceeded => Self::TooLarge("a PNG of such rows or chunks".to_owned()),
            error @ (DecodingError::Format(_) | DecodingError::Parameter(_)) => Self::Broken(error.to_string()),
        }
    }
}
