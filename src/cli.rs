// SPDX-License-Identifier: GPL-3.0-or-later

//! The command line. This room only parses: nothing here reads a file, the environment or a clock.
//!
//! ```text
//! argv ─► Go's spelling (-manager=URL, -debug=true) rewritten to ours ─► clap ─► Arguments ─► config
//! ```
//!
//! The Go worker's scripts and units call `flamenco-worker -manager URL -restart-exit-code 47`, its manual
//! says `-restart-exit-status`. All of that works here, beside the usual two dashes. An error names a flag the way it was
//! typed.

pub(crate) mod help;

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;
use std::time::Duration;

use clap::error::{ContextKind, ContextValue};
use clap::{ArgAction, Args, Parser};
use tracing::Level;

use crate::departure::RestartCode;
use crate::manager_url::ManagerUrl;
use crate::units;

/// What `-version` says after the name, and what the Manager is shown.
pub(crate) const VERSION: &str = concat!(
    env!("CARGO_PKG_VERSION"),
    " (commit ",
    env!("FLAMENCO_WORKER_COMMIT"),
    ", ",
    env!("FLAMENCO_WORKER_DATE"),
    ", ",
    env!("FLAMENCO_WORKER_TARGET"),
    ")"
);

/// The exit code of a restart as typed. `None` is 0, which means that this worker cannot restart.
type RestartArgument = Option<RestartCode>;

/// The command line, parsed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Parser)]
#[command(
    name = "flamenco-worker",
    bin_name = "flamenco-worker",
    version = VERSION,
    about = "Takes tasks from a Flamenco Manager and runs Blender, FFmpeg and whatever else they ask for.",
    after_help = help::after_help(),
    disable_help_flag = true,
    disable_version_flag = true,
    args_override_self = true,
    disable_help_subcommand = true,
    max_term_width = 100,
    subcommand_value_name = "COMMAND",
    subcommand_help_heading = "Commands, done instead of working"
)]
pub(crate) struct Arguments {
    /// What is done instead of working.
    #[command(subcommand)]
    pub subcommand: Option<Subcommand>,

    /// URL of the Flamenco Manager: http://host:8080/, or just host:8080
    #[arg(long, value_name = "URL", value_parser = ManagerUrl::parse, help_heading = "Manager")]
    pub manager: Option<ManagerUrl>,

    /// Searches the networks for a Manager, prints its URL and ends; with 69 where there is not exactly one
    #[arg(long, help_heading = "Manager", conflicts_with = "manager")]
    pub find_manager: bool,

    /// Registers as a new worker where the Manager refuses the credentials of this one, also when it knows it; a
    /// registration that holds is kept
    #[arg(long, help_heading = "Manager")]
    pub register: bool,

    /// Lets the Manager restart this worker: it then ends with CODE (1-255), and whatever supervises it starts it again
    #[arg(
        long,
        alias = "restart-exit-status",
        value_name = "CODE",
        value_parser = restart_exit_code,
        allow_negative_numbers = true,
        help_heading = "Running"
    )]
    pub restart_exit_code: Option<RestartArgument>,

    /// Delivers what waits in the home for the Manager and ends, with 0 when nothing is left; takes no task, and signs
    /// neither on nor off
    #[arg(long, help_heading = "Running")]
    pub flush: bool,

    /// Reads this configuration file and looks for no other
    #[arg(long, value_name = "FILE", global = true, help_heading = "Running")]
    pub config: Option<PathBuf>,

    /// Logs warnings and errors only
    #[arg(long, help_heading = "Log")]
    pub quiet: bool,

    /// Logs more
    #[arg(long, help_heading = "Log")]
    pub debug: bool,

    /// Logs all there is
    #[arg(long, help_heading = "Log")]
    pub trace: bool,

    /// Shows this help
    #[arg(long, short, action = ArgAction::Help, global = true, help_heading = "Other")]
    help: Option<bool>,

    /// Shows the version, commit and target
    #[arg(long, short = 'V', action = ArgAction::Version, help_heading = "Other")]
    version: Option<bool>,
}

/// What is done instead of working.
#[derive(Debug, Clone, PartialEq, Eq, clap::Subcommand)]
pub(crate) enum Subcommand {
    /// Shows the last tasks of this node, or one of them with its log
    ///
    /// It needs no Manager and disturbs nothing. The start of an id is enough.
    History(HistoryArguments),
    /// Says what the worker of this home does: its task and frame, how long that takes, what waits, why it sleeps
    ///
    /// It ends with 0, with 3 when no worker runs, and with 1 when the worker does not answer or cannot be reached. It needs no
    /// Manager and disturbs nothing. A worker is found as by `drain`.
    Status(StatusArguments),
    /// Looks whether this node is fit to be a worker, and says what to do where it is not
    ///
    /// Run it as the worker's user, before the first start or beside a worker at work. It changes nothing, here or at the
    /// Manager; Blender and FFmpeg are run once each, for their version. It ends with 1 when something is FAIL, else with 0.
    Doctor(DoctorArguments),
    /// Shows with which configuration a worker would start, and where each value comes from
    ///
    /// In the form of a file, with secrets withheld. It ends with 78 where a worker would not start.
    CheckConfig,
    /// Has the worker of this home take the new configuration, and the program that is installed now; a render goes on
    ///
    /// As SIGHUP does where there is no terminal. The process stays the same. It ends with 0 when that is done, or agreed for when
    /// work on files, or a frame in a Blender that is kept, is over; with 1 or 78, and why, when the worker goes on as it was. What
    /// the Manager is to hear (name, task types, another Manager) it hears when no task runs; another home is refused.
    Reload,
    /// Has the worker of this home take no task, and the one that runs stand still, until `resume`
    ///
    /// For whoever works at this machine, and their scripts. The programs of the task stop at once, wherever they are, and go on
    /// there later; `policy` of `[presence]` has it given back to the Manager instead, or finished. It holds over a restart.
    Pause(PauseArguments),
    /// Has it go on
    ///
    /// It takes back `pause`. Somebody who is seen at this machine (`[presence]`) keeps the worker from its tasks all the same.
    Resume,
    /// Tells the worker of this home to finish its task and then leave
    ///
    /// As SIGQUIT does. A worker that runs is found by its home; where none is named, the one that can be seen is meant.
    Drain,
    /// Tells it to take no new task until it is woken
    ///
    /// As SIGUSR1 does. A running task is finished.
    Sleep,
    /// Tells it to take tasks again
    ///
    /// As SIGUSR2 does.
    Wake,
    /// Tells it to end its task, give it back and leave
    ///
    /// As SIGTERM does. Under a supervisor that restarts it, stop it there.
    Stop,
}

/// What of the history is to be shown.
#[derive(Debug, Clone, Default, PartialEq, Eq, Args)]
pub(crate) struct HistoryArguments {
    /// Id of a task, or the start of one: shows how it ended, and its log
    #[arg(value_name = "TASK")]
    pub task: Option<String>,

    /// One JSON object for each task instead of a table, without the log
    #[arg(long)]
    pub json: bool,
}

/// For how long.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Args)]
pub(crate) struct PauseArguments {
    /// Ends by itself after this time, such as 90m or 2h
    #[arg(long = "for", value_name = "TIME", value_parser = units::duration)]
    pub length: Option<Duration>,
}

/// How the status is to be told.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Args)]
pub(crate) struct StatusArguments {
    /// One JSON object instead of a line
    ///
    /// Its names stay. `state` is starting, awake, asleep or leaving; stuck, unknown or not running where no worker has answered.
    /// `activity` is idle, running or ending, or null where that is not known. `task` has id, name, job, since, paused_since,
    /// unit (frame or step), done, of, mean_seconds, expected_end, is_last, sleeps_after and ending, or is null. `paused` has reason
    /// (somebody-here or asked), since and until, or is null. The others: why, processes_left, warm_blender, updates_waiting,
    /// trouble, last_contact, last_task_ended, name, pid, version, home, manager, started, time. Each is always there: what only a
    /// worker knows is null where none has answered, and of its task there are id, name and job.
    #[arg(long)]
    pub json: bool,

    /// Goes on: shows each change until it is interrupted, whether a worker runs or not
    #[arg(long)]
    pub watch: bool,
}

/// How the doctor is to answer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Args)]
pub(crate) struct DoctorArguments {
    /// One JSON object instead of lines
    #[arg(long)]
    pub json: bool,
}

impl Arguments {
    /// Reads a command line, the program's name first.
    ///
    /// # Errors
    /// What `clap` has to say, which includes the text of `-help` and `-version`: the caller prints it and
    /// leaves with its `exit_code()` (0 for those two, 2 for a wrong command line).
    pub(crate) fn parse(words: impl IntoIterator<Item = OsString>) -> Result<Self, clap::Error> {
        let (ours, single_dashed) = from_go_spelling(words);
        Self::try_parse_from(ours).map_err(|error| as_typed(error, &single_dashed))
    }

    /// The level that was asked for, if one was. The most talkative of several wins, as in the Go worker.
    pub(crate) fn log_level(&self) -> Option<Level> {
        match self {
            Self { trace: true, .. } => Some(Level::TRACE),
            Self { debug: true, .. } => Some(Level::DEBUG),
            Self { quiet: true, .. } => Some(Level::WARN),
            _ => None,
        }
    }
}

/// Flags without a value. In Go they may have one all the same: `-debug=false`.
const SWITCHES: [&str; 10] = [
    "find-manager",
    "register",
    "flush",
    "quiet",
    "debug",
    "trace",
    "help",
    "version",
    "json",
    "watch",
];

/// Adds the second dash where Go needs only one, resolves `-switch=true`, and drops `-manager ""`, which means to the Go
/// worker that no Manager was given. Also returns the flags that came with a single dash.
fn from_go_spelling(words: impl IntoIterator<Item = OsString>) -> (Vec<OsString>, Vec<String>) {
    let mut words = words.into_iter().peekable();
    let mut ours: Vec<OsString> = words.next().into_iter().collect();
    let mut single_dashed = Vec::new();
    while let Some(word) = words.next() {
        if word == "--" {
            ours.push(word);
            ours.extend(words);
            break;
        }
        let Some((flag, single)) = long_flag(&word) else {
            ours.push(word);
            continue;
        };
        let (name, value) = match flag.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (flag, None),
        };
        if single {
            single_dashed.push(name.to_owned());
        }
        match (name, value) {
            (switch, Some(value)) if SWITCHES.contains(&switch) => match go_bool(value) {
                Some(true) => ours.push(format!("--{switch}").into()),
                Some(false) => {}
                None => ours.push(format!("--{flag}").into()),
            },
            ("manager", Some("")) => {}
            ("manager", None) if words.peek().is_some_and(|next| next.is_empty()) => {
                words.next();
            }
            _ => ours.push(format!("--{flag}").into()),
        }
    }
    (ours, single_dashed)
}

/// `-name` or `--name` without its dashes, and whether there was only one. `None` for `-h`, `-V` and `-`.
fn long_flag(word: &OsStr) -> Option<(&str, bool)> {
    let text = word.to_str()?;
    if let Some(name) = text.strip_prefix("--") {
        return Some((name, false));
    }
    text.strip_prefix('-')
        .filter(|name| name.len() > 1)
        .map(|name| (name, true))
}

/// The words that Go's `strconv.ParseBool` takes.
fn go_bool(word: &str) -> Option<bool> {
    match word {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

/// Names the flag in an error as it was typed, and writes a suggestion in the same way.
fn as_typed(mut error: clap::Error, single_dashed: &[String]) -> clap::Error {
    let shorten = |flag: &str| flag.strip_prefix('-').unwrap_or(flag).to_owned();
    let Some(ContextValue::String(flag)) = error.get(ContextKind::InvalidArg).cloned() else {
        return error;
    };
    // clap writes a flag that takes a value as "--restart-exit-code <CODE>"; its alias may have been typed.
    let name = flag
        .trim_start_matches('-')
        .split([' ', '='])
        .next()
        .unwrap_or_default();
    let alias = |typed: &String| typed == "restart-exit-status" && name == "restart-exit-code";
    if !single_dashed.iter().any(|typed| typed == name || alias(typed)) {
        return error;
    }
    error.insert(ContextKind::InvalidArg, ContextValue::String(shorten(&flag)));
    if let Some(ContextValue::String(suggested)) = error.get(ContextKind::SuggestedArg).cloned() {
        error.insert(ContextKind::SuggestedArg, ContextValue::String(shorten(&suggested)));
    }
    error
}

fn restart_exit_code(text: &str) -> Result<RestartArgument, String> {
    // Go reads 047 as octal, a person does not: neither reading is safe.
    if text.len() > 1 && text.starts_with('0') {
        return Err("write it without the leading zero".into());
    }
    let number: i64 = text
        .parse()
        .map_err(|_| "it must be a number between 1 and 255".to_owned())?;
    RestartCode::parse(number).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests;
