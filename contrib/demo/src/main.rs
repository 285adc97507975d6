// SPDX-License-Identifier: GPL-3.0-or-later
//! One command that shows the worker on one machine: a stand-in Manager, a real worker, real pictures, the Worker Actions.
//!
//! ```text
//! main ─► walk ─► stage ──┬─► farm: stand-in Manager, jobs ◄── HTTP ──┐
//!                         ├─► supervisor ─► programs ─► flamenco-worker ─► Blender, or demo-render (own, tracer)
//!                         ├─► show: the terminal
//!                         └─► interrupt: Ctrl+C
//! ```
//!
//! `args` what may be typed - `worker` which binary is shown - `renderer` what this machine can render with.

mod args;
mod farm;
mod interrupt;
mod own;
mod places;
mod programs;
mod renderer;
mod show;
mod stage;
mod supervisor;
mod tracer;
mod walk;
mod worker;

use std::{
    env,
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
    time::Duration,
};

use tokio::time::Instant;

use crate::{
    args::Wish,
    farm::Shot,
    interrupt::{End, Interrupt, failed},
    places::Places,
    programs::WorkerStart,
    renderer::{Encoder, Renderer},
    show::{Show, time},
    stage::Stage,
    supervisor::Supervisor,
};

/// Any code serves, as long as the supervisor knows it; the manual's examples have this one.
pub(crate) const RESTART_CODE: i32 = 47;
/// A worker that is told to leave has this long: its renderer's grace and its last words to the Manager included.
const GRACE: Duration = Duration::from_secs(20);

fn main() -> ExitCode {
    let mut words = env::args_os().skip(1);
    let first = words.next();
    match first.as_deref().and_then(std::ffi::OsStr::to_str) {
        Some(programs::LEASH) => return programs::leash(words),
        Some(own::ROLE) => return own::render(words),
        Some(_) | None => {}
    }
    match args::parse(first.into_iter().chain(words)) {
        Ok(Wish::Show { output }) => show_everything(output),
        Ok(Wish::Help) => say(io::stdout(), args::HELP, ExitCode::SUCCESS),
        Ok(Wish::Version) => say(
            io::stdout(),
            concat!("demo ", env!("CARGO_PKG_VERSION"), "\n"),
            ExitCode::SUCCESS,
        ),
        Err(error) => say(
            io::stderr(),
            &format!("demo: {error}\nTry --help.\n"),
            ExitCode::from(2),
        ),
    }
}

fn say(mut to: impl Write, text: &str, code: ExitCode) -> ExitCode {
    let _nobody_reads = to.write_all(text.as_bytes());
    code
}

fn show_everything(output: Option<PathBuf>) -> ExitCode {
    let mut show = Show::new();
    let ready = Interrupt::listen()
        .map_err(failed("listening for signals"))
        .and_then(|interrupt| Ok((interrupt, Places::make(output)?)));
    let (mut interrupt, places) = match ready {
        Ok(ready) => ready,
        Err(End::Failed(text)) => return fail(&mut show, &text),
        Err(End::Interrupted(signal)) => return interrupted(signal),
    };
    let began = Instant::now();
    let mut finished = false;
    match perform(&places, &mut show, &mut interrupt, &mut finished) {
        Ok(()) => {
            drop(places);
            let took = time(began.elapsed());
            show.plain(&format!("Nothing is left running. All of it took {took}."));
            show.gap();
            ExitCode::SUCCESS
        }
        Err(End::Interrupted(signal)) => {
            show.gap();
            show.plain("Stopped: the worker, its renders and its home are gone.");
            if let Some(kept) = places.keep_what_is_finished(finished) {
                show.fact("Pictures", &kept.display().to_string());
            }
            interrupted(signal)
        }
        Err(End::Failed(text)) => {
            let code = fail(&mut show, &text);
            places.tell_of_the_log(&mut show);
            code
        }
    }
}

fn fail(show: &mut Show, text: &str) -> ExitCode {
    show.failure(text);
    ExitCode::FAILURE
}

/// As a shell says it: 130 for Ctrl+C.
fn interrupted(signal: i32) -> ExitCode {
    ExitCode::from(u8::try_from(128 + signal).unwrap_or(u8::MAX))
}

/// `finished` becomes true with the first job: from then on there is something worth keeping.
fn perform(places: &Places, show: &mut Show, interrupt: &mut Interrupt, finished: &mut bool) -> Result<(), End> {
    let backstage = places.backstage();
    show.title("flamenco-worker, shown on this machine");
    let program = worker::find(backstage, show, interrupt)?;
    show.meanwhile("Looking for Blender and FFmpeg ...");
    let renderer = Renderer::find(backstage, interrupt)?;
    let encoder = Encoder::find(backstage, interrupt)?;
    let standin = farm::start(&backstage.join("manager"), &renderer).map_err(failed("starting the Manager"))?;
    show.fact("Manager", &format!("a stand-in, at {}", standin.url()));
    show.fact("Renderer", &renderer.label);
    show.fact("Encoder", encoder.as_ref().map_or_else(|why| why, |it| &it.label));
    let shot = Shot {
        renderer: &renderer,
        encoder: encoder.as_ref().ok(),
        output: places.output(),
    };
    let mut supervisor = Supervisor::start(WorkerStart {
        program,
        manager: standin.url(),
        place: backstage.to_owned(),
        log: places.log(),
        restart_code: RESTART_CODE,
    })
    .map_err(failed("starting the supervisor"))?;
    let mut stage = Stage {
        standin: &standin,
        supervisor: &supervisor,
        interrupt,
        show,
        job: None,
        may_leave: false,
    };
    let walked = walk::walk(&mut stage, &shot, finished);
    if walked.is_err() {
        show.meanwhile("Stopping the worker ...");
    }
    // Whatever happened: from here on no worker runs, nor anything it started.
    supervisor.stop(GRACE, interrupt);
    walked?;
    places.tell_of_the_results(&shot, show)
}
