// SPDX-License-Identifier: GPL-3.0-or-later

//! The Manager and the network between fail in every way they can; the worker waits, tries on, and loses nothing.

mod answers;
mod crowd;
mod first_start;
mod identity;
mod load;
mod outages;
mod outcomes;
mod reach;
mod relay;
mod resolver;

use standin_manager::Endpoint;

use test_bed::Farm;

fn count(farm: &Farm, endpoint: Endpoint) -> usize {
    farm.requests(endpoint).len()
}
