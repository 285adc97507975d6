// SPDX-License-Identifier: GPL-3.0-or-later
//! What may be typed after `cargo run --release -p demo --`.
//!
//! ```text
//! words ─► clap ─► Typed (each option by itself) ─► Wish (what they ask for together)
//! ```

use std::{ffi::OsString, path::PathBuf};

use clap::{
    ArgAction, CommandFactory, Parser,
    builder::{NonEmptyStringValueParser, TypedValueParser},
    error::ErrorKind,
    value_parser,
};
use reqwest::Url;

use crate::samples::SampleName;

/// More on one machine say nothing new, and ask a farm's Manager more than a guest should.
const MOST_WORKERS: i64 = 64;

const ABOUT: &str = "\
Shows flamenco-worker on this machine: a stand-in Manager with its web page, real workers, jobs that
render real pictures, and what each of the Worker Actions does.

Without an option: a guided walk with one worker, in less than a minute.";

const EXAMPLES: &str = "\
Examples:
  demo                                  the guided walk
  demo --stay --workers 3 --jobs long   three workers to steer, with work for minutes
  demo --jobs failing,stubborn,escape   programs that misbehave, and what becomes of each
  demo --manager http://farm:8080/      as a guest on a real farm

Blender and FFmpeg are used if they are on the PATH; without Blender, the demo renders by itself.
FLAMENCO_DEMO_WORKER=PATH shows another worker instead of the one built here.

Ctrl+C ends everything: the workers stop their programs and sign off. The second one skips the
programs' grace, the third kills.

Exit codes:
  0      done, or stayed until told to go
  1      failed
  2      wrong command line
  128+N  signal N came before the end";

/// What the command line asks for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Wish {
    pub(crate) mode: Mode,
    /// From 1 to [`MOST_WORKERS`].
    pub(crate) workers: usize,
    pub(crate) output: Option<PathBuf>,
}

/// Whose Manager.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    Local(Play),
    /// Until told to go, on somebody's farm.
    Guest(Url),
}

/// What kind of demonstration, with the stand-in as the Manager.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Play {
    /// One worker, through all the Worker Actions, to the end.
    Walk,
    /// These samples, one after another, to the end.
    Jobs(Vec<SampleName>),
    /// Until told to go, with these samples to begin with.
    Stay(Vec<SampleName>),
}

#[derive(Debug, Parser)]
#[command(
    name = "demo",
    bin_name = "demo",
    version,
    about = ABOUT,
    after_help = EXAMPLES,
    disable_help_flag = true,
    disable_version_flag = true,
    max_term_width = 100
)]
struct Typed {
    /// Keeps the farm running until Ctrl+C, to be watched and steered from its page
    #[arg(long)]
    stay: bool,

    /// Runs sample jobs: with --stay to begin with, else one after another to the end
    #[arg(long, value_name = "NAME", value_enum, value_delimiter = ',', action = ArgAction::Append)]
    jobs: Vec<SampleName>,

    /// Starts N workers, each with a name and a home of its own [default: 1]
    #[arg(long, value_name = "N", value_parser = value_parser!(u8).range(1..=MOST_WORKERS))]
    workers: Option<u8>,

    /// Joins a real farm until Ctrl+C, and leaves no trace in its list of workers
    ///
    /// The workers have temporary homes and take whatever tasks that farm has: they run on this machine, as you. At the end
    /// they sign off, and their rows are deleted from the Manager. No jobs are submitted.
    #[arg(long, value_name = "URL", value_parser = manager_url)]
    manager: Option<Url>,

    /// Puts the pictures and the workers' logs there [default: a new directory for temporary files]
    #[arg(long, value_name = "DIR", value_parser = NonEmptyStringValueParser::new().map(PathBuf::from))]
    output: Option<PathBuf>,

    /// Shows this help
    #[arg(long, short, action = ArgAction::Help)]
    help: Option<bool>,

    /// Shows the version
    #[arg(long, short = 'V', action = ArgAction::Version)]
    version: Option<bool>,
}

/// Reads the words after the program's name.
///
/// # Errors
/// What clap has to say, which includes the texts of `--help` and `--version`.
pub(crate) fn parse(words: impl IntoIterator<Item = OsString>) -> Result<Wish, clap::Error> {
    let words = std::iter::once(OsString::from("demo")).chain(words);
    let Typed {
        stay,
        jobs,
        workers,
        manager,
        output,
        ..
    } = Typed::try_parse_from(words)?;
    let conflict = |text: &str| Err(Typed::command().error(ErrorKind::ArgumentConflict, text));
    let mode = match (manager, stay, jobs.is_empty()) {
        (Some(_), _, false) => {
            return conflict(
                "--jobs cannot be used with --manager: a real Manager takes jobs of its own job types only. \
                 Submit one there, from Blender or in the shape of its \"echo-sleep-test\"",
            );
        }
        (Some(url), _, true) => Mode::Guest(url),
        (None, true, _) => Mode::Local(Play::Stay(jobs)),
        (None, false, false) => Mode::Local(Play::Jobs(jobs)),
        (None, false, true) if workers.is_some() => {
            return conflict("--workers needs --stay, --jobs or --manager: the guided walk follows one worker");
        }
        (None, false, true) => Mode::Local(Play::Walk),
    };
    Ok(Wish {
        mode,
        workers: workers.unwrap_or(1).into(),
        output,
    })
}

/// As the worker reads it: plain HTTP unless it says otherwise.
fn manager_url(text: &str) -> Result<Url, String> {
    let whole = if text.contains("://") {
        text.to_owned()
    } else {
        format!("http://{text}")
    };
    let url = Url::parse(&whole).map_err(|error| error.to_string())?;
    match url.scheme() {
        "http" | "https" => Ok(url),
        other => Err(format!("a Manager speaks http or https, not {other}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Result<Wish, String> {
        parse(line.split_whitespace().map(OsString::from)).map_err(|error| error.to_string())
    }

    fn mode(line: &str) -> Mode {
        read(line).unwrap().mode
    }

    #[test]
    fn nothing_typed_is_the_guided_walk_with_one_worker() {
        let walk = Wish {
            mode: Mode::Local(Play::Walk),
            workers: 1,
            output: None,
        };
        assert_eq!(read(""), Ok(walk));
    }

    #[test]
    fn both_spellings_of_a_directory_are_read_and_none_is_named() {
        for line in ["--output pictures", "--output=pictures"] {
            assert_eq!(read(line).unwrap().output, Some("pictures".into()));
        }
        for line in ["--output", "--output="] {
            assert!(read(line).is_err_and(|text| text.contains("--output <DIR>")), "{line}");
        }
    }

    #[test]
    fn samples_are_named_with_commas_and_again_and_keep_their_order() {
        let named = vec![SampleName::Failing, SampleName::Escape, SampleName::Render];
        let line = "--jobs failing,escape --jobs=render";
        assert_eq!(mode(line), Mode::Local(Play::Jobs(named)));
        assert_eq!(
            mode("--stay --jobs long"),
            Mode::Local(Play::Stay(vec![SampleName::Long]))
        );
        assert_eq!(mode("--stay"), Mode::Local(Play::Stay(Vec::new())));
        let unknown = read("--jobs renders").unwrap_err();
        assert!(unknown.contains("stubborn") && unknown.contains("similar"), "{unknown}");
    }

    #[test]
    fn a_farm_is_named_as_the_worker_names_it_and_staying_there_goes_without_saying() {
        for line in ["--manager farm:8080", "--stay --manager http://farm:8080/"] {
            assert!(matches!(mode(line), Mode::Guest(url) if url.as_str() == "http://farm:8080/"));
        }
        assert!(read("--manager ftp://farm/").is_err_and(|text| text.contains("ftp")));
        let jobs = read("--manager farm --jobs render").unwrap_err();
        assert!(jobs.contains("echo-sleep-test"), "{jobs}");
    }

    #[test]
    fn workers_are_counted_from_one_to_a_farm_s_worth_and_the_walk_has_one() {
        assert_eq!(read("--stay --workers 64").unwrap().workers, 64);
        for wrong in ["--stay --workers 0", "--stay --workers 65", "--stay --workers two"] {
            assert!(read(wrong).is_err_and(|text| text.contains("--workers <N>")), "{wrong}");
        }
        assert!(read("--workers 2").is_err_and(|text| text.contains("--stay, --jobs or --manager")));
    }

    #[test]
    fn an_unknown_word_is_named_and_help_wins_over_what_stands_before_it() {
        assert!(read("--frames 3").is_err_and(|text| text.contains("--frames")));
        assert!(read("--output x --help").is_err_and(|text| text.contains("Examples:")));
        assert!(read("-V").is_err_and(|text| text.starts_with("demo ")));
    }
}
