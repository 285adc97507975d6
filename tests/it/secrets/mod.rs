// SPDX-License-Identifier: GPL-3.0-or-later

//! What the worker knows and nobody else is to know: that other processes of its own user, its tasks among them, do not get at
//! it.

mod links;
mod memory;
mod pictures;
mod told;
