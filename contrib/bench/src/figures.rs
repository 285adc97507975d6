// SPDX-License-Identifier: GPL-3.0-or-later

//! The table that is printed, in a form that can be pasted into a README.

use std::fmt;
use std::time::Duration;

/// Figures of one case. The columns: what, goal, what it is held against, then one for each worker.
#[derive(Debug)]
pub(crate) struct Table {
    workers: Vec<&'static str>,
    rows: Vec<Row>,
}

/// One kind of figure. Empty cells are printed as a dash.
#[derive(Debug, Default)]
pub(crate) struct Row {
    what: String,
    goal: String,
    alone: String,
    cells: Vec<String>,
}

impl Table {
    pub(crate) fn new(workers: Vec<&'static str>) -> Self {
        Self {
            workers,
            rows: Vec::new(),
        }
    }

    /// The row of this name, made if it is not there yet.
    pub(crate) fn row(&mut self, what: &str) -> &mut Row {
        let known = self.rows.iter().position(|row| row.what == what);
        let at = known.unwrap_or(self.rows.len());
        if known.is_none() {
            self.rows.push(Row {
                what: what.to_owned(),
                cells: vec![String::new(); self.workers.len()],
                ..Row::default()
            });
        }
        &mut self.rows[at]
    }
}

impl Row {
    pub(crate) fn goal(&mut self, goal: &str) -> &mut Self {
        goal.clone_into(&mut self.goal);
        self
    }

    /// The same without any worker: what cannot be beaten.
    pub(crate) fn alone(&mut self, alone: impl fmt::Display) -> &mut Self {
        self.alone = alone.to_string();
        self
    }

    /// The figure of one worker, by its place in the list of workers.
    pub(crate) fn cell(&mut self, worker: usize, figure: impl fmt::Display) -> &mut Self {
        self.cells[worker] = figure.to_string();
        self
    }

    fn texts(&self) -> Vec<&str> {
        let first = [self.what.as_str(), &self.goal, &self.alone];
        let all = first.into_iter().chain(self.cells.iter().map(String::as_str));
        all.map(|text| if text.is_empty() { "-" } else { text }).collect()
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut head = vec!["", "goal", "no worker"];
        head.extend(&self.workers);
        let lines: Vec<Vec<&str>> = std::iter::once(head).chain(self.rows.iter().map(Row::texts)).collect();
        let width = |column: usize| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or(0);
        for (number, line) in lines.iter().enumerate() {
            for (column, text) in line.iter().enumerate() {
                write!(f, "| {text:width$} ", width = width(column))?;
            }
            writeln!(f, "|")?;
            if number == 0 {
                for column in 0..line.len() {
                    write!(f, "|-{:-<width$}-", "", width = width(column))?;
                }
                writeln!(f, "|")?;
            }
        }
        Ok(())
    }
}

/// Measurements of the same thing; shown as the median, and the worst.
#[derive(Debug, Clone, Default)]
pub(crate) struct Times(Vec<Duration>);

impl Times {
    /// The middle one; zero of none.
    pub(crate) fn median(&self) -> Duration {
        self.0.get(self.0.len() / 2).copied().unwrap_or_default()
    }
}

impl FromIterator<Duration> for Times {
    fn from_iter<I: IntoIterator<Item = Duration>>(times: I) -> Self {
        let mut times: Vec<_> = times.into_iter().collect();
        times.sort_unstable();
        Self(times)
    }
}

impl fmt::Display for Times {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.as_slice() {
            [] => f.write_str("none"),
            [only] => f.write_str(&span(*only)),
            [.., worst] => write!(f, "{} (worst {})", span(self.median()), span(*worst)),
        }
    }
}

/// A length of time in the unit that suits it.
pub(crate) fn span(time: Duration) -> String {
    if time < Duration::from_secs(1) {
        format!("{:.1} ms", time.as_secs_f64() * 1000.0)
    } else {
        format!("{:.1} s", time.as_secs_f64())
    }
}

pub(crate) fn mebibytes(kibibytes: u64) -> String {
    format!("{}.{} MB", kibibytes / 1024, kibibytes % 1024 * 10 / 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_aligned_and_says_where_there_is_nothing() {
        let mut table = Table::new(vec!["one", "two"]);
        table.row("start").goal("20 ms").cell(1, "19.0 ms");
        table.row("start").cell(0, "21.0 ms");
        let wanted = "\
|       | goal  | no worker | one     | two     |
|-------|-------|-----------|---------|---------|
| start | 20 ms | -         | 21.0 ms | 19.0 ms |
";
        assert_eq!(table.to_string(), wanted);
    }

    #[test]
    fn times_are_shown_as_median_and_worst_in_their_own_units() {
        let times: Times = [1500, 3, 20].map(Duration::from_millis).into_iter().collect();
        assert_eq!(times.to_string(), "20.0 ms (worst 1.5 s)");
    }
}
