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
    /// Where each column goes: it is the same in all rows.
    across: Vec<Share>,
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
        let (small_width, small_height) = fitting(width, height);
        let columns = Axis {
            from: width,
            to: small_width,
        };
        Ok(Self {
            across: (0..width.into()).filter_map(|x| columns.share(x)).collect(),
            columns,
            rows: Axis {
                from: height,
                to: small_height,
            },
            sums: vec![[0.0; 3]; small_width as usize * small_height as usize],
        })
    }

    pub(super) fn width(&self) -> u32 {
        self.columns.from
    }

    pub(super) fn height(&self) -> u32 {
        self.rows.from
    }

    /// Paints pixels of row `y` from column `x` on. What lies outside is left out.
    pub(super) fn paint(&mut self, x: i64, y: i64, mut pixels: impl Iterator<Item = [u8; 3]>) {
        if let Ok(outside @ 1..) = usize::try_from(x.saturating_neg()) {
            pixels.nth(outside - 1);
        }
        let x = usize::try_from(x).unwrap_or(0);
        let Some(mut row) = self.row(y) else { return };
        let across = row.across.get(x..).unwrap_or_default();
        for (across, pixel) in across.iter().zip(pixels) {
            row.add(*across, pixel);
        }
        row.finish();
    }

    /// Paints pixels of row `y` in each `step`th column from `x` on.
    pub(super) fn paint_apart(&mut self, x: usize, step: usize, y: i64, pixels: impl Iterator<Item = [u8; 3]>) {
        let Some(mut row) = self.row(y) else { return };
        let across = row.across.get(x..).unwrap_or_default();
        for (across, pixel) in across.iter().step_by(step).zip(pixels) {
            row.add(*across, pixel);
        }
        row.finish();
    }

    fn row(&mut self, y: i64) -> Option<Row<'_>> {
        Some(Row {
            down: self.rows.share(y)?,
            across: &self.across,
            width: self.columns.to as usize,
            sums: &mut self.sums,
            place: 0,
            here: [0.0; 3],
            next: [0.0; 3],
        })
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

/// A row of the large picture while its pixels come. Each place of the small one is added to when all of it is there.
#[derive(Debug)]
struct Row<'a> {
    down: Share,
    across: &'a [Share],
    /// Of the small picture.
    width: usize,
    sums: &'a mut [[f32; 3]],
    place: usize,
    here: [f32; 3],
    /// What reaches over into the next place.
    next: [f32; 3],
}

impl Row<'_> {
    #[inline(always)]
    fn add(&mut self, across: Share, pixel: [u8; 3]) {
        if across.first != self.place {
            self.go_to(across.first);
        }
        let [red, green, blue] = pixel;
        // Not by `map`: that is a call, where the program is made small.
        let light = [red.into(), green.into(), blue.into()];
        add(&mut self.here, light, across.part);
        if across.rest > 0.0 {
            add(&mut self.next, light, across.rest);
        }
    }

    fn go_to(&mut self, place: usize) {
        self.put(self.place, self.here);
        self.here = [0.0; 3];
        if place == self.place + 1 {
            self.here = self.next;
        } else {
            self.put(self.place + 1, self.next);
        }
        self.next = [0.0; 3];
        self.place = place;
    }

    fn finish(mut self) {
        self.put(self.place, self.here);
        self.put(self.place + 1, self.next);
    }

    fn put(&mut self, place: usize, light: [f32; 3]) {
        let at = self.down.first * self.width + place;
        if let Some(sum) = self.sums.get_mut(at) {
            add(sum, light, self.down.part);
        }
        if self.down.rest > 0.0
            && let Some(sum) = self.sums.get_mut(at + self.width)
        {
            add(sum, light, self.down.rest);
        }
    }
}

/// In one piece with its loops, also where the program is made small: it is what a picture takes most of its time for.
#[inline(always)]
fn add(sum: &mut [f32; 3], light: [f32; 3], area: f32) {
    sum[0] += light[0] * area;
    sum[1] += light[1] * area;
    sum[2] += light[2] * area;
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
