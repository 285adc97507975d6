// SPDX-License-Identifier: GPL-3.0-or-later

//! Columns of text, each as wide as its widest cell.

use std::io::{self, Write};
use std::iter::once;

use crate::printable;

/// Characters of the widest cell: names of tasks may be sentences.
const WIDEST: usize = 40;

/// Writes rows below a heading. What comes from the network is made harmless to terminals.
///
/// # Errors
/// What the output says.
pub(super) fn write<const N: usize>(heading: [&str; N], rows: &[[String; N]], out: &mut impl Write) -> io::Result<()> {
    let heading = heading.map(str::to_owned);
    let all: Vec<[String; N]> = once(&heading)
        .chain(rows)
        .map(|row| row.each_ref().map(|cell| fitted(cell)))
        .collect();
    let mut widths = [0; N];
    for row in &all {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.chars().count().max(*width);
        }
    }
    for row in &all {
        let cells = row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}"));
        let line = cells.collect::<Vec<_>>().join("  ");
        writeln!(out, "{}", line.trim_end())?;
    }
    Ok(())
}

fn fitted(text: &str) -> String {
    let plain = printable::escape_line(text);
    match plain.char_indices().nth(WIDEST) {
        None => plain.into_owned(),
        Some(_) => plain.chars().take(WIDEST - 3).chain("...".chars()).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_no_cell_can_move_the_cursor() {
        let mut out = Vec::new();
        let row = |a: &str, b: &str| [a.to_owned(), b.to_owned()];
        write(["A", "B"], &[row("ü\x1b[2J", "1"), row(&"x".repeat(60), "")], &mut out).unwrap();
        let lines: Vec<_> = std::str::from_utf8(&out).unwrap().lines().collect();
        assert_eq!(lines[0], format!("A{}B", " ".repeat(41)));
        assert_eq!(lines[1], format!("ü\\u001b[2J{}1", " ".repeat(32)));
        assert_eq!(lines[2], format!("{}...", "x".repeat(37)));
    }
}
