// SPDX-License-Identifier: GPL-3.0-or-later

//! Text of others, made harmless where a person reads it: in our own log, `systemctl status` and the output of commands.
//! The Manager gets every byte as it was.
//!
//! Characters that steer a terminal or turn the order of letters around are written as JSON escapes them (`\u001b`), so
//! that they can be seen, and so that JSON stays the same JSON. Letters of every script stay, and so do the characters
//! that join them.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::io::{self, Write};

/// Escapes a line: line feeds and tabs too.
pub(crate) fn escape_line(text: &str) -> Cow<'_, str> {
    escape(text, steers)
}

/// Escapes a line, parts of which `{:?}` may have quoted already: that writes `\u{1b}` for `\u001b`.
pub(crate) fn escape_debug_too(line: &str) -> Cow<'_, str> {
    let mut parts = line.split("\\u{");
    let Some(first) = parts.next().filter(|first| first.len() < line.len()) else {
        return escape_line(line);
    };
    let mut alike = escape_line(first).into_owned();
    for part in parts {
        let code = part
            .split_once('}')
            .filter(|(code, _)| u32::from_str_radix(code, 16).is_ok());
        match code {
            Some((code, rest)) => {
                write!(alike, "\\u{code:0>4}{}", escape_line(rest)).ok();
            }
            None => {
                write!(alike, "\\u{{{}", escape_line(part)).ok();
            }
        }
    }
    Cow::Owned(alike)
}

/// Escapes a text of several lines: line feeds and tabs stay.
pub(crate) fn escape_text(text: &str) -> Cow<'_, str> {
    escape(text, |c| steers(c) && !matches!(c, '\n' | '\t'))
}

fn escape(text: &str, unwanted: impl Fn(char) -> bool) -> Cow<'_, str> {
    if !text.contains(&unwanted) {
        return Cow::Borrowed(text);
    }
    let mut clean = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match c {
            c if !unwanted(c) => clean.push(c),
            '\n' => clean.push_str("\\n"),
            '\r' => clean.push_str("\\r"),
            '\t' => clean.push_str("\\t"),
            // Writing to a String cannot fail.
            c => {
                write!(clean, "\\u{:04x}", u32::from(c)).ok();
            }
        }
    }
    Cow::Owned(clean)
}

/// Whether a character steers: control characters, line and paragraph separators, and the marks that change the direction of text (UAX #9).
fn steers(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
        )
}

/// A writer that passes on what is written to it as [`escape_text`] does. Bytes that are not UTF-8 become U+FFFD; a
/// character that is cut off at the end is left out.
#[derive(Debug)]
pub(crate) struct EscapingWriter<W> {
    to: W,
    /// The start of a character whose rest comes with the next write.
    begun: Vec<u8>,
}

impl<W: Write> EscapingWriter<W> {
    /// Makes one that writes to `to`.
    pub(crate) fn new(to: W) -> Self {
        Self { to, begun: Vec::new() }
    }
}

impl<W: Write> Write for EscapingWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut all = std::mem::take(&mut self.begun);
        all.extend_from_slice(bytes);
        let mut chunks = all.utf8_chunks().peekable();
        while let Some(chunk) = chunks.next() {
            self.to.write_all(escape_text(chunk.valid()).as_bytes())?;
            let odd = chunk.invalid();
            if chunks.peek().is_none() && is_begun(odd) {
                self.begun = odd.to_vec();
            } else if !odd.is_empty() {
                self.to.write_all("\u{fffd}".as_bytes())?;
            }
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

fn is_begun(bytes: &[u8]) -> bool {
    std::str::from_utf8(bytes).is_err_and(|error| error.error_len().is_none())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn i15_what_steers_is_escaped_and_letters_of_every_script_stay() {
        let harmless = "shot_010 Größe 日本 שלום नमस्ते 👩\u{200d}🚀 \u{fffd}";
        assert!(matches!(escape_line(harmless), Cow::Borrowed(same) if same == harmless));
        assert_eq!(
            escape_line("a\x1b]52;c;eA==\x07b\x7f\u{9b}2J\r\n\t\u{202e}gnp\u{2069}"),
            "a\\u001b]52;c;eA==\\u0007b\\u007f\\u009b2J\\r\\n\\t\\u202egnp\\u2069"
        );
        assert_eq!(escape_text("a\n\tb\r\0"), "a\n\tb\\r\\u0000");
    }

    #[test]
    fn i15_what_was_quoted_before_is_escaped_the_same_way() {
        let name = "a\x1bb\u{202e}";
        let line = format!("{name} {name:?} \\u{{no}} \\u{{");
        assert_eq!(escape_debug_too(&line), r#"a\u001bb\u202e "a\u001bb\u202e" \u{no} \u{"#);
        assert_eq!(escape_debug_too("plain\n"), "plain\\n");
    }

    #[test]
    fn i15_json_is_the_same_json() {
        let name = "a\x1b\u{9b}\u{202e}\u{7f}\"\\";
        let mut out = EscapingWriter::new(Vec::new());
        serde_json::to_writer(&mut out, name).unwrap();
        assert!(out.to.is_ascii());
        assert_eq!(serde_json::from_slice::<String>(&out.to).unwrap(), name);
    }

    #[test]
    fn i15_a_character_in_two_writes_is_one_and_what_is_none_is_marked() {
        let mut out = EscapingWriter::new(Vec::new());
        for byte in "ü\u{202e}\u{9b}👩".bytes().chain(*b"\xff\xc3x\xf0\x9f") {
            out.write_all(&[byte]).unwrap();
        }
        assert_eq!(String::from_utf8(out.to).unwrap(), "ü\\u202e\\u009b👩\u{fffd}\u{fffd}x");
    }
}
