// SPDX-License-Identifier: GPL-3.0-or-later

//! The spool against a Manager in memory and real folders. The clock is paused: time passes when all wait.

mod answers;
mod any_order;
mod fake;
mod handed;
mod handed_order;
mod order;
mod restart;
