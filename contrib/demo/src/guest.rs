// SPDX-License-Identifier: GPL-3.0-or-later
//! A guest on somebody's farm: workers with temporary homes, and no row left behind.
//!
//! ```text
//! GET version (is it a Manager?) ─► workers ─► GET worker-mgt/workers/ID, one after another, until told to go
//!                                          └─► sign off ─► DELETE worker-mgt/workers/ID
//! ```
//!
//! A deleted row cannot come back to life, and need not: its secret was in the home that is gone. Only rows whose id stands
//! in a home of ours are deleted.

use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use console::style;
use nix::unistd::gethostname;
use reqwest::Url;
use standin_manager::WorkerStatus;

use crate::{
    crew::{Crew, Hiring},
    interrupt::End,
    local::{Local, STOPPING},
    manager::Manager,
    programs::read_text,
    show::{Line, Show, counted, tame},
    stay::someone_reads,
    supervisor::Supervisor,
    view::{Row, State},
    watch::Board,
    worker,
};

/// How often the lines are drawn and signals are looked for.
const TICK: Duration = Duration::from_millis(100);
/// Each worker's row is asked for this often: a guest is no burden.
const ROUND: Duration = Duration::from_secs(2);

/// Stays until told to go.
///
/// # Errors
/// No Manager there, interrupted before the workers were started, or they did not leave as they should.
pub(crate) fn join(cast: &mut Local<'_>, url: &Url, program: &Path, workers: usize) -> Result<(), End> {
    let manager = Manager::at(url).map_err(End::Failed)?;
    let version = manager.version().map_err(|why| no_manager(url, &why))?;
    cast.show.fact("Manager", &format!("{} at {url}", tame(&version)));
    cast.show.fact(
        "Tasks",
        "that farm's: they run on this machine, as you. The real Manager takes jobs of its own job types only; \
         a job of \"echo-sleep-test\" is a harmless one to try.",
    );
    cast.show.gap();
    let hiring = Hiring {
        program,
        manager: url.to_string(),
        name: name_here(),
        count: workers,
        configuration: worker::AS_A_GUEST,
    };
    let mut crew = Crew::start(&hiring, cast.places)?;
    let stayed = stay(cast, &manager, &crew);
    cast.show.meanwhile(STOPPING);
    let parting = crew.stop(cast.interrupt);
    forget(cast.show, &manager, &crew);
    match stayed {
        Ok(()) | Err(End::Interrupted(_)) => parting.after(Ok(())),
        Err(failed @ End::Failed(_)) => parting.after(Err(failed)),
    }
}

fn no_manager(url: &Url, why: &str) -> End {
    End::Failed(format!(
        "There is no Flamenco Manager at {url}\n{why}\nIs it running, and is this its address? Its web page has the same one."
    ))
}

/// `demo-HOST`: on a farm it is to be seen whose it is.
fn name_here() -> String {
    let host = gethostname().ok().and_then(|name| name.into_string().ok());
    format!("demo-{}", host.unwrap_or_else(|| "guest".to_owned()))
}

/// Watches until told to go.
fn stay(cast: &mut Local<'_>, manager: &Manager, crew: &Crew) -> Result<(), End> {
    let mut rows: Vec<_> = crew.members().iter().map(unseen).collect();
    let mut board = Board::default();
    let mut answers = true;
    let mut next = (0, Instant::now());
    loop {
        if Instant::now() >= next.1 {
            let at = next.0 % rows.len().max(1);
            if let (Some(member), Some(row)) = (crew.members().get(at), rows.get_mut(at)) {
                let found = look(manager, member);
                answers = found.is_ok();
                *row = found.unwrap_or(None).unwrap_or_else(|| row.clone()).unless_left(member);
            }
            let pause = ROUND / u32::try_from(rows.len()).unwrap_or(1).max(1);
            next = (at + 1, Instant::now() + pause);
        }
        board.show(&rows, head(&rows, answers), cast.show);
        cast.interrupt.rest(TICK)?;
        someone_reads(cast.show)?;
    }
}

fn head(rows: &[Row], answers: bool) -> Line {
    if !answers {
        let text = style("  The Manager does not answer; the workers go on by themselves.").red();
        return Line {
            text: text.to_string(),
            ..Line::default()
        };
    }
    let awake = |row: &&Row| row.state == State::Known(WorkerStatus::Awake);
    let awake = rows.iter().filter(awake).count();
    Line::dim(&format!(
        "{} of {} awake. Ctrl+C signs off and leaves.",
        awake,
        counted(rows.len(), "worker")
    ))
}

fn unseen(member: &Supervisor) -> Row {
    Row {
        name: member.name().to_owned(),
        state: State::Unseen,
        work: None,
        requested: None,
    }
}

/// `None` before it has registered.
fn look(manager: &Manager, member: &Supervisor) -> Result<Option<Row>, String> {
    id_of(member).map(|id| manager.worker(&id)).transpose()
}

/// The rows of workers that will not come back.
fn forget(show: &mut Show, manager: &Manager, crew: &Crew) {
    let known: Vec<_> = crew
        .members()
        .iter()
        .filter_map(|it| Some((it.name(), id_of(it)?)))
        .collect();
    let mut forgotten = 0;
    for (name, id) in known {
        match manager.delete(&id) {
            Ok(()) => forgotten += 1,
            Err(why) => show.plain(&format!("{name} stays in the Manager's list ({why}): delete it there.")),
        }
    }
    let workers = counted(forgotten, "worker");
    show.plain(&format!("{workers} signed off, and deleted from the Manager's list."));
}

/// Its UUID, once it has registered: a line `worker_id: UUID` in its home.
fn id_of(member: &Supervisor) -> Option<String> {
    let file: PathBuf = member.home().join("flamenco-worker-credentials.yaml");
    let text = read_text(&file);
    let line = text.lines().find_map(|line| line.strip_prefix("worker_id:"))?;
    let id = line.trim().trim_matches(['"', '\'']);
    (!id.is_empty()).then(|| id.to_owned())
}
