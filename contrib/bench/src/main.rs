// SPDX-License-Identifier: GPL-3.0-or-later

//! Measures the worker against the stand-in Manager: `cargo run --release -p bench`. Every figure is a ratio, or stands
//! beside its goal and what it is compared with, taken in the same run; none is asserted. A case that cannot be measured
//! says why, and fails the run.
//!
//! ```text
//! main ─► args ─► contender (without push, with push, another worker) ─┐
//!                                                                      ▼
//!         cases (one file each) ─► node (one StandIn, one worker) ─► figures (a table: a column per contender)
//!               │                  program (a task whose life is seen from here)
//!               ├─ many ─────────► crowd (a thousand workers)
//!               └─ prints
//! this program again: printer (writes lines, fast or paced)
//! soak ─► node ─► tree (this program again)
//! ```

#![expect(clippy::print_stdout, reason = "this program's figures are its output")]
#![expect(clippy::print_stderr, reason = "it says what it is doing meanwhile")]

mod args;
mod cases;
mod chaos;
mod contender;
mod crowd;
mod figures;
mod node;
mod printer;
mod proc;
mod program;
mod scale;
mod soak;
mod waiting;
mod worker;

use std::ffi::OsString;
use std::process::ExitCode;

use args::{Chosen, Wish};
use cases::{Bench, CASES};
use contender::Contender;
use scale::Scale;

fn main() -> ExitCode {
    let words: Vec<OsString> = std::env::args_os().skip(1).collect();
    match words.split_first() {
        Some((role, words)) if role == printer::ROLE => return printer::main(words),
        Some((case, words)) if case == chaos::CASE => return chaos::main(words),
        Some((case, words)) if case == soak::ROLE => return soak::main(&texts(words)),
        Some((role, words)) if role == soak::ONE_WAY => return soak::one_way_main(&texts(words)),
        Some((role, words)) if role == soak::tree::ROLE => return soak::tree::main(&texts(words)),
        Some(_) | None => {}
    }
    let done = match args::parse(words) {
        Ok(Wish::Help) => {
            print!("{}", args::help());
            Ok(())
        }
        Ok(Wish::Measure(chosen)) => measure(&chosen),
        Err(wrong) => {
            eprintln!("bench: {wrong}; see --help");
            return ExitCode::from(2);
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("bench: {why}");
            ExitCode::FAILURE
        }
    }
}

/// The words of a case that has none but numbers and names of its own.
fn texts(words: &[OsString]) -> Vec<String> {
    words.iter().map(|word| word.to_string_lossy().into_owned()).collect()
}

fn measure(chosen: &Chosen) -> Result<(), String> {
    let mut scale = if chosen.smoke { Scale::smoke() } else { Scale::whole() };
    scale.workers = chosen.workers.unwrap_or(scale.workers);
    let contenders = Contender::all(chosen.other.as_deref(), &scale)?;
    let bench = Bench { contenders, scale };
    println!("{}", bench.about());
    let wanted = |name: &str| chosen.cases.is_empty() || chosen.cases.iter().any(|case| case == name);
    for case in CASES.iter().filter(|case| wanted(case.name)) {
        eprintln!("measuring: {} ({})", case.name, case.takes);
        let mut table = bench.table();
        (case.run)(&bench, &mut table).map_err(|why| format!("{}: {why}", case.name))?;
        println!("\n{}: {}\n\n{table}", case.name, case.about);
    }
    Ok(())
}
