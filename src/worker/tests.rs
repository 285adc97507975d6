// SPDX-License-Identifier: GPL-3.0-or-later

//! The states against a scripted Manager, under a paused clock: when is what asked, and in which order.

mod again;
mod hints;
mod scripted;
mod states;
