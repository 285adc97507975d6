// SPDX-License-Identifier: GPL-3.0-or-later

//! What happens to a whole computer: power cuts, suspends, clocks that jump, memory that runs out, file systems that
//! hang. For real, in an emulated one with a kernel of its own; the Manager is outside.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]
#![expect(
    clippy::disallowed_methods,
    reason = "the worker and its neighbours are real processes"
)]

mod computer;
mod hangs;
mod kernels;
mod memory;
mod place;
mod power;
mod shutdown;
mod station;
mod time;
