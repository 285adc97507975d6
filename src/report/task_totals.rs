// SPDX-License-Identifier: GPL-3.0-or-later

//! What a run of a task came to, in a few words.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::process::Finished;
use crate::progress::{Estimate, Progress, Unit, precise};

/// What a run of a task came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TaskTotals {
    /// How long it took.
    pub took: Duration,
    done: Estimate,
    /// Of the program that used most; 0: there was none.
    peak_memory: u64,
    pictures: u32,
}

/// What is counted while it runs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Counts {
    peak_memory: u64,
    pictures: u32,
}

impl Counts {
    pub(super) fn picture(&mut self) {
        self.pictures = self.pictures.saturating_add(1);
    }

    pub(super) fn program(&mut self, finished: &Finished) {
        self.peak_memory = self.peak_memory.max(finished.usage.peak_rss);
    }

    /// All of it, of a run that is over now.
    pub(super) fn total(&self, progress: &Progress) -> TaskTotals {
        TaskTotals {
            took: progress.took(),
            done: progress.estimate(),
            peak_memory: self.peak_memory,
            pictures: self.pictures,
        }
    }
}

/// `240 frames in 12 min 48 s (3.2 s each), peak memory 3.1 GB, 240 pictures`, with what of it there is.
impl fmt::Display for TaskTotals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let took = precise(self.took);
        match steps(&self.done) {
            Some(steps) => write!(f, "{steps} in {took}")?,
            None => f.write_str(&took)?,
        }
        if let Some(each) = self.done.each_in_words().filter(|_| self.done.done > 1) {
            write!(f, " ({each})")?;
        }
        if self.peak_memory > 0 {
            write!(f, ", peak memory {}", size(self.peak_memory))?;
        }
        match self.pictures {
            0 => Ok(()),
            1 => f.write_str(", 1 picture"),
            many => write!(f, ", {many} pictures"),
        }
    }
}

/// `240 frames`, `11 of 240 frames`. `None` of a task that is one step, and that of no frame.
fn steps(estimate: &Estimate) -> Option<String> {
    let (unit, done) = match (estimate.unit, estimate.done, estimate.all) {
        (Unit::Step, _, 0 | 1) => return None,
        (Unit::Frame, done, _) => ("frame", done),
        (Unit::Step, done, _) => ("step", done),
    };
    let plural = |count: u32| if count == 1 { "" } else { "s" };
    Some(match estimate.all {
        all if done < all => format!("{done} of {all} {unit}{}", plural(all)),
        _ => format!("{done} {unit}{}", plural(done)),
    })
}

/// Bytes for people, in powers of 1000.
pub(crate) fn size(bytes: u64) -> String {
    const UNITS: [(u64, &str); 3] = [(1_000_000_000, "GB"), (1_000_000, "MB"), (1_000, "kB")];
    match UNITS.iter().find(|(unit, _)| bytes >= *unit) {
        Some((unit, name)) => format!("{}.{} {name}", bytes / unit, bytes % unit * 10 / unit),
        None => format!("{bytes} B"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn totals(unit: Unit, done: u32, all: u32) -> TaskTotals {
        let each = (unit == Unit::Frame && done > 0).then_some(Duration::from_millis(3200));
        TaskTotals {
            took: Duration::from_secs(768),
            done: Estimate {
                unit,
                done,
                all,
                each,
                left: None,
            },
            peak_memory: 0,
            pictures: 0,
        }
    }

    #[test]
    fn what_there_is_is_told() {
        let whole = TaskTotals {
            peak_memory: 3_100_000_000,
            pictures: 240,
            ..totals(Unit::Frame, 240, 240)
        };
        let told = "240 frames in 12 min 48 s (3.2 s each), peak memory 3.1 GB, 240 pictures";
        assert_eq!(whole.to_string(), told);
        let told = [
            (Unit::Frame, 11, 240),
            (Unit::Frame, 1, 1),
            (Unit::Frame, 0, 0),
            (Unit::Step, 3, 5),
        ]
        .map(|(unit, done, all)| totals(unit, done, all).to_string());
        let expected = [
            "11 of 240 frames in 12 min 48 s (3.2 s each)",
            "1 frame in 12 min 48 s",
            "0 frames in 12 min 48 s",
            "3 of 5 steps in 12 min 48 s",
        ];
        assert_eq!(told, expected);
        let film = TaskTotals {
            peak_memory: 42,
            pictures: 1,
            ..totals(Unit::Step, 1, 1)
        };
        assert_eq!(film.to_string(), "12 min 48 s, peak memory 42 B, 1 picture");
    }
}
