// SPDX-License-Identifier: GPL-3.0-or-later

//! The version of the state, in one place.
//!
//! A field that is new is given a default, and one that is not known is passed over: that changes no version. What an older
//! program would understand wrongly, or miss, makes a new [`VERSION`]; whether older ones can read it is [`OLDEST_READER`].
//! What guards say and hear (`process/messages.rs`) belongs to the state: a guard outlives the program that started it.

use serde::{Deserialize, Serialize};

/// The version that this program writes. It reads each from 1 on.
///
/// 2: a program may stand still, and is to be told to go on (`process/process_run/handed.rs`).
pub(crate) const VERSION: u32 = 2;

/// The oldest version whose programs read what this one writes.
pub(crate) const OLDEST_READER: u32 = 2;

/// The state as it travels.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Envelope<T> {
    pub(super) version: u32,
    pub(super) oldest_reader: u32,
    pub(super) state: T,
}

/// Whether this program reads a state of `version`, which programs from `oldest_reader` on do.
pub(crate) fn can_read(version: u32, oldest_reader: u32) -> bool {
    version <= VERSION || oldest_reader <= VERSION
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn older_states_are_read_and_newer_ones_where_they_allow_it() {
        assert!(can_read(VERSION, OLDEST_READER));
        assert!((1..VERSION).all(|version| can_read(version, 1)));
        assert!(can_read(VERSION + 5, VERSION));
        assert!(!can_read(VERSION + 5, VERSION + 1));
    }
}
