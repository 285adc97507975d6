// SPDX-License-Identifier: GPL-3.0-or-later

//! The list at the end.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io;

use crate::Run;
use crate::record::Skipped;

/// What a run has skipped, for a person to read.
pub struct Summary(Vec<Skipped>);

impl Summary {
    /// Of the run that this process belongs to; it is told once.
    ///
    /// # Errors
    /// Where what was noted cannot be read.
    pub fn take() -> io::Result<Self> {
        Run::of_parent()?.take().map(Self)
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tests: BTreeSet<_> = self.0.iter().map(|skipped| &skipped.test).collect();
        if tests.is_empty() {
            return writeln!(f, "No test was skipped.");
        }
        let mut reasons: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
        for skipped in &self.0 {
            reasons.entry(&skipped.test).or_default().insert(skipped.why.as_str());
        }
        let mut groups: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for (test, reasons) in reasons {
            groups.entry(reasons).or_default().push(test);
        }
        writeln!(f, "Tests that were skipped, for what this machine does not have:")?;
        for (reasons, tests) in groups {
            writeln!(f, "\n{}:", reasons.into_iter().collect::<Vec<_>>().join(", "))?;
            for test in tests {
                writeln!(f, "  {test}")?;
            }
        }
        writeln!(f, "\nTests skipped: {}. To have them run:\n", tests.len())?;
        let mut remedies: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
        for skipped in &self.0 {
            remedies.entry(&skipped.remedy).or_default().insert(&skipped.test);
        }
        for (remedy, tests) in &remedies {
            writeln!(f, "{:5}  {remedy}", tests.len())?;
        }
        Ok(())
    }
}
