// SPDX-License-Identifier: GPL-3.0-or-later

//! Blender and FFmpeg: found where a task would find them, and run once, in the same way as a task's programs: in the
//! sandbox, where there is one, and with nothing of who asks.
//!
//! The Manager's variables are not known here. So Blender is looked for where the last tasks had it (as the worker's own user
//! only), and on the PATH that the worker has; FFmpeg beside the worker's program, and on that PATH.

use std::env;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process;
use std::time::Duration;

use futures_util::future::join_all;
use nix::unistd::geteuid;
use tokio::time::sleep;

use super::CheckContext;
use super::finding::{Finding, run_check};
use crate::blocking::run_blocking_within;
use crate::chain::chain;
use crate::command::{ffmpeg_beside, find_program, is_program};
use crate::home::spool_of;
use crate::own_program::OURSELVES;
use crate::process::{Captured, Exit, Launcher, LauncherOptions, ProcessSpec};
use crate::sandbox::{Confinement, NotAdmitted, Sandbox};
use crate::setup::{sandbox, tools_folder};
use crate::spool;

/// How long an answer to `--version` may take. A Blender on a slow share needs some seconds the first time.
const ANSWER_LIMIT: Duration = Duration::from_secs(6);

/// How many of the Blenders that the last tasks ran are tried.
const BLENDERS: usize = 3;

/// Where there is a sandbox, a program is told no more than this: the rest of what doctor was started with is not for tasks.
const TOLD: [&str; 4] = ["PATH", "HOME", "LANG", "LD_LIBRARY_PATH"];

/// The oldest Blender that the Manager's own job types are made for.
const OLDEST_BLENDER: u32 = 3;

pub(super) async fn check(context: &CheckContext) -> Vec<Finding> {
    let options = LauncherOptions {
        guard: OURSELVES.into(),
        // No worker's: one that starts meanwhile ends what bears its own mark.
        mark: format!("doctor-{}", process::id()),
        oom_score_adj: None,
        nice: None,
        memory: None,
        timings: context.config.timings.clone(),
    };
    let (launcher, reaper) = match Launcher::without_groups(options) {
        Ok(made) => made,
        Err(error) => return vec![cannot_run(&error)],
    };
    let path = context.subject.variable_or_own("PATH");
    let home = context.home.as_deref();
    let asker = Asker {
        sandbox: home.and_then(|home| sandbox(&context.config, &context.environment, home)),
        launcher,
    };
    let checks = async {
        let (blenders, ffmpeg) = tokio::join!(blenders(&asker, home, path.clone()), ffmpeg(&asker, path.clone()));
        blenders.into_iter().chain([ffmpeg]).collect()
    };
    tokio::select! {
        found = checks => found,
        never = reaper.run() => match never {},
    }
}

fn cannot_run(error: &io::Error) -> Finding {
    Finding::fail(
        "blender",
        format!("nothing can be run here: {error}"),
        "look at the kernel's log",
    )
}

async fn blenders(asker: &Asker, home: Option<&Path>, path: Option<OsString>) -> Vec<Finding> {
    const NAME: &str = "blender";
    // What tasks have named is run as the user who ran it for them, never as root.
    let spool = home.filter(|home| is_own(home)).map(spool_of);
    let places = run_check(NAME, "a place of Blender", move || {
        let recent = spool.as_deref().map(recent_blenders).unwrap_or_default();
        let found = recent
            .into_iter()
            .filter(|program| program.is_absolute())
            .collect::<Vec<_>>();
        match found.is_empty() {
            false => found,
            true => find_program(path.as_deref(), "blender").into_iter().collect(),
        }
    });
    let places = match places.await {
        Ok(places) => places,
        Err(hangs) => return vec![hangs],
    };
    if places.is_empty() {
        return vec![Finding::warn(
            NAME,
            "there is no blender on the worker's PATH, and no task has run one yet",
            "that is well if the Manager's variable `blender` has a full path for Linux, and that path is on this node",
        )];
    }
    let asked = places
        .iter()
        .map(async |place| blender(place, &asker.version(place, "--version").await));
    join_all(asked).await
}

fn is_own(home: &Path) -> bool {
    fs::metadata(home).is_ok_and(|home| home.uid() == geteuid().as_raw())
}

/// The Blenders of the last tasks, the latest first, each once.
fn recent_blenders(spool: &Path) -> Vec<PathBuf> {
    let mut programs: Vec<PathBuf> = Vec::new();
    for task in spool::list(spool).unwrap_or_default().tasks.iter().rev() {
        for program in task.end.iter().flat_map(|end| &end.programs) {
            let path = PathBuf::from(&program.program);
            let is_blender = path
                .file_name()
                .and_then(OsStr::to_str)
                .is_some_and(|name| name.starts_with("blender"));
            if is_blender && !programs.contains(&path) && programs.len() < BLENDERS {
                programs.push(path);
            }
        }
    }
    programs
}

fn blender(place: &Path, said: &Result<Vec<String>, NoVersion>) -> Finding {
    const NAME: &str = "blender";
    let place = place.display();
    let lines = match said {
        Ok(lines) => lines,
        Err(why @ NoVersion::NotForTasks(_)) => {
            let advice =
                "add it to `programs`, or see that the Manager's variable `blender` leads to one that is in it";
            return Finding::warn(NAME, why.to_string(), advice);
        }
        Err(why @ NoVersion::Unusable(_)) => {
            return Finding::fail(
                NAME,
                format!("{place} cannot be used: {why}"),
                libraries(&place.to_string()),
            );
        }
    };
    let Some(version) = lines.iter().find_map(|line| line.strip_prefix("Blender ")) else {
        return Finding::fail(
            NAME,
            format!("{place} does not say that it is a Blender"),
            "is it a script around it? Then let that pass on its arguments",
        );
    };
    let seen = format!("{place} is Blender {version}");
    let major = version.split('.').next().and_then(|number| number.parse::<u32>().ok());
    if major.is_some_and(|major| major < OLDEST_BLENDER) {
        let advice = format!("install Blender {OLDEST_BLENDER}.0 or newer: the Manager's job types need it");
        return Finding::warn(NAME, seen, advice);
    }
    Finding::ok(NAME, seen)
}

async fn ffmpeg(asker: &Asker, path: Option<OsString>) -> Finding {
    const NAME: &str = "ffmpeg";
    let folder = tools_folder();
    let shown = folder.display().to_string();
    let places = run_check(NAME, &shown, move || {
        let beside = ffmpeg_beside(&folder).into_iter().filter(|path| is_program(path));
        beside
            .chain(find_program(path.as_deref(), "ffmpeg"))
            .collect::<Vec<_>>()
    });
    let places = match places.await {
        Ok(places) => places,
        Err(hangs) => return hangs,
    };
    let (mut complaints, mut is_broken) = (Vec::new(), false);
    for place in places {
        match asker.version(&place, "-version").await {
            Ok(lines) => match lines.iter().find_map(|line| line.strip_prefix("ffmpeg version ")) {
                Some(version) => return usable(&place, version, &complaints),
                None => complaints.push(format!("{} does not say that it is an FFmpeg", place.display())),
            },
            Err(why @ NoVersion::NotForTasks(_)) => {
                complaints.push(why.to_string());
                continue;
            }
            Err(why @ NoVersion::Unusable(_)) => complaints.push(format!("{} cannot be used: {why}", place.display())),
        }
        is_broken = true;
    }
    if !is_broken && !complaints.is_empty() {
        let advice = "add it to `programs`, if tasks are to make videos from frames here";
        return Finding::warn(NAME, complaints.join("; "), advice);
    }
    no_ffmpeg(&shown, &complaints)
}

fn usable(place: &Path, version: &str, complaints: &[String]) -> Finding {
    let version = version.split(' ').next().unwrap_or(version);
    let seen = format!("{} is FFmpeg {version}", place.display());
    match complaints {
        [] => Finding::ok("ffmpeg", seen),
        others => Finding::warn(
            "ffmpeg",
            format!("{seen}, but {}", others.join("; ")),
            "repair it, or take it away",
        ),
    }
}

fn no_ffmpeg(folder: &str, complaints: &[String]) -> Finding {
    const ADVICE: &str = "install the package ffmpeg: tasks that make a video from frames fail here";
    match complaints {
        [] => Finding::fail(
            "ffmpeg",
            format!("there is no ffmpeg in {folder}, and none on the worker's PATH"),
            ADVICE,
        ),
        all => Finding::fail("ffmpeg", all.join("; "), ADVICE),
    }
}

fn libraries(program: &str) -> String {
    format!("run it as the worker's user; `ldd {program} | grep 'not found'` names libraries that are missing")
}

/// Asks programs which ones they are.
struct Asker {
    launcher: Launcher,
    /// What tasks may do, where that is restricted. What is asked may be a task's own script.
    sandbox: Option<Sandbox>,
}

/// Why a program has not said which one it is.
#[derive(Debug, thiserror::Error)]
enum NoVersion {
    /// The rule that tasks may not start it.
    #[error("{0}")]
    NotForTasks(NotAdmitted),
    /// Why it cannot be used, in words.
    #[error("{0}")]
    Unusable(String),
}

impl Asker {
    /// The first lines of its answer.
    ///
    /// # Errors
    /// Tasks may not start it, or it cannot be used.
    async fn version(&self, program: &Path, ask: &str) -> Result<Vec<String>, NoVersion> {
        let confinement = self.confinement(program).await?;
        let not_told = env::vars_os().map(|(name, _)| name).filter(|name| {
            let is_told = TOLD.iter().any(|told| name == told);
            confinement.is_some() && !is_told
        });
        let spec = ProcessSpec {
            args: vec![ask.into()],
            env: not_told.map(|name| (name, None)).collect(),
            confinement,
            label: "doctor".to_owned(),
            ..ProcessSpec::new(program)
        };
        let captured = self.launcher.run_within(&spec, sleep(ANSWER_LIMIT)).await;
        answer(captured.map_err(|error| NoVersion::Unusable(error.to_string()))?, ask).map_err(NoVersion::Unusable)
    }

    async fn confinement(&self, program: &Path) -> Result<Option<Confinement>, NoVersion> {
        let Some(sandbox) = self.sandbox.clone() else {
            return Ok(None);
        };
        let wanted = program.to_owned();
        match run_blocking_within(sleep(ANSWER_LIMIT), move || sandbox.admit_to_ask(&wanted)).await {
            Some(Ok(confinement)) => Ok(Some(confinement)),
            Some(Err(not_allowed @ NotAdmitted::NotAllowed { .. })) => Err(NoVersion::NotForTasks(not_allowed)),
            Some(Err(error @ NotAdmitted::NoRuleset(_))) => Err(NoVersion::Unusable(chain(&error))),
            None => Err(NoVersion::Unusable("what [sandbox] names does not answer".to_owned())),
        }
    }
}

fn answer(captured: Captured, ask: &str) -> Result<Vec<String>, String> {
    let Captured { exit, lines } = captured;
    let said = lines.first().map(|line| format!(": {line}")).unwrap_or_default();
    match exit {
        Exit::Success => Ok(lines),
        Exit::Code(code) => Err(format!("it ended with code {code}{said}")),
        Exit::Signal { signal, .. } => Err(format!("it was killed by signal {signal}{said}")),
        Exit::Aborted(_) => Err(format!("no answer to {ask} within {} s", ANSWER_LIMIT.as_secs())),
        Exit::Lost => Err("its guard was lost".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::finding::Severity;
    use super::*;

    #[test]
    fn a_blender_is_judged_by_what_it_says() {
        let severity =
            |line: &str| blender(Path::new("/b/blender"), &Ok(vec!["a warning".into(), line.into()])).severity;
        assert_eq!(severity("Blender 4.2.0 LTS"), Severity::Ok);
        assert_eq!(severity("Blender 3.0.0"), Severity::Ok);
        assert_eq!(severity("Blender 2.93.18"), Severity::Warn);
        assert_eq!(severity("hello"), Severity::Fail);
        let broken = blender(
            Path::new("/b/blender"),
            &Err(NoVersion::Unusable("it ended with code 127".into())),
        );
        assert_eq!(broken.severity, Severity::Fail);
        assert!(broken.advice.unwrap().contains("ldd /b/blender"));
    }

    #[test]
    fn an_ffmpeg_that_is_passed_over_is_told() {
        let found = |complaints: &[String]| usable(Path::new("/f"), "6.1-3 Copyright (c)", complaints);
        assert_eq!(
            (found(&[]).severity, found(&[]).seen.as_str()),
            (Severity::Ok, "/f is FFmpeg 6.1-3")
        );
        let complaints = ["/t/ffmpeg cannot be used: it was killed".to_owned()];
        assert_eq!(found(&complaints).severity, Severity::Warn);
        assert_eq!(no_ffmpeg("/t", &[]).severity, Severity::Fail);
        assert_eq!(no_ffmpeg("/t", &complaints).seen, complaints[0]);
    }
}
