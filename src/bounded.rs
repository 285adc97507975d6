// SPDX-License-Identifier: GPL-3.0-or-later

//! Text of others, cut to a length that does no harm: the Manager's messages, names of tasks, what an error quotes. No
//! more of it is kept, logged or shown. What a program prints has limits of its own, in the spool.

use std::borrow::Cow;

/// The longest message for people, in bytes: more than the Manager's longest, and still one entry in a log.
pub(crate) const LONGEST_MESSAGE: usize = 1 << 10;

/// Keeps at most about `most` bytes of a text, and says how long it was in place of the rest.
pub(crate) fn shorten(text: &str, most: usize) -> Cow<'_, str> {
    if text.len() <= most {
        return Cow::Borrowed(text);
    }
    let start = &text[..text.floor_char_boundary(most)];
    Cow::Owned(format!("{start} [... {} bytes in all]", text.len()))
}

/// Keeps at most about [`LONGEST_MESSAGE`] bytes of a message, as [`shorten`] does.
pub(crate) fn shorten_message(message: String) -> String {
    match shorten(&message, LONGEST_MESSAGE) {
        Cow::Borrowed(_) => message,
        Cow::Owned(shorter) => shorter,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn i26_what_is_too_long_is_cut_between_characters_and_says_so() {
        assert_eq!(shorten("abc", 3), "abc");
        assert_eq!(shorten("äöü", 3), "ä [... 6 bytes in all]");
        let long = shorten_message("x".repeat(5_000_000));
        assert!(long.len() < LONGEST_MESSAGE + 50 && long.ends_with(" [... 5000000 bytes in all]"));
        assert_eq!(shorten_message("short".to_owned()), "short");
    }
}
