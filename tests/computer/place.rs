// SPDX-License-Identifier: GPL-3.0-or-later

//! How many computers are on at a time, however many tests are run beside each other.

use std::num::NonZero;
use std::sync::{Condvar, Mutex};
use std::thread::available_parallelism;

/// So many are taken.
static TAKEN: Mutex<usize> = Mutex::new(0);
static GIVEN_BACK: Condvar = Condvar::new();

/// A processor of this machine: an emulated one needs all of it, or its worker's answers come too late.
pub(crate) struct Place(());

impl Place {
    /// Waits until one is free.
    pub(crate) fn take() -> Self {
        let all = available_parallelism().map_or(1, NonZero::get);
        let taken = TAKEN.lock().unwrap();
        *GIVEN_BACK.wait_while(taken, |taken| *taken >= all).unwrap() += 1;
        Self(())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        *TAKEN.lock().unwrap() -= 1;
        GIVEN_BACK.notify_one();
    }
}
