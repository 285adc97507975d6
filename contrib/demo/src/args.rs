// SPDX-License-Identifier: GPL-3.0-or-later
//! What may be typed after `cargo run --release -p demo --`.

use std::{ffi::OsString, path::PathBuf};

pub(crate) const HELP: &str = "\
Shows flamenco-worker on this machine: a stand-in Manager, a real worker, a job that renders
real pictures, and what each of the Worker Actions does. Takes less than a minute.

Usage: demo [--output DIR]

      --output DIR  where the pictures go [default: a new directory for temporary files]
  -h, --help        shows this help
  -V, --version     shows the version

FLAMENCO_DEMO_WORKER=PATH shows another worker instead of the one built here.
Blender and FFmpeg are used if they are on the PATH; without Blender, the demo renders by itself.
";

/// What the command line asks for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Wish {
    Show { output: Option<PathBuf> },
    Help,
    Version,
}

/// Reads the words after the program's name.
///
/// # Errors
/// What is wrong with them, as a fragment.
pub(crate) fn parse(words: impl IntoIterator<Item = OsString>) -> Result<Wish, String> {
    let mut words = words.into_iter();
    let mut output = None;
    while let Some(word) = words.next() {
        let text = word.to_string_lossy();
        match text.as_ref() {
            "-h" | "--help" => return Ok(Wish::Help),
            "-V" | "--version" => return Ok(Wish::Version),
            "--output" => output = Some(directory(words.next())?),
            _ => match text.strip_prefix("--output=") {
                Some(value) => output = Some(directory(Some(value.into()))?),
                None => return Err(format!("\"{text}\" is not an option of the demo")),
            },
        }
    }
    Ok(Wish::Show { output })
}

fn directory(word: Option<OsString>) -> Result<PathBuf, String> {
    match word {
        Some(word) if !word.is_empty() => Ok(word.into()),
        Some(_) | None => Err("--output needs a directory".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Result<Wish, String> {
        parse(line.split_whitespace().map(OsString::from))
    }

    #[test]
    fn both_spellings_of_a_directory_are_read() {
        let wanted = Wish::Show {
            output: Some("pictures".into()),
        };
        assert_eq!(read("--output pictures").as_ref(), Ok(&wanted));
        assert_eq!(read("--output=pictures").as_ref(), Ok(&wanted));
        assert_eq!(read(""), Ok(Wish::Show { output: None }));
    }

    #[test]
    fn a_missing_directory_and_an_unknown_word_are_named() {
        assert_eq!(read("--output"), Err("--output needs a directory".to_owned()));
        assert_eq!(read("--output="), Err("--output needs a directory".to_owned()));
        assert!(read("--frames 3").is_err_and(|text| text.contains("--frames")));
    }

    #[test]
    fn help_wins_over_what_stands_before_it() {
        assert_eq!(read("--output x --help"), Ok(Wish::Help));
        assert_eq!(read("-V"), Ok(Wish::Version));
    }
}
