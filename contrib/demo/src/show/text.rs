// SPDX-License-Identifier: GPL-3.0-or-later
//! Times, bars, and texts that fit: plain functions of plain values.

use std::time::Duration;

use unicode_width::UnicodeWidthChar;

/// Between a number and its unit (no-break space); becomes a plain blank when it is written.
pub(super) const GLUE: char = '\u{a0}';
/// Eighths of a cell, from one to seven.
const PARTS: [char; 7] = ['▏', '▎', '▍', '▌', '▋', '▊', '▉'];

/// `4 ms`, `85 ms`, `1.2 s`, with a blank that [`broken`] leaves alone. One decimal is what a person can feel.
pub(crate) fn time(took: Duration) -> String {
    if took < Duration::from_millis(100) {
        format!("{}{GLUE}ms", took.as_millis().max(1))
    } else {
        format!("{:.1}{GLUE}s", took.as_secs_f64())
    }
}

/// `1 picture`, `6 pictures`.
pub(crate) fn counted(count: usize, one: &str) -> String {
    if count == 1 {
        format!("1 {one}")
    } else if let Some(stem) = one.strip_suffix("ss") {
        format!("{count} {stem}sses")
    } else {
        format!("{count} {one}s")
    }
}

/// A bar of `width` cells between its two ends.
pub(super) fn bar(done: u32, total: u32, width: u16) -> String {
    let eighths = u64::from(done.min(total)) * u64::from(width) * 8 / u64::from(total.max(1));
    let (full, part) = (eighths / 8, eighths % 8);
    let mut cells: String = (0..full).map(|_| '█').collect();
    cells.extend((1..).zip(PARTS).find(|(at, _)| *at == part).map(|(_, cell)| cell));
    let width = usize::from(width);
    format!("▕{cells:<width$}▏")
}

/// Lines of at most `width` columns, broken at blanks.
pub(super) fn broken(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split(' ').filter(|word| !word.is_empty()) {
        match lines.last_mut() {
            Some(line) if columns(line) + 1 + columns(word) <= width => {
                line.push(' ');
                line.push_str(word);
            }
            Some(_) | None => lines.push(word.to_owned()),
        }
    }
    lines
}

/// Columns that a text takes on a terminal.
pub(super) fn columns(text: &str) -> usize {
    text.chars().map(|letter| letter.width().unwrap_or(0)).sum()
}

/// The beginning that fits into so many columns, with an ellipsis if it is not all.
pub(super) fn cut(text: &str, width: usize) -> String {
    if columns(text) <= width {
        return text.to_owned();
    }
    let mut room = width.saturating_sub(1);
    let fits = |letter: &char| {
        let needed = letter.width().unwrap_or(0);
        let fits = needed <= room;
        room = room.saturating_sub(needed);
        fits
    };
    let mut short: String = text.chars().take_while(fits).collect();
    if width > 0 {
        short.push('…');
    }
    short
}

/// Somebody's words on one line, without anything that colours, moves or turns it round.
pub(crate) fn tame(text: &str) -> String {
    let letter = |letter: char| match letter {
        // Zero-width and directional marks.
        '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' => None,
        letter if letter.is_control() => Some('·'),
        letter => Some(letter),
    };
    without_escapes(text).chars().filter_map(letter).collect()
}

/// A line of somebody's log without what colours it.
pub(crate) fn without_escapes(text: &str) -> String {
    let mut plain = String::new();
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        if letter == '\x1b' {
            letters.by_ref().find(char::is_ascii_alphabetic);
        } else {
            plain.push(letter);
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_has_its_width_however_far_it_is() {
        assert_eq!(bar(0, 4, 4), "▕    ▏");
        assert_eq!(bar(1, 4, 4), "▕█   ▏");
        assert_eq!(bar(3, 8, 4), "▕█▌  ▏");
        assert_eq!(bar(9, 4, 4), "▕████▏");
        assert_eq!(bar(0, 0, 4), "▕    ▏");
        assert!((0..=9).all(|done| columns(&bar(done, 9, 24)) == 26));
    }

    #[test]
    fn times_have_the_unit_that_suits_them_and_counts_their_plural() {
        let shown = |millis| time(Duration::from_millis(millis)).replace(GLUE, " ");
        assert_eq!([0, 43, 1_249].map(shown), ["1 ms", "43 ms", "1.2 s"]);
        let shown = [counted(1, "picture"), counted(0, "picture"), counted(2, "process")];
        assert_eq!(shown, ["1 picture", "0 pictures", "2 processes"]);
    }

    #[test]
    fn a_number_and_its_unit_stay_together() {
        let sentence = format!("after {}", time(Duration::from_secs(2)));
        assert_eq!(broken(&sentence, 9), ["after", "2.0\u{a0}s"]);
    }

    #[test]
    fn sentences_are_broken_at_blanks() {
        assert_eq!(broken("one two three", 7), ["one two", "three"]);
        assert_eq!(broken("overlong x", 3), ["overlong", "x"]);
        assert!(broken(" ", 3).is_empty());
    }

    #[test]
    fn what_is_too_long_ends_in_an_ellipsis_also_in_wide_letters() {
        assert_eq!(cut("render-1", 8), "render-1");
        assert_eq!(cut("render-10", 8), "render-…");
        assert_eq!(cut("日本語", 5), "日本…");
        assert_eq!((cut("日本語", 4), cut("x", 0)), ("日…".to_owned(), String::new()));
    }

    #[test]
    fn colours_of_a_log_are_left_out() {
        assert_eq!(
            without_escapes("\x1b[90m12:00\x1b[0m \x1b[1;32mINF\x1b[0m up"),
            "12:00 INF up"
        );
        assert_eq!(without_escapes("cut \x1b[9"), "cut ");
    }

    #[test]
    fn a_hostile_name_stays_on_its_line_and_in_its_direction() {
        assert_eq!(tame("a\nb\x1b[31mred\u{202e}txt\u{7}"), "a·bredtxt·");
    }
}
