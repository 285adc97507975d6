// SPDX-License-Identifier: GPL-3.0-or-later

//! Text of others at a length that does no harm: the Manager's words, names of tasks, what an error quotes. No more of it
//! is kept, logged or shown; what a program prints has bounds of its own, in the spool.

use std::borrow::Cow;

/// Words for people, in bytes: more than the Manager's longest message, and still one entry in a log.
pub const WORDS: usize = 1 << 10;

/// At most about `most` bytes of a text; how long it was is said in place of the rest.
pub fn text(text: &str, most: usize) -> Cow<'_, str> {
    if text.len() <= most {
        return Cow::Borrowed(text);
    }
    let start = &text[..text.floor_char_boundary(most)];
    Cow::Owned(format!("{start} [... {} bytes in all]", text.len()))
}

/// [`text`] of [`WORDS`].
pub fn words(words: String) -> String {
    match text(&words, WORDS) {
        Cow::Borrowed(_) => words,
        Cow::Owned(shorter) => shorter,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn i26_what_is_too_long_is_cut_between_characters_and_says_so() {
        assert_eq!(text("abc", 3), "abc");
        assert_eq!(text("äöü", 3), "ä [... 6 bytes in all]");
        let long = words("x".repeat(5_000_000));
        assert!(long.len() < WORDS + 50 && long.ends_with(" [... 5000000 bytes in all]"));
        assert_eq!(words("short".to_owned()), "short");
    }
}
