// SPDX-License-Identifier: GPL-3.0-or-later

//! Times and sizes as people write them. A number without its unit is refused: the one who writes `30` may mean seconds,
//! and the one who reads it milliseconds.
//!
//! The crates that exist read something else: `jiff` knows no days and no `1.5h30m`, `humantime` has months and years,
//! `bytesize` takes a number without a unit for bytes and `4k` for 4000. None of them writes what the manual shows.

use std::time::Duration;

/// How much memory the programs of a task may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum MemoryLimit {
    /// So many bytes.
    Bytes(u64),
    /// A share of the machine's memory, 1 to 100.
    Percent(u8),
}

/// Less is a slip: no program of a task runs with it.
const LEAST_MEMORY: u64 = 16 << 20;

/// Reads `250ms`, `30s`, `2m`, `1h30m` or `1.5s`.
///
/// # Errors
/// What is wrong, as the end of a sentence that starts with the key.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let expected = || format!("must be a time such as \"250ms\", \"30s\", \"2m\" or \"1h30m\", not {text:?}");
    let mut rest = text.trim();
    if !rest.is_empty() && rest.chars().all(|c| c.is_ascii_digit() || c == '.') {
        return Err(format!(
            "needs a unit: \"{rest}s\" for seconds, \"{rest}ms\" for milliseconds"
        ));
    }
    let mut total = Duration::ZERO;
    let mut parts = 0;
    while !rest.is_empty() {
        let (number, after) = split_number(rest);
        let end = after.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(after.len());
        let (unit, after) = after.split_at(end);
        let seconds = match unit {
            "ms" => 0.001,
            "s" => 1.0,
            "m" | "min" => 60.0,
            "h" => 3600.0,
            "d" => 86400.0,
            _ => return Err(expected()),
        };
        let number: f64 = number.parse().map_err(|_| expected())?;
        // In microseconds and back: 0.25 s must not become 249.999999 ms.
        let part = Duration::try_from_secs_f64((number * seconds * 1e6).round() / 1e6).map_err(|_| expected())?;
        total = total.checked_add(part).ok_or_else(expected)?;
        parts += 1;
        rest = after.trim_start();
    }
    if parts == 0 { Err(expected()) } else { Ok(total) }
}

/// Writes a duration so that [`duration`] reads the same.
pub(crate) fn duration_text(duration: Duration) -> String {
    let millis = duration.as_millis();
    match millis {
        0 => "0s".to_owned(),
        _ if !millis.is_multiple_of(1000) => format!("{millis}ms"),
        _ if millis.is_multiple_of(86_400_000) => format!("{}d", millis / 86_400_000),
        _ if millis.is_multiple_of(3_600_000) => format!("{}h", millis / 3_600_000),
        _ if millis.is_multiple_of(60_000) => format!("{}m", millis / 60_000),
        _ => format!("{}s", millis / 1000),
    }
}

/// Reads `512MiB`, `1GiB`, `1.5GB` or `300B`, in bytes.
///
/// # Errors
/// As for [`duration`].
pub(crate) fn size(text: &str) -> Result<u64, String> {
    let expected = || format!("must be a size such as \"64MiB\" or \"1GiB\", not {text:?}");
    let (number, unit) = split_number(text.trim());
    let factor: u64 = match unit.trim_start().to_ascii_lowercase().as_str() {
        "" if !number.is_empty() => {
            return Err(format!(
                "needs a unit: \"{number}MiB\", \"{number}GiB\" or, for bytes, \"{number}B\""
            ));
        }
        "b" => 1,
        "kib" | "k" => 1 << 10,
        "mib" | "m" => 1 << 20,
        "gib" | "g" => 1 << 30,
        "tib" | "t" => 1 << 40,
        "kb" => 1_000,
        "mb" => 1_000_000,
        "gb" => 1_000_000_000,
        "tb" => 1_000_000_000_000,
        _ => return Err(expected()),
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let whole: u64 = whole.parse().map_err(|_| expected())?;
    // Three digits after the point are plenty, and stay exact.
    let thousandths = match fraction {
        "" => 0,
        _ if fraction.len() > 3 => return Err(expected()),
        _ => format!("{fraction:0<3}").parse::<u64>().map_err(|_| expected())?,
    };
    let part = factor.checked_mul(thousandths).ok_or_else(expected)? / 1000;
    whole
        .checked_mul(factor)
        .and_then(|bytes| bytes.checked_add(part))
        .ok_or_else(expected)
}

/// Writes a size so that [`size`] reads the same.
pub(crate) fn size_text(bytes: u64) -> String {
    let units = [(40, "TiB"), (30, "GiB"), (20, "MiB"), (10, "KiB")];
    let whole = |(shift, _): &(u32, &str)| bytes > 0 && bytes.is_multiple_of(1 << shift);
    match units.into_iter().find(whole) {
        Some((shift, unit)) => format!("{}{unit}", bytes >> shift),
        None => format!("{bytes}B"),
    }
}

/// Reads `70%`, or a size.
///
/// # Errors
/// As for [`size`].
pub(crate) fn memory_limit(text: &str) -> Result<MemoryLimit, String> {
    let Some(number) = text.trim().strip_suffix('%') else {
        return match size(text)? {
            bytes if bytes < LEAST_MEMORY => Err(format!("must be at least {}, not {text}", size_text(LEAST_MEMORY))),
            bytes => Ok(MemoryLimit::Bytes(bytes)),
        };
    };
    match number.trim().parse() {
        Ok(percent @ 1..=100) => Ok(MemoryLimit::Percent(percent)),
        Ok(_) | Err(_) => Err(format!("must be between \"1%\" and \"100%\", not {text:?}")),
    }
}

/// Writes such a limit so that [`memory_limit`] reads the same.
pub(crate) fn memory_limit_text(limit: MemoryLimit) -> String {
    match limit {
        MemoryLimit::Bytes(bytes) => size_text(bytes),
        MemoryLimit::Percent(percent) => format!("{percent}%"),
    }
}

fn split_number(text: &str) -> (&str, &str) {
    let end = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    text.split_at(end)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn times_are_read_with_their_unit_only() {
        let ms = |n| Ok(Duration::from_millis(n));
        for (text, read) in [
            ("250ms", ms(250)),
            ("0.25s", ms(250)),
            ("30s", ms(30_000)),
            ("2m", ms(120_000)),
            ("2min", ms(120_000)),
            ("1h30m", ms(5_400_000)),
            ("1h 30m", ms(5_400_000)),
            (" 1 d ", Err(())),
            ("0s", ms(0)),
        ] {
            assert_eq!(duration(text).map_err(|_| ()), read, "{text}");
        }
        for wrong in [
            "",
            "s",
            "30 s",
            "30sec",
            "-3s",
            "1e3s",
            "1..5s",
            "3s4",
            "9999999999999999999999h",
        ] {
            assert!(duration(wrong).unwrap_err().contains("such as"), "{wrong}");
        }
        assert_eq!(
            duration("30").unwrap_err(),
            "needs a unit: \"30s\" for seconds, \"30ms\" for milliseconds"
        );
    }

    #[test]
    fn a_share_is_a_percentage_or_a_size() {
        for (text, read) in [
            ("70%", MemoryLimit::Percent(70)),
            ("48GiB", MemoryLimit::Bytes(48 << 30)),
        ] {
            assert_eq!(memory_limit(text), Ok(read));
            assert_eq!(memory_limit_text(read), text);
        }
        for wrong in ["0%", "101%", "-1%", "7.5%", "70", "1MiB", "%"] {
            assert!(memory_limit(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn sizes_are_read_with_their_unit_only() {
        for (text, bytes) in [
            ("1GiB", 1 << 30),
            ("1.5 GiB", 3 << 29),
            ("64MiB", 64 << 20),
            ("1GB", 1_000_000_000),
            ("300B", 300),
            ("4k", 4096),
        ] {
            assert_eq!(size(text), Ok(bytes), "{text}");
        }
        for wrong in ["", "GiB", "1PiB", "-1GiB", "1.2345GiB", "99999999999999TiB", "1 G i B"] {
            assert!(size(wrong).unwrap_err().contains("such as"), "{wrong}");
        }
        assert!(size("1024").unwrap_err().starts_with("needs a unit"));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(millis in 0u64..1_000_000_000) {
            let time = Duration::from_millis(millis);
            prop_assert_eq!(duration(&duration_text(time)), Ok(time));
            prop_assert_eq!(size(&size_text(millis << 10)), Ok(millis << 10));
            prop_assert_eq!(size(&size_text(millis)), Ok(millis));
        }

        #[test]
        fn no_text_makes_either_panic(text in "[0-9.]{0,25} ?\\PC{0,5}") {
            duration(&text).ok();
            size(&text).ok();
        }
    }
}
