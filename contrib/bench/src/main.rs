// SPDX-License-Identifier: GPL-3.0-or-later

//! Measures the worker against the stand-in Manager: `cargo run --release -p bench`. Every figure is a ratio, or stands
//! beside what it is compared with, taken in the same run; none is asserted. `bench NAME ...` runs some of them only.
//!
//! ```text
//! main ─► cases (start, idle, between tasks, floods) ─► worker (the real binary) ─► StandIn
//!                                                       printer (this program again: writes lines, fast or paced)
//! ```

#![expect(clippy::print_stdout, reason = "this program's figures are its output")]
#![expect(clippy::print_stderr, reason = "it says what it is doing meanwhile")]

mod cases;
mod chaos;
mod figures;
mod printer;
mod worker;

use std::process::ExitCode;

/// Name, what it measures, how.
type Case = (&'static str, fn(&mut figures::Table) -> Result<(), String>);

const CASES: &[Case] = &[
    ("start", cases::start),
    ("idle", cases::idle),
    ("between", cases::between_tasks),
    ("paced", cases::paced),
    ("flood", cases::flood),
];

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    if words.first().is_some_and(|word| word == printer::ROLE) {
        return printer::main(&words[1..]);
    }
    if words.first().is_some_and(|word| word == "chaos") {
        return chaos::main(&words[1..]);
    }
    let mut table = figures::Table::default();
    for (name, case) in CASES {
        if words.is_empty() || words.iter().any(|word| word == name) {
            eprintln!("measuring: {name}");
            if let Err(error) = case(&mut table) {
                eprintln!("{name}: {error}");
                return ExitCode::FAILURE;
            }
        }
    }
    println!("{table}");
    ExitCode::SUCCESS
}
