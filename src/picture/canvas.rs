// SPDX-License-Identifier: GPL-3.0-or-later

//! The small picture, as it comes into being: each pixel of the large one is shared out among those that it covers.

use image::RgbImage;

use super::{FITS, PictureError, byte};

/// The longest side of a picture, in pixels: the largest that Blender renders (65536), and what JPEG can say.
const LONGEST_SIDE: u32 = 1 << 16;

/// A picture that is scaled down while its pixels come, in any order. Pixels that do not come are black.
#[derive(Debug)]
pub(super) struct Canvas {
    columns: Axis,
    rows: Axis,
    /// Three for each pixel: the light so far, times the area that it covers, in pixels of the large picture.
    sums: Vec<[f32; 3]>,
}

/// One direction.
#[derive(Debug)]
struct Axis {
    from: u32,
    to: u32,
}

/// Where a pixel goes: how much of it to which place, and the rest to the next place.
#[derive(Debug, Clone, Copy)]
struct Share {
    first: usize,
    part: f32,
    rest: f32,
}

impl Canvas {
    /// For a picture of this size, which is made to fit [`FITS`].
    ///
    /// # Errors
    /// If a side is 0, or longer than any renderer makes one.
    pub(super) fn new(width: u32, height: u32) -> Result<Self, PictureError> {
        if width == 0 || height == 0 {
            return Err(PictureError::Broken(format!("a picture of {width} x {height} pixels")));
        }
        if width > LONGEST_SIDE || height > LONGEST_SIDE {
            return Err(PictureError::TooLarge(format!("{width} x {height} pixels")));
        }
        let (columns, rows) = fitting(width, height);
        let canvas = Self {
            columns: Axis {
                from: width,
                to: columns,
            },
            rows: Axis { from: height, to: rows },
            sums: vec![[0.0; 3]; columns as usize * rows as usize],
        };
        Ok(canvas)
    }

    pub(super) fn width(&self) -> u32 {
        self.columns.from
    }

    pub(super) fn height(&self) -> u32 {
        self.rows.from
    }

    /// Paints pixels of row `y` from column `x` on. What lies outside is left out.
    pub(super) fn paint(&mut self, x: i64, y: i64, pixels: impl Iterator<Item = [u8; 3]>) {
        let pixels = (x..).zip(pixels);
        let width = self.columns.from;
        self.paint_each(y, pixels.take_while(|(x, _)| *x < i64::from(width)));
    }

    /// Paints pixels of row `y`, each in its column.
    pub(super) fn paint_each(&mut self, y: i64, pixels: impl Iterator<Item = (i64, [u8; 3])>) {
        let Some(down) = self.rows.share(y) else { return };
        let width = self.columns.to as usize;
        for (x, pixel) in pixels {
            let Some(across) = self.columns.share(x) else { continue };
            let at = down.first * width + across.first;
            let light = pixel.map(f32::from);
            self.add(at, light, down.part * across.part);
            if across.rest > 0.0 {
                self.add(at + 1, light, down.part * across.rest);
            }
            if down.rest > 0.0 {
                self.add(at + width, light, down.rest * across.part);
                if across.rest > 0.0 {
                    self.add(at + width + 1, light, down.rest * across.rest);
                }
            }
        }
    }

    fn add(&mut self, at: usize, light: [f32; 3], area: f32) {
        if let Some(sum) = self.sums.get_mut(at) {
            for (sum, light) in sum.iter_mut().zip(light) {
                *sum += light * area;
            }
        }
    }

    pub(super) fn finish(self) -> RgbImage {
        let area = self.columns.length() * self.rows.length();
        let mut image = RgbImage::new(self.columns.to, self.rows.to);
        for (pixel, sum) in image.pixels_mut().zip(self.sums) {
            pixel.0 = sum.map(|sum| byte(sum / area));
        }
        image
    }
}

impl Axis {
    /// How many pixels of the large picture one of the small one covers.
    fn length(&self) -> f32 {
        self.from as f32 / self.to as f32
    }

    /// Both sides are cut into `from * to` pieces: a large pixel has `to` of them, a small one `from`.
    fn share(&self, at: i64) -> Option<Share> {
        let at = u32::try_from(at).ok().filter(|at| *at < self.from)?;
        let (from, to) = (u64::from(self.from), u64::from(self.to));
        let begin = u64::from(at) * to;
        let first = begin / from;
        let here = ((first + 1) * from - begin).min(to);
        Some(Share {
            first: usize::try_from(first).ok()?,
            part: here as f32 / to as f32,
            rest: (to - here) as f32 / to as f32,
        })
    }
}

/// The largest size of the same shape that fits, and no larger than it is.
fn fitting(width: u32, height: u32) -> (u32, u32) {
    if width <= FITS.0 && height <= FITS.1 {
        return (width, height);
    }
    let (wide, high) = (u64::from(width), u64::from(height));
    let rounded = |side: u64, by: u64, of: u64| u32::try_from((side * by + of / 2) / of).unwrap_or(u32::MAX).max(1);
    if wide * u64::from(FITS.1) > high * u64::from(FITS.0) {
        (FITS.0, rounded(high, FITS.0.into(), wide))
    } else {
        (rounded(wide, FITS.1.into(), high), FITS.1)
    }
}
