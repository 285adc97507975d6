// SPDX-License-Identifier: GPL-3.0-or-later

//! The program that this process becomes in a reload, and that program's own side of it.
//!
//! It is asked before anything happens: one that does not start, hangs, or does not like its configuration is not to be
//! found out when there is no way back.

use std::env;
use std::ffi::OsString;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use nix::sys::signal::Signal;
use tokio::time::{sleep, timeout};

use super::handed::Handed;
use super::process::Process;
use crate::chain::chain;
use crate::cli::{Arguments, VERSION};
use crate::config::{Config, Environment};
use crate::departure::USAGE_ERROR;
use crate::handover::{self, FOUND_CONFIGURATION, OLDEST_READER, can_read, exec_with};
use crate::home::{self, Home};
use crate::printable;
use crate::process::{Exit, Launcher, ProcessSpec, StartError};
use crate::setup::connection_options;

/// The first argument of a program that is asked whether it can take over.
pub(crate) const SUCCESSOR_ROLE: &str = "__flamenco-successor";

/// How long it may take to answer: its configuration may be on a file server.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long a disk may keep a thread, and the pause between two looks.
const DISK: Duration = Duration::from_secs(3);
const LOOK: Duration = Duration::from_millis(10);

/// Asks the program at our path whether it can take over.
///
/// # Errors
/// Why it cannot, in words.
pub(super) async fn ask(process: &Process<'_>, home: &Home, launcher: &Launcher) -> Result<(), String> {
    if timeout(DISK, disks_answer()).await.is_err() {
        return Err(
            "a file system does not answer, and a thread of this worker waits for it: try again when it does"
                .to_owned(),
        );
    }
    let program = &process.program;
    let mut args: Vec<OsString> = vec![
        SUCCESSOR_ROLE.into(),
        handover::VERSION.to_string().into(),
        OLDEST_READER.to_string().into(),
        home.dir().into(),
    ];
    args.extend(env::args_os().skip(1));
    let spec = ProcessSpec {
        args,
        label: "successor".to_owned(),
        // What a service manager tells us alone, it will tell it as well.
        env: [
            ("CREDENTIALS_DIRECTORY".into(), env::var_os("CREDENTIALS_DIRECTORY")),
            (
                FOUND_CONFIGURATION.into(),
                process.found_configuration().map(Into::into),
            ),
        ]
        .into(),
        ..ProcessSpec::new(program)
    };
    let answer = launcher.run_within(&spec, sleep(PATIENCE)).await;
    let program = program.display();
    let captured = answer.map_err(|error| match error {
        StartError::Exec(errno) => format!("{program} cannot be run: {}", errno.desc()),
        other @ (StartError::NotOnPath | StartError::Nul(_) | StartError::Guard(_) | StartError::Aborted(_)) => {
            format!("{program} cannot be run: {}", chain(&other))
        }
    })?;
    let words = captured.lines.join("\n");
    match captured.exit {
        // Any program may end with 0.
        Exit::Success if words.ends_with(AGREED) => Ok(()),
        Exit::Success => Err(format!("{program} is no worker that can take over: {words}")),
        // It does not know the role.
        Exit::Code(code) if code == i32::from(USAGE_ERROR) => Err(format!(
            "{program} is older than reloads are, and cannot take over: stop this worker and start that one"
        )),
        Exit::Code(code) if words.trim().is_empty() => {
            Err(format!("{program} ended with code {code} and no word: is it a worker?"))
        }
        Exit::Code(_) => Err(words),
        Exit::Signal { signal, .. } => Err(format!(
            "{program} was killed by {} as soon as it was started",
            Signal::try_from(signal).map_or_else(|_| signal.to_string(), |known| known.to_string())
        )),
        Exit::Aborted(_) => Err(format!("{program} has not answered within {} s", PATIENCE.as_secs())),
        Exit::Lost => Err(format!("{program} ended without a word")),
    }
}

/// Waits until no thread waits for one: an exec would wait for it as well.
pub(super) async fn disks_answer() {
    while handover::waits_for_a_disk() {
        sleep(LOOK).await;
    }
}

/// The end of a yes.
const AGREED: &str = "can take over";

/// Becomes the program at its path. Returns only where that failed, with why, in words.
pub(super) fn become_it(process: &Process<'_>, handed: &Handed) -> String {
    let program = &process.program;
    match exec_with(program, handed, &handed.descriptors(), process.found_configuration()) {
        Ok(never) => match never {},
        Err(error) => format!("{}: {}", program.display(), chain(&error)),
    }
}

/// The program's own side: `words` follow [`SUCCESSOR_ROLE`]. Says on stderr why it cannot take over.
pub(crate) fn answer(words: impl IntoIterator<Item = OsString>) -> ExitCode {
    let (line, code) = match can_take_over(words) {
        Ok(()) => (format!("flamenco-worker {VERSION} {AGREED}"), ExitCode::SUCCESS),
        Err(why) => (why, ExitCode::FAILURE),
    };
    // Who does not listen does not want to know.
    writeln!(std::io::stderr(), "{}", printable::escape_text(&line)).ok();
    code
}

fn can_take_over(words: impl IntoIterator<Item = OsString>) -> Result<(), String> {
    let mut words = words.into_iter();
    let number = |word: Option<OsString>| word.and_then(|word| word.to_str()?.parse().ok()).unwrap_or(u32::MAX);
    let (version, oldest_reader) = (number(words.next()), number(words.next()));
    if !can_read(version, oldest_reader) {
        return Err(format!(
            "flamenco-worker {VERSION} cannot take over from a newer one (its state is of version {version}): stop that worker \
             and start this one"
        ));
    }
    let running_home = words.next().map(PathBuf::from).unwrap_or_default();
    let name = OsString::from("flamenco-worker");
    let arguments = Arguments::parse([name].into_iter().chain(words)).map_err(|error| error.to_string())?;
    let environment = Environment::capture();
    let (config, _) = Config::load(&arguments, &environment).map_err(|error| error.to_string())?;
    let home = home::locate(&config, &environment).map_err(|error| chain(&error))?;
    if home != running_home {
        return Err(format!(
            "the home would be {} and no longer {}, which is that of another worker: stop this one and start that one",
            home.display(),
            running_home.display()
        ));
    }
    if let Some(url) = &config.manager {
        connection_options(url, Some(url), &config).map_err(|error| chain(&error))?;
    }
    Ok(())
}
