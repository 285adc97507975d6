// SPDX-License-Identifier: GPL-3.0-or-later

//! The program: a worker, one of its subcommands, or one of the two hidden roles a worker starts itself in.

use std::env;
use std::process::ExitCode;

use flamenco_worker::app;
use flamenco_worker::cli::Arguments;
use flamenco_worker::departure::USAGE_ERROR;
use flamenco_worker::process;
use flamenco_worker::report;
use flamenco_worker::signals::Early;
use flamenco_worker::subcommand;

fn main() -> ExitCode {
    let words: Vec<_> = env::args_os().collect();
    match words.get(1) {
        Some(role) if role == process::GUARD_ROLE => return process::guard_main(),
        Some(role) if role == report::PREVIEW_ROLE => return report::preview_main(words.into_iter().skip(2)),
        Some(_) | None => {}
    }
    let early = Early::take();
    match Arguments::parse(words) {
        Ok(arguments) => match &arguments.subcommand {
            None => app::run(&arguments, early).into(),
            Some(subcommand) => {
                early.give_back();
                subcommand::run(subcommand, &arguments).map_or_else(ExitCode::from, |()| ExitCode::SUCCESS)
            }
        },
        Err(error) => {
            // Help goes to stdout, errors to stderr. It does not matter if that is closed.
            error.print().ok();
            ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(USAGE_ERROR))
        }
    }
}
