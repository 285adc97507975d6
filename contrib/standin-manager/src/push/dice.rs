// SPDX-License-Identifier: GPL-3.0-or-later
//! Chance that can be repeated: the same seed and the same calls give the same fate.

/// SplitMix64 (Steele, Lea, Flood 2014): small, and good enough for disorder.
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// True for this share of calls, 0 to 1.
    pub(crate) fn strikes(&mut self, share: f64) -> bool {
        let upper = u32::try_from(self.roll() >> 32).unwrap_or(u32::MAX);
        f64::from(upper) < share * f64::from(u32::MAX)
    }

    pub(crate) fn shuffle<T>(&mut self, items: &mut [T]) {
        for end in (1..items.len()).rev() {
            let places = u64::try_from(end).unwrap_or(u64::MAX) + 1;
            items.swap(end, usize::try_from(self.roll() % places).unwrap_or(end));
        }
    }
}
