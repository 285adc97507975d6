// SPDX-License-Identifier: GPL-3.0-or-later

//! Where the program begins: a worker, one of its subcommands, or one of the two hidden roles a worker starts itself in.

use std::process::ExitCode;

use crate::app::{self, SUCCESSOR_ROLE};
use crate::cli::Arguments;
use crate::departure::USAGE_ERROR;
use crate::handover::Received;
use crate::logging;
use crate::process::{self, GUARD_ROLE};
use crate::report::{self, PREVIEW_ROLE};
use crate::signals::Early;
use crate::subcommand;

/// All of the program.
pub fn main() -> ExitCode {
    logging::end_on_panic();
    let words: Vec<_> = std::env::args_os().collect();
    match words.get(1) {
        // It has to open something first.
        Some(role) if role == GUARD_ROLE => return process::guard_main(),
        Some(_) | None => process::close_to_others(),
    }
    match words.get(1) {
        Some(role) if role == PREVIEW_ROLE => return report::preview_main(words.into_iter().skip(2)),
        Some(role) if role == SUCCESSOR_ROLE => return app::answer(words.into_iter().skip(2)),
        Some(_) | None => {}
    }
    let received = Received::from_environment();
    let early = match received {
        Some(_) => Early::keep_blocked(),
        None => Early::take(),
    };
    match Arguments::parse(words) {
        Ok(arguments) => match &arguments.subcommand {
            None if arguments.find_manager => {
                early.give_back();
                subcommand::find_manager().map_or_else(ExitCode::from, |()| ExitCode::SUCCESS)
            }
            None => app::run(&arguments, early, received).into(),
            Some(subcommand) => {
                early.give_back();
                subcommand::run(subcommand, &arguments).map_or_else(ExitCode::from, |()| ExitCode::SUCCESS)
            }
        },
        Err(error) => {
            let code = ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(USAGE_ERROR));
            match error.print() {
                // The help, or the version.
                printed @ Err(_) if !error.use_stderr() => {
                    subcommand::written(printed).map_or_else(ExitCode::from, |()| code)
                }
                // It does not matter if stderr is closed.
                Ok(()) | Err(_) => code,
            }
        }
    }
}
