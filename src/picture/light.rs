// SPDX-License-Identifier: GPL-3.0-or-later

//! From light, as scene-linear formats have it, to what a screen is given.

use exr::prelude::f16;

use super::byte;

/// The bits of an infinite half, the largest there is.
const INFINITE: u16 = 0x7c00;
/// Floats have 13 bits more behind the point than halves.
const FINER: u32 = 13;
/// What lies between the exponents of both, where a half has it.
const BIAS: u32 = (127 - 15) << 10;

/// The transfer function of sRGB (IEC 61966-2-1) with 8 bits, for each half that is not negative. What is brighter than
/// white is white; what is negative, or not a number, is black.
#[derive(Debug)]
pub(super) struct Srgb(Vec<u8>);

impl Srgb {
    pub(super) fn new() -> Self {
        Self(
            (0..=INFINITE)
                .map(|bits| encoded(f16::from_bits(bits).to_f32()))
                .collect(),
        )
    }

    pub(super) fn half(&self, light: f16) -> u8 {
        self.0.get(usize::from(light.to_bits())).copied().unwrap_or(0)
    }

    /// As the nearest half: 11 bits are more than 8 need, also after the transfer function.
    pub(super) fn float(&self, light: f32) -> u8 {
        if light >= 1.0 {
            return u8::MAX;
        }
        // Below it halves are of another kind; it makes less than half a step.
        if light < 1.0 / 8192.0 || light.is_nan() {
            return 0;
        }
        let rounded = (light.to_bits() + (1 << (FINER - 1))) >> FINER;
        let bits = usize::try_from(rounded - BIAS).unwrap_or(usize::MAX);
        self.0.get(bits).copied().unwrap_or(u8::MAX)
    }
}

fn encoded(light: f32) -> u8 {
    let light = light.clamp(0.0, 1.0);
    let shown = if light <= 0.003_130_8 {
        light * 12.92
    } else {
        1.055 * light.powf(1.0 / 2.4) - 0.055
    };
    byte(shown * 255.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn light_is_encoded_as_srgb_and_what_is_odd_is_black_or_white() {
        let srgb = Srgb::new();
        // 0.2159 is the middle of sRGB; 0.0031308 is where its line ends.
        for (light, wanted) in [
            (0.0, 0),
            (0.003_130_8, 10),
            (0.215_860_5, 128),
            (1.0, 255),
            (1e30, 255),
            (f32::INFINITY, 255),
            (-1.0, 0),
            (f32::NEG_INFINITY, 0),
            (f32::NAN, 0),
            (-f32::NAN, 0),
            (1e-30, 0),
        ] {
            assert_eq!(srgb.float(light), wanted, "{light}");
            assert_eq!(srgb.half(f16::from_f32(light)), wanted, "{light} as a half");
        }
    }

    #[test]
    fn a_float_is_as_exact_as_the_formula() {
        let srgb = Srgb::new();
        for step in 0..=u16::MAX {
            let light = f32::from(step) / 65_535.0;
            assert!(srgb.float(light).abs_diff(encoded(light)) <= 1, "{light}");
        }
        for code in 0..=255_u8 {
            let shown = f32::from(code) / 255.0;
            let light = if shown <= 0.040_45 {
                shown / 12.92
            } else {
                ((shown + 0.055) / 1.055).powf(2.4)
            };
            assert_eq!(srgb.float(light), code, "what sRGB has comes back");
        }
    }
}
