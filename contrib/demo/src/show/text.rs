// SPDX-License-Identifier: GPL-3.0-or-later
//! Times, counts, and texts that fit: plain functions of plain values.

use std::time::Duration;

use console::{measure_text_width, strip_ansi_codes};

/// Between a number and its unit (no-break space); becomes a plain blank when it is written.
pub(super) const GLUE: char = '\u{a0}';

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
    let plural = match one.strip_suffix("ss") {
        _ if count == 1 => "",
        Some(_) => "es",
        None => "s",
    };
    format!("{count} {one}{plural}")
}

/// Lines of at most `width` columns, broken at blanks.
pub(super) fn broken(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split(' ').filter(|word| !word.is_empty()) {
        match lines.last_mut() {
            Some(line) if measure_text_width(line) + 1 + measure_text_width(word) <= width => {
                line.push(' ');
                line.push_str(word);
            }
            Some(_) | None => lines.push(word.to_owned()),
        }
    }
    lines
}

/// A foreign text on one line, without anything that colours, moves or turns it round.
pub(crate) fn tame(text: &str) -> String {
    let letter = |letter: char| match letter {
        // Zero-width and directional marks.
        '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' => None,
        letter if letter.is_control() => Some('·'),
        letter => Some(letter),
    };
    strip_ansi_codes(text).chars().filter_map(letter).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_the_unit_that_suits_them_and_counts_their_plural() {
        let shown = |millis| time(Duration::from_millis(millis)).replace(GLUE, " ");
        assert_eq!([0, 43, 1_249].map(shown), ["1 ms", "43 ms", "1.2 s"]);
        let shown = [counted(1, "picture"), counted(0, "picture"), counted(2, "process")];
        assert_eq!(shown, ["1 picture", "0 pictures", "2 processes"]);
    }

    #[test]
    fn sentences_are_broken_at_blanks_and_a_number_keeps_its_unit() {
        assert_eq!(broken("one two three", 7), ["one two", "three"]);
        assert_eq!(broken("overlong x", 3), ["overlong", "x"]);
        let sentence = format!("after {}", time(Duration::from_secs(2)));
        assert_eq!(broken(&sentence, 9), ["after", "2.0\u{a0}s"]);
    }

    #[test]
    fn a_hostile_name_stays_on_its_line_and_in_its_direction() {
        assert_eq!(tame("a\nb\x1b[31mred\u{202e}txt\u{7}"), "a·bredtxt·");
    }
}
