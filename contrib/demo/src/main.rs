// SPDX-License-Identifier: GPL-3.0-or-later
//! One command that shows the worker on one machine: a stand-in Manager and its page, real workers, real pictures, the Worker
//! Actions.
//!
//! ```text
//! main ─┬─► local ─┬─► walk ─► stage     the guided walk: one worker, one step after another
//!       │          ├─► errands ─┐        named samples, and what became of each
//!       │          ├─► stay ────┴► watch until told to go
//!       │          └─► farm: stand-in Manager, jobs, samples ◄── HTTP ──┐
//!       ├─► guest ─► manager: somebody's ◄────────────────────── HTTP ──┤
//!       ├─► crew ─► supervisor ─► programs ─► flamenco-worker ──────────┴─► Blender, or own, or samples::role
//!       ├─► show: the terminal ◄── view: a worker in one line
//!       └─► interrupt: Ctrl+C
//! ```
//!
//! `args` what may be typed - `worker` which binary is shown - `renderer` what this machine can render with - `places` where
//! things are, and what stays.

mod args;
mod crew;
mod errands;
mod farm;
mod guest;
mod interrupt;
mod local;
mod manager;
mod own;
mod places;
mod programs;
mod renderer;
mod samples;
mod show;
mod stage;
mod stay;
mod supervisor;
mod view;
mod walk;
mod watch;
mod worker;

use std::{env, process::ExitCode, time::Instant};

use crate::{
    args::{Mode, Play, Wish},
    interrupt::{End, Interrupt, failed},
    local::Local,
    places::Places,
    show::{Show, time},
};

/// Any code serves, as long as the supervisor knows it; the manual's examples have this one.
pub(crate) const RESTART_CODE: i32 = 47;
fn main() -> ExitCode {
    let mut words = env::args_os().skip(1);
    let first = words.next();
    match first.as_deref().and_then(std::ffi::OsStr::to_str) {
        Some(programs::LEASH) => return programs::leash(words),
        Some(own::ROLE) => return own::render(words),
        Some(samples::role::ROLE) => return samples::role::play(words),
        Some(_) | None => {}
    }
    match args::parse(first.into_iter().chain(words)) {
        Ok(wish) => show_everything(wish),
        Err(said) => {
            said.print().ok();
            u8::try_from(said.exit_code()).map_or(ExitCode::FAILURE, ExitCode::from)
        }
    }
}

fn show_everything(wish: Wish) -> ExitCode {
    let mut show = Show::new();
    let ready = Interrupt::listen()
        .map_err(failed("listening for signals"))
        .and_then(|interrupt| Ok((interrupt, Places::make(wish.output)?)));
    let (mut interrupt, places) = match ready {
        Ok(ready) => ready,
        Err(End::Failed(text)) => return fail(&mut show, &text),
        Err(End::Interrupted(signal)) => return interrupted(signal),
    };
    let began = Instant::now();
    let mut cast = Local {
        places: &places,
        show: &mut show,
        interrupt: &mut interrupt,
        finished: false,
    };
    let performed = perform(&mut cast, &wish.mode, wish.workers);
    let finished = cast.finished;
    match performed {
        Ok(()) => {
            let kept = places.keep_what_is_finished(finished);
            if let (Mode::Local(Play::Stay(_)), Some(kept)) = (&wish.mode, kept) {
                show.fact("Pictures", &kept.display().to_string());
            }
            let took = time(began.elapsed());
            show.plain(&format!("Nothing is left running. All of it took {took}."));
            show.gap();
            ExitCode::SUCCESS
        }
        Err(End::Interrupted(signal)) => {
            show.gap();
            show.plain("Stopped: the workers, their programs and their homes are gone.");
            if let Some(kept) = places.keep_what_is_finished(finished) {
                show.fact("Pictures", &kept.display().to_string());
            }
            interrupted(signal)
        }
        Err(End::Failed(text)) => {
            let code = fail(&mut show, &text);
            places.tell_of_the_logs(&mut show);
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

fn perform(cast: &mut Local<'_>, mode: &Mode, workers: usize) -> Result<(), End> {
    cast.show.title("flamenco-worker, shown on this machine");
    let program = worker::find(cast.places.backstage(), cast.show, cast.interrupt)?;
    match mode {
        Mode::Guest(url) => guest::join(cast, url, &program, workers),
        Mode::Local(play) => cast.perform(play, &program, workers),
    }
}
