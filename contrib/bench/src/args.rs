// SPDX-License-Identifier: GPL-3.0-or-later

//! What may be typed after `cargo run --release -p bench --`.

use std::ffi::OsString;
use std::path::PathBuf;

use crate::cases::CASES;

/// What the command line asks for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Wish {
    Measure(Chosen),
    Help,
}

/// What is measured, and with what.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Chosen {
    /// Names of cases; none means all.
    pub(crate) cases: Vec<String>,
    /// One more worker to compare with.
    pub(crate) other: Option<PathBuf>,
    /// Workers in the large farm, if not the usual number.
    pub(crate) workers: Option<usize>,
    /// Everything once and with short pauses: shows that the cases work.
    pub(crate) smoke: bool,
}

pub(crate) fn help() -> String {
    let cases: String = CASES
        .iter()
        .map(|case| format!("  {:<8} {} ({})\n", case.name, case.about, case.takes))
        .collect();
    format!(
        "\
Measures flamenco-worker against a stand-in Manager on this machine, without and with the Manager's
hints (push). Prints a table per case; each figure stands beside its goal, and what it is compared with
is measured in the same run.

Usage: bench [OPTIONS] [CASE ...]
       bench chaos [--seed N] [--tasks N] [--nodes N]   everything goes wrong at random: what was lost?
       bench soak [TREES [SEED]]                        process trees of random shape, killed at random

Cases [default: all; the time is for both columns, another worker takes about as long again]:
{cases}
Options:
      --worker PATH     measures this worker, too: a column more
      --workers N       how many workers `many` has, as far as memory allows [default: 1000]
      --smoke           everything once, with polls in milliseconds: the figures mean nothing
  -h, --help            shows this help
"
    )
}

/// Reads the words after the program's name.
///
/// # Errors
/// What is wrong with them, as a fragment.
pub(crate) fn parse(words: impl IntoIterator<Item = OsString>) -> Result<Wish, String> {
    let mut words = words.into_iter();
    let mut chosen = Chosen::default();
    while let Some(word) = words.next() {
        let text = word.to_string_lossy();
        let (name, mut value) = match text.split_once('=') {
            Some((name, value)) => (name, Some(OsString::from(value))),
            None => (text.as_ref(), None),
        };
        let mut value = || {
            let value = value.take().or_else(|| words.next());
            value.ok_or_else(|| format!("{name} needs a value"))
        };
        match name {
            "-h" | "--help" => return Ok(Wish::Help),
            "--smoke" => chosen.smoke = true,
            "--worker" => chosen.other = Some(value()?.into()),
            "--workers" => chosen.workers = Some(number(name, &value()?)?),
            _ if CASES.iter().any(|case| case.name == name) => chosen.cases.push(name.to_owned()),
            _ => return Err(format!("\"{text}\" is neither a case nor an option of bench")),
        }
    }
    Ok(Wish::Measure(chosen))
}

fn number(name: &str, value: &OsString) -> Result<usize, String> {
    let number = value.to_str().and_then(|text| text.parse().ok());
    number.ok_or_else(|| format!("{name} needs a number, not \"{}\"", value.to_string_lossy()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Result<Wish, String> {
        parse(line.split_whitespace().map(OsString::from))
    }

    #[test]
    fn cases_and_options_may_be_mixed() {
        let wanted = Chosen {
            cases: vec!["idle".to_owned(), "many".to_owned()],
            other: Some("w".into()),
            workers: Some(50),
            smoke: false,
        };
        let line = "idle --worker w many --workers=50";
        assert_eq!(read(line), Ok(Wish::Measure(wanted)));
        assert_eq!(read(""), Ok(Wish::Measure(Chosen::default())));
    }

    #[test]
    fn what_is_wrong_is_named() {
        assert!(read("nonsense").is_err_and(|text| text.contains("nonsense")));
        assert_eq!(read("--worker"), Err("--worker needs a value".to_owned()));
        assert!(read("--workers x").is_err_and(|text| text.contains("\"x\"")));
    }

    #[test]
    fn help_names_every_case() {
        assert_eq!(read("idle --help"), Ok(Wish::Help));
        assert!(CASES.iter().all(|case| help().contains(case.name)));
    }
}
