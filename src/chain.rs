// SPDX-License-Identifier: GPL-3.0-or-later

//! How an error is written into a log: `error = chain(&error)`.

use std::error::Error;
use std::iter::successors;

/// The error and all its causes in one line, joined by `: `.
pub(crate) fn chain(error: &dyn Error) -> String {
    let causes = successors(Some(error), |error| (**error).source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
