// SPDX-License-Identifier: GPL-3.0-or-later
//! JSON with the Manager's accent: `<`, `>` and `&` escaped, numbers as JavaScript and Go leave them, an end of line last.

use std::io::{self, Write};

use serde::Serialize;
use serde_json::ser::{Formatter, Serializer};

/// The largest whole number a JavaScript number holds exactly: 2^53.
const EXACT: u64 = 1 << 53;

pub(crate) fn encode(value: &impl Serialize) -> Vec<u8> {
    let mut bytes = Vec::new();
    // Nothing that is sent here has keys other than text, so it cannot fail.
    value
        .serialize(&mut Serializer::with_formatter(&mut bytes, Accent))
        .ok();
    bytes.push(b'\n');
    bytes
}

struct Accent;

impl Formatter for Accent {
    fn write_string_fragment<W: ?Sized + Write>(&mut self, writer: &mut W, fragment: &str) -> io::Result<()> {
        let special = |c: char| matches!(c, '<' | '>' | '&' | '\u{2028}' | '\u{2029}');
        let mut rest = fragment;
        while let Some((at, found)) = rest.char_indices().find(|(_, c)| special(*c)) {
            writer.write_all(&rest.as_bytes()[..at])?;
            write!(writer, "\\u{:04x}", u32::from(found))?;
            rest = &rest[at + found.len_utf8()..];
        }
        writer.write_all(rest.as_bytes())
    }

    fn write_f64<W: ?Sized + Write>(&mut self, writer: &mut W, value: f64) -> io::Result<()> {
        let size = value.abs();
        if size == 0.0 || (1e-6..1e21).contains(&size) {
            return write!(writer, "{value}");
        }
        let text = format!("{value:e}");
        match text.split_once('e') {
            Some((digits, power)) if !power.starts_with('-') => write!(writer, "{digits}e+{power}"),
            Some(_) | None => writer.write_all(text.as_bytes()),
        }
    }

    fn write_u64<W: ?Sized + Write>(&mut self, writer: &mut W, value: u64) -> io::Result<()> {
        if value <= EXACT {
            write!(writer, "{value}")
        } else {
            self.write_f64(writer, rounded(value))
        }
    }

    fn write_i64<W: ?Sized + Write>(&mut self, writer: &mut W, value: i64) -> io::Result<()> {
        if value.unsigned_abs() <= EXACT {
            write!(writer, "{value}")
        } else {
            self.write_f64(
                writer,
                rounded(value.unsigned_abs()) * if value < 0 { -1.0 } else { 1.0 },
            )
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "losing it is what the Manager does")]
fn rounded(value: u64) -> f64 {
    value as f64
}

/// Bytes as Go's decoder takes them for text: each byte that is no UTF-8 becomes U+FFFD.
pub(crate) fn text(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        text.extend(chunk.invalid().iter().map(|_| char::REPLACEMENT_CHARACTER));
    }
    text
}

/// Half a surrogate pair, which Go takes for U+FFFD and serde refuses, is replaced before it is parsed.
pub(crate) fn with_whole_surrogates(json: &str) -> String {
    if !json.contains("\\u") {
        return json.to_owned();
    }
    let mut out = String::with_capacity(json.len());
    let mut rest = json;
    while let Some(at) = rest.find('\\') {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        let length = match (surrogate(rest), rest.get(6..).and_then(surrogate)) {
            (Some(true), Some(false)) => 12,
            (Some(_), _) => {
                out.push_str("\\ufffd");
                rest = &rest[6..];
                continue;
            }
            // A backslash and the character after it, which may itself be a backslash.
            (None, _) => 1 + rest[1..].chars().next().map_or(0, char::len_utf8),
        };
        out.push_str(&rest[..length]);
        rest = &rest[length..];
    }
    out + rest
}

/// `Some(true)` for `\ud800`..`\udbff` at the start, `Some(false)` for the second half of a pair.
fn surrogate(text: &str) -> Option<bool> {
    let code = u32::from_str_radix(text.strip_prefix("\\u")?.get(..4)?, 16).ok()?;
    match code {
        0xd800..=0xdbff => Some(true),
        0xdc00..=0xdfff => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn line(value: &serde_json::Value) -> String {
        String::from_utf8(encode(value)).unwrap()
    }

    #[test]
    fn numbers_are_written_as_the_manager_writes_them() {
        let sent = json!([24.0, 12_345_678_901_234_567_890_u64, 1e21, -0.0, 1e-7, 2.5, 7, -7]);
        assert_eq!(line(&sent), "[24,12345678901234567000,1e+21,-0,1e-7,2.5,7,-7]\n");
    }

    #[test]
    fn signs_of_html_are_escaped() {
        assert_eq!(line(&json!({"<a>": "b&c"})), "{\"\\u003ca\\u003e\":\"b\\u0026c\"}\n");
    }

    #[test]
    fn broken_text_becomes_replacement_characters() {
        assert_eq!(text(b"a\xffb\xe2\x82c"), "a\u{fffd}b\u{fffd}\u{fffd}c");
        assert_eq!(
            with_whole_surrogates(r#""\ud83d\ude00 \ud800x \\ud800 \udc00""#),
            r#""\ud83d\ude00 \ufffdx \\ud800 \ufffd""#
        );
    }
}
