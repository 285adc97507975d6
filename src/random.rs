// SPDX-License-Identifier: GPL-3.0-or-later

//! Random numbers that spread the workers of a farm over time. Nothing secret is made from them.

/// A random number in `0.0..1.0`; 0.5 if the kernel provides none.
pub(crate) fn random() -> f64 {
    getrandom::u32().map_or(0.5, |number| f64::from(number) / (f64::from(u32::MAX) + 1.0))
}
