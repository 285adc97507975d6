// SPDX-License-Identifier: GPL-3.0-or-later

//! Formats JSON values and texts as the Go worker does, because job scripts and people read them: Go's
//! `%v`, `%q` and durations. One difference is on purpose: a whole number is its digits
//! (`5000000`, where `%v` of a float says `5e+06`, which FFmpeg and Blender do not take for a number).

use std::fmt::Write;

use serde_json::{Map, Number, Value};

/// From this size on a number has an exponent, as in JavaScript, in which job scripts are written.
const EXPONENT_FROM: f64 = 1e21;
/// Below this size a number has an exponent too.
const EXPONENT_BELOW: f64 = 1e-6;

/// A value as text, with strings as they are, `[a 1 <nil>]`, `map[a:1 b:2]` with sorted keys.
pub(super) fn plain(value: &Value) -> String {
    match value {
        Value::Null => "<nil>".to_owned(),
        Value::Bool(yes) => yes.to_string(),
        Value::Number(number) => digits(number),
        Value::String(text) => text.clone(),
        Value::Array(list) => format!("[{}]", list.iter().map(plain).collect::<Vec<_>>().join(" ")),
        Value::Object(map) => plain_map(map),
    }
}

fn plain_map(map: &Map<String, Value>) -> String {
    let mut pairs: Vec<_> = map.iter().collect();
    pairs.sort_by_key(|(key, _)| *key);
    let words: Vec<_> = pairs
        .iter()
        .map(|(key, value)| format!("{key}:{}", plain(value)))
        .collect();
    format!("map[{}]", words.join(" "))
}

/// A number: its digits if it is whole and below 1e21, else the shortest text that reads back the same.
pub(super) fn digits(number: &Number) -> String {
    match number.as_f64() {
        Some(float) if number.is_f64() => float_digits(float),
        Some(_) | None => number.to_string(),
    }
}

fn float_digits(float: f64) -> String {
    let size = float.abs();
    if float == 0.0 || (EXPONENT_BELOW..EXPONENT_FROM).contains(&size) {
        return float.to_string();
    }
    let text = format!("{float:e}");
    let Some((mantissa, exponent)) = text.split_once('e') else {
        return text;
    };
    match exponent.strip_prefix('-') {
        Some(exponent) => format!("{mantissa}e-{exponent:0>2}"),
        None => format!("{mantissa}e+{exponent:0>2}"),
    }
}

/// A text in double quotes in which everything invisible is escaped: Go's `%q`.
pub(super) fn quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for c in text.chars() {
        push_quoted(&mut quoted, c);
    }
    quoted.push('"');
    quoted
}

fn push_quoted(quoted: &mut String, c: char) {
    let short = match c {
        '\x07' => "\\a",
        '\x08' => "\\b",
        '\x0c' => "\\f",
        '\n' => "\\n",
        '\r' => "\\r",
        '\t' => "\\t",
        '\x0b' => "\\v",
        '\\' => "\\\\",
        '"' => "\\\"",
        _ => "",
    };
    if !short.is_empty() {
        quoted.push_str(short);
        return;
    }
    let written = match u32::from(c) {
        code @ (0..0x20 | 0x7f) => write!(quoted, "\\x{code:02x}"),
        _ if is_printable(c) => quoted.write_char(c),
        code @ 0..0x1_0000 => write!(quoted, "\\u{code:04x}"),
        code => write!(quoted, "\\U{code:08x}"),
    };
    // Writing to a String cannot fail.
    written.ok();
}

/// Whether a character is a letter, mark, number, punctuation, symbol or the plain space. The standard library has that
/// table, but exposes it only by `escape_debug`, which escapes a combining mark only at the beginning.
fn is_printable(c: char) -> bool {
    if c == '\'' {
        return true;
    }
    let behind: String = ['a', c].iter().collect();
    behind.escape_debug().nth(1) == Some(c)
}

/// Whole seconds as Go prints a duration: `0s`, `1m30s`, `2h0m0s`.
pub(super) fn seconds(total: u64) -> String {
    let (hours, minutes, seconds) = (total / 3600, total / 60 % 60, total % 60);
    match (hours, minutes) {
        (0, 0) => format!("{seconds}s"),
        (0, _) => format!("{minutes}m{seconds}s"),
        (_, _) => format!("{hours}h{minutes}m{seconds}s"),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn of(json: &str) -> String {
        plain(&serde_json::from_str(json).unwrap())
    }

    #[test]
    fn numbers_are_what_a_program_reads() {
        let table = [
            ("24", "24"),
            ("24.0", "24"),
            ("-0", "-0"),
            ("0", "0"),
            ("100000", "100000"),
            ("999999.5", "999999.5"),
            ("1000000", "1000000"),
            ("5e6", "5000000"),
            ("-1234567", "-1234567"),
            ("20000000.5", "20000000.5"),
            ("2147483648", "2147483648"),
            ("12345678901234567890", "12345678901234567890"),
            ("1e20", "100000000000000000000"),
            ("1e21", "1e+21"),
            ("1.7976931348623157e308", "1.7976931348623157e+308"),
            ("0.0001", "0.0001"),
            ("0.00012345", "0.00012345"),
            ("0.00001", "0.00001"),
            ("0.0000001", "1e-07"),
            ("-2.5e-10", "-2.5e-10"),
            ("5e-324", "5e-324"),
            ("0.30000000000000004", "0.30000000000000004"),
            ("23.976023976023978", "23.976023976023978"),
        ];
        for (json, text) in table {
            assert_eq!(of(json), text, "{json}");
        }
    }

    #[test]
    fn other_values_are_what_go_prints() {
        assert_eq!(of(r#"["a",1,[null]]"#), "[a 1 [<nil>]]");
        assert_eq!(of(r#"{"b":1,"a":["x",null,1e21]}"#), "map[a:[x <nil> 1e+21] b:1]");
        assert_eq!((of("[]"), of("{}")), ("[]".into(), "map[]".into()));
        assert_eq!((of("true"), of("null")), ("true".into(), "<nil>".into()));
        assert_eq!((of(r#"[""]"#), of(r#"{"":""}"#)), ("[]".into(), "map[:]".into()));
    }

    #[test]
    fn quoting_is_go_s() {
        let table = [
            ("", r#""""#),
            ("it's \"so\" \\", r#""it's \"so\" \\""#),
            ("\x07\x08\x0c\n\r\t\x0b", r#""\a\b\f\n\r\t\v""#),
            ("\0\x1b\x7f", r#""\x00\x1b\x7f""#),
            (
                "\u{85}\u{a0}\u{ad}\u{200b}\u{2028}\u{202e}",
                r#""\u0085\u00a0\u00ad\u200b\u2028\u202e""#,
            ),
            (
                "\u{3000}\u{feff}\u{e000}\u{378}\u{ffff}",
                r#""\u3000\ufeff\ue000\u0378\uffff""#,
            ),
            ("\u{e0001}\u{10ffff}", r#""\U000e0001\U0010ffff""#),
            ("\u{301}e\u{301}ü☃🎬\u{fffd}", "\"\u{301}e\u{301}ü☃🎬\u{fffd}\""),
        ];
        for (text, expected) in table {
            assert_eq!(quoted(text), expected);
        }
    }

    #[test]
    fn durations_are_go_s() {
        let table = [
            (0, "0s"),
            (3, "3s"),
            (90, "1m30s"),
            (60, "1m0s"),
            (7200, "2h0m0s"),
            (360_061, "100h1m1s"),
        ];
        for (total, text) in table {
            assert_eq!(seconds(total), text);
        }
    }

    proptest! {
        #[test]
        fn every_number_reads_back_as_itself(float in proptest::num::f64::NORMAL | proptest::num::f64::SUBNORMAL) {
            let text = plain(&json!(float));
            prop_assert_eq!(text.parse::<f64>().unwrap(), float, "{}", text);
            prop_assert!(text.len() < 30, "{}", text);
        }

        #[test]
        fn whole_numbers_have_no_exponent(number in any::<i64>()) {
            prop_assert_eq!(plain(&json!(number)), number.to_string());
        }

        #[test]
        fn quoting_never_leaves_a_control_character(text in any::<String>()) {
            let quoted = quoted(&text);
            prop_assert!(!quoted.chars().any(char::is_control));
        }
    }
}
