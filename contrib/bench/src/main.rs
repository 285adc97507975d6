// SPDX-License-Identifier: GPL-3.0-or-later

//! Measures the worker against the stand-in Manager: `cargo run --release -p bench`. Every figure is a ratio, or stands
//! beside what it is compared with, taken in the same run; none is asserted. `bench NAME ...` runs some of them only.
//!
//! ```text
//! main ─► cases (start, idle, between tasks, floods) ─► worker (the real binary) ─► StandIn
//!                                                       printer (this program again: writes lines, fast or paced)
//! process, soak ─► launch (the worker's process room alone) ─► tree (this program again)
//! ```

#![expect(clippy::print_stdout, reason = "this program's figures are its output")]
#![expect(clippy::print_stderr, reason = "it says what it is doing meanwhile")]

mod cases;
mod figures;
mod launch;
mod printer;
mod process;
mod soak;
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
    match words.split_first().map(|(role, words)| (role.as_str(), words)) {
        Some((printer::ROLE, words)) => return printer::main(words),
        Some((process::ROLE, _)) => return process::main(),
        Some((soak::ROLE, words)) => return soak::main(words),
        Some((soak::ONE_WAY, words)) => return soak::one_way_main(words),
        Some((soak::tree::ROLE, words)) => return soak::tree::main(words),
        Some(_) | None => {}
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
