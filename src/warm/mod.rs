// SPDX-License-Identifier: GPL-3.0-or-later

//! A Blender that is kept between the tasks of a job, so that it starts and reads its file once and not for each frame.
//! It is what a larger chunk size of the job would be, put together at run time.
//!
//! ```text
//! blender-render ─► Eligible? ─► WarmBlender ── take ──► Keeper (beside everything else)
//!                                   │ load, render            has it while no task does
//!                                   └─► KeptBlender ── guard, Blender with driver.py: frames over a socket
//! ```
//!
//! Blender reads the whole command line itself; only the frames at its end are replaced by a script that takes frames over
//! a socket. What goes wrong with that is never a task's fault: the caller renders it without this room.

mod driver;
mod eligible;
mod keeper;
mod kept_blender;
mod key;
mod output;
mod status;
mod unusable;

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use tokio::time::sleep;
use tracing::{debug, info};

use self::driver::{Ready, Request, install};
use self::keeper::KeeperLink;
use self::kept_blender::{KeptBlender, TMPDIR};
use self::key::{FileId, Key};
use self::status::StatusBoard;
use self::unusable::{Unusable, failed};
use crate::abort::{Abort, AbortReason};
use crate::blocking::run_blocking_within;
use crate::process::{Finished, Launcher, OpenFile, OutputLine, ProcessSpec};
use crate::scratch::ScratchDirs;

pub(crate) use self::eligible::Eligible;
pub(crate) use self::keeper::Keeper;
pub(crate) use self::status::WarmStatus;

/// How long the files of a command may take to be looked at. Then it is rendered without this room.
const LOOK: Duration = Duration::from_secs(5);
/// So often in a job a Blender that is kept may fail.
const STRIKES: u32 = 2;
/// Of so many jobs it is remembered that they are for a Blender of their own.
const JOBS: usize = 100;
/// With more of this, in percent, memory is short; on a machine that has enough it is 0.
const PRESSURE: f64 = 10.0;
/// From this version on Blender says nothing of a render that a script has started, unless asked to.
const QUIET_SINCE: u32 = 5;

/// How long one is kept, and for how much.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct WarmLimits {
    /// Without work.
    pub idle: Duration,
    /// Tasks.
    pub tasks: u32,
    /// Resident bytes.
    pub memory: u64,
}

/// Renders in a Blender that is kept. Clones are the same.
#[derive(Debug, Clone)]
pub(crate) struct WarmBlender(Rc<Shared>);

#[derive(Debug)]
struct Shared {
    limits: WarmLimits,
    keeper: KeeperLink,
    board: StatusBoard,
    /// Where the script is put.
    folder: PathBuf,
    launcher: Launcher,
    scratch: ScratchDirs,
    /// How often it has failed in a job.
    strikes: RefCell<HashMap<String, u32>>,
    /// Programs that have to be asked to say something.
    quiet: RefCell<HashSet<FileId>>,
}

/// What is to be rendered.
#[derive(Debug)]
pub(crate) struct WarmTask {
    key: Key,
    request: Request,
    /// Blender's command line without the frames.
    spec: ProcessSpec,
}

/// What became of it.
#[derive(Debug)]
pub(crate) enum WarmEnd {
    /// It is rendered; what that took, and the how many-th task of this Blender it was.
    Rendered(Box<Finished>, u32),
    /// It was stopped, or it cannot be known that nothing of the Blender is left: to be concluded like any program.
    Ended(Box<Finished>),
    /// It was stopped before anything ran.
    NotBegun(AbortReason),
    /// It is not for a Blender that is kept; only its file was loaded.
    Refused,
    /// It is to be rendered as if this room were not there.
    Cold {
        /// Why, as a sentence.
        why: String,
        /// How the Blender ended that died over it.
        died: Option<Box<Finished>>,
        /// What it had open for writing, if it was ended.
        writing: Vec<OpenFile>,
        /// What it has written of a crash, as lines for a log.
        crash: Vec<String>,
    },
}

impl WarmBlender {
    /// One that keeps its script in `folder`, which is ours, and whoever keeps the Blender.
    pub(crate) fn new(
        limits: WarmLimits,
        folder: PathBuf,
        launcher: &Launcher,
        scratch: ScratchDirs,
    ) -> (Self, Keeper) {
        let board = StatusBoard::default();
        let (keeper, runs) = Keeper::new(limits.idle, launcher.clone(), board.clone());
        let shared = Shared {
            limits,
            keeper,
            board,
            folder,
            launcher: launcher.clone(),
            scratch,
            strikes: RefCell::default(),
            quiet: RefCell::default(),
        };
        (Self(Rc::new(shared)), runs)
    }

    /// What there is to see of it.
    pub(crate) fn status(&self) -> WarmStatus {
        self.0.board.read()
    }

    /// No task is taken now: a Blender that is kept goes. The future, which need not be waited for, is over when it has.
    pub(crate) fn let_go(&self) -> impl Future<Output = ()> + use<> {
        self.0.keeper.let_go(None)
    }

    /// A task of this job comes: a Blender that is kept for another one goes. The future is over when it has.
    pub(crate) fn begin(&self, job: &str) -> impl Future<Output = ()> + use<> {
        self.0.keeper.let_go(Some(job.to_owned()))
    }

    /// Whether a task of this job may be rendered here.
    pub(crate) fn is_for(&self, job: &str) -> bool {
        !job.is_empty()
            && self
                .0
                .strikes
                .borrow()
                .get(job)
                .is_none_or(|strikes| *strikes < STRIKES)
    }

    /// What is to be rendered for a command line of `job`: `cold` with the frames in it, `program` and `blendfile` as the
    /// paths in it. `None` where that is not for this room.
    pub(crate) async fn task(
        &self,
        job: &str,
        eligible: Eligible,
        cold: &ProcessSpec,
        (program, blendfile): (PathBuf, PathBuf),
    ) -> Option<WarmTask> {
        let environment = environment(cold)?;
        let mark = format!("flamenco-worker {:016x}", getrandom::u64().ok()?);
        let Eligible { arguments, frames } = eligible;
        let spec = ProcessSpec {
            args: arguments.iter().map(OsString::from).collect(),
            ..cold.clone()
        };
        let job = job.to_owned();
        let policy = cold.confinement.clone();
        let read = move || Key::read((&job, policy), &program, &arguments, &blendfile);
        Some(WarmTask {
            key: run_blocking_within(sleep(LOOK), read).await?.ok()?,
            request: Request::new(&mark, &frames, environment),
            spec,
        })
    }

    /// Renders a task.
    pub(crate) async fn render(
        &self,
        task: &WarmTask,
        abort: &mut Abort,
        on_line: &mut dyn FnMut(i32, OutputLine<'_>),
    ) -> WarmEnd {
        let mut blender = match self.taken(&task.key, abort).await {
            Err(reason) => return WarmEnd::NotBegun(reason),
            Ok(Some(blender)) => blender,
            Ok(None) => match self.load(task, abort, on_line).await {
                Ok(blender) => blender,
                Err(end) => return end,
            },
        };
        match blender.render(&task.request, abort, on_line).await {
            Ok(finished) => {
                let tasks = blender.tasks;
                self.0.board.count(tasks);
                self.keep(blender, &finished);
                WarmEnd::Rendered(Box::new(finished), tasks)
            }
            Err(unusable) => self.lose(blender, unusable, abort).await,
        }
    }

    /// The Blender that is kept, where it is for this key and its libraries are what they were; `Err`: the task was stopped
    /// before.
    async fn taken(&self, key: &Key, abort: &mut Abort) -> Result<Option<KeptBlender>, AbortReason> {
        let Some(blender) = self.0.keeper.take(key, abort).await? else {
            return Ok(None);
        };
        if blender.is_current(abort).await {
            return Ok(Some(blender));
        }
        info!("a library of the kept Blender has changed: it is loaded anew");
        self.0.keeper.see_off(blender, abort).await;
        Ok(None)
    }

    async fn load(
        &self,
        task: &WarmTask,
        abort: &mut Abort,
        on_line: &mut dyn FnMut(i32, OutputLine<'_>),
    ) -> Result<KeptBlender, WarmEnd> {
        let program = task.key.program();
        let is_quiet = self.0.quiet.borrow().contains(program);
        let (blender, ready) = self.start(task, is_quiet, abort, on_line).await?;
        if ready.version.0 < QUIET_SINCE || !self.0.quiet.borrow_mut().insert(program.clone()) {
            return Ok(blender);
        }
        self.0.keeper.see_off(blender, abort).await;
        Ok(self.start(task, true, abort, on_line).await?.0)
    }

    async fn start(
        &self,
        task: &WarmTask,
        is_quiet: bool,
        abort: &mut Abort,
        on_line: &mut dyn FnMut(i32, OutputLine<'_>),
    ) -> Result<(KeptBlender, Ready), WarmEnd> {
        let job = &task.key.job;
        let folder = self.0.folder.clone();
        let script = run_blocking_within(abort.patience(LOOK), move || install(&folder)).await;
        let script = script
            .unwrap_or_else(|| Err(io::ErrorKind::TimedOut.into()))
            .map_err(|error| self.not_rendered(job, failed(&error), Vec::new()))?;
        let spec = spec(&task.spec, &script, is_quiet);
        let host = (&self.0.launcher, &self.0.scratch);
        let started = KeptBlender::start(host, spec, task.key.clone(), abort).await;
        let mut blender = started.map_err(|unusable| self.not_rendered(job, unusable, Vec::new()))?;
        match blender.ready(abort, on_line).await {
            Ok(ready) => Ok((blender, ready)),
            Err(unusable) => Err(self.lose(blender, unusable, abort).await),
        }
    }

    /// Sees to what a Blender has left that is not there any more.
    async fn lose(&self, blender: KeptBlender, unusable: Unusable, abort: &mut Abort) -> WarmEnd {
        let job = blender.key.job.clone();
        let crash = blender.crash_reports(abort).await;
        self.0.keeper.see_off(blender, abort).await;
        self.not_rendered(&job, unusable, crash)
    }

    fn keep(&self, blender: KeptBlender, finished: &Finished) {
        let limits = self.0.limits;
        let is_fit =
            finished.strays.unkillable.is_empty() && blender.is_fit(limits.tasks, limits.memory) && !memory_is_short();
        self.0.keeper.keep(blender);
        if !is_fit {
            // It ends beside what comes next.
            drop(self.0.keeper.let_go(None));
        }
    }

    fn not_rendered(&self, job: &str, unusable: Unusable, crash: Vec<String>) -> WarmEnd {
        let (why, died, writing) = match unusable {
            Unusable::Ended(finished) => return WarmEnd::Ended(finished),
            Unusable::NotBegun(reason) => return WarmEnd::NotBegun(reason),
            Unusable::Refused(why) => {
                debug!(job, "{why}: each frame of this job has a Blender of its own");
                self.strike(job, STRIKES);
                return WarmEnd::Refused;
            }
            Unusable::Died(finished) => ("died".to_owned(), Some(finished), Vec::new()),
            Unusable::Failed { why, writing } => (format!("failed ({why})"), None, writing),
        };
        let rest = match self.strike(job, 1) {
            0..STRIKES => "",
            _ => ", and so is the rest of this job",
        };
        WarmEnd::Cold {
            why: format!("The Blender that is kept between tasks {why}: this is rendered by a new one{rest}"),
            died,
            writing,
            crash,
        }
    }

    /// Counts failures in a job, and says how many there were.
    fn strike(&self, job: &str, count: u32) -> u32 {
        let mut strikes = self.0.strikes.borrow_mut();
        if strikes.len() >= JOBS && !strikes.contains_key(job) {
            strikes.clear();
        }
        let all = strikes.entry(job.to_owned()).or_default();
        *all = all.saturating_add(count);
        *all
    }
}

/// Whether processes of this machine have lately had to wait for memory. Where the kernel does not tell
/// (CONFIG_PSI), it counts as no.
fn memory_is_short() -> bool {
    let pressure = std::fs::read_to_string("/proc/pressure/memory").unwrap_or_default();
    waited(&pressure).is_some_and(|percent| percent > PRESSURE)
}

/// The share of the last ten seconds in which some process waited, in percent
/// (Documentation/accounting/psi.rst).
fn waited(pressure: &str) -> Option<f64> {
    let some = pressure.lines().find_map(|line| line.strip_prefix("some avg10="))?;
    some.split(' ').next()?.parse().ok()
}

/// The command line with the script in the place of the frames.
fn spec(cold: &ProcessSpec, script: &Path, is_quiet: bool) -> ProcessSpec {
    let mut args = cold.args.clone();
    if is_quiet {
        args.extend(["--log", "render.*"].map(OsString::from));
    }
    args.extend(["--python".into(), script.into()]);
    ProcessSpec { args, ..cold.clone() }
}

/// The environment of a task, as text; `None` when it is none. Where Blender is held to what its first task may do, it keeps
/// the temporary directory that it can write in.
fn environment(spec: &ProcessSpec) -> Option<BTreeMap<String, Option<String>>> {
    let is_kept_out = |name: &OsString| spec.confinement.is_some() && name == TMPDIR;
    let text = |(name, value): &(OsString, Option<OsString>)| {
        let value = match value {
            Some(value) => Some(value.to_str()?.to_owned()),
            None => None,
        };
        Some((name.to_str()?.to_owned(), value))
    };
    let told = spec.env.iter().filter(|(name, _)| !is_kept_out(name));
    told.map(text).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_tells_whether_memory_is_short() {
        let told = "some avg10=12.50 avg60=1.00 avg300=0.30 total=1\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=0\n";
        assert_eq!(waited(told), Some(12.5));
        assert_eq!(waited(""), None);
    }

    #[test]
    fn the_script_takes_the_place_of_the_frames_and_the_environment_is_text_or_nothing() {
        let cold = ProcessSpec {
            args: vec!["-b".into()],
            env: vec![("A".into(), Some("1".into())), ("B".into(), None)],
            ..ProcessSpec::new("blender")
        };
        let line = |is_quiet| spec(&cold, Path::new("/h/d.py"), is_quiet).to_string();
        assert_eq!(line(false), "blender -b --python /h/d.py");
        assert_eq!(line(true), "blender -b --log 'render.*' --python /h/d.py");
        let text = environment(&cold).unwrap();
        assert_eq!(text.get("A"), Some(&Some("1".to_owned())));
        assert_eq!(text.get("B"), Some(&None));
        let odd = std::os::unix::ffi::OsStringExt::from_vec(vec![0xff]);
        let env = vec![("A".into(), Some(odd))];
        assert_eq!(environment(&ProcessSpec { env, ..cold }), None);
    }
}
