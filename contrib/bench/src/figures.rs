// SPDX-License-Identifier: GPL-3.0-or-later

//! The table that is printed.

use std::fmt;
use std::time::Duration;

/// Rows of: what, measured, what it is held against.
#[derive(Debug, Default)]
pub(crate) struct Table(Vec<[String; 3]>);

impl Table {
    pub(crate) fn row(&mut self, what: impl Into<String>, measured: impl Into<String>, beside: impl Into<String>) {
        self.0.push([what.into(), measured.into(), beside.into()]);
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = |column: usize| self.0.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
        let (first, second) = (width(0), width(1));
        for [what, measured, beside] in &self.0 {
            writeln!(f, "{what:first$}  {measured:>second$}  {beside}")?;
        }
        Ok(())
    }
}

/// The middle one; zero of none.
pub(crate) fn median(mut values: Vec<Duration>) -> Duration {
    values.sort_unstable();
    values.get(values.len() / 2).copied().unwrap_or_default()
}

pub(crate) fn milliseconds(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1000.0)
}

pub(crate) fn mebibytes(kibibytes: u64) -> String {
    format!("{}.{} MB", kibibytes / 1024, kibibytes % 1024 * 10 / 1024)
}
