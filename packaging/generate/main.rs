// SPDX-License-Identifier: GPL-3.0-or-later

//! Writes what a package brings beside the program, each from the definition that the program itself uses.
//!
//! ```text
//! cli ────────────┬─► flamenco-worker.1
//! departure ──────┘─► flamenco-worker.bash, .fish, _flamenco-worker
//! config::manual ─┬─► flamenco-worker.toml.5
//!                 └─► worker.toml
//! Cargo.lock ───────► THIRD-PARTY
//! ```
//!
//! `cargo run --example generate -- DIRECTORY`. An example, so that nothing of it is in the program.

#![expect(clippy::print_stderr, reason = "it is run by a person or a script")]

mod completion;
mod file;
mod linked;
mod manual;

use std::path::Path;
use std::process::ExitCode;
use std::{fs, io};

use flamenco_worker::generators::tables;

const PROGRAM: &str = "flamenco-worker";

fn main() -> ExitCode {
    let Some(directory) = std::env::args_os().nth(1) else {
        eprintln!("usage: generate DIRECTORY");
        return ExitCode::from(2);
    };
    match write_all(Path::new(&directory)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("generate: {}: {error}", directory.display());
            ExitCode::FAILURE
        }
    }
}

fn write_all(directory: &Path) -> io::Result<()> {
    fs::create_dir_all(directory)?;
    fs::write(directory.join("flamenco-worker.1"), manual::of_program()?)?;
    fs::write(directory.join("flamenco-worker.toml.5"), manual::of_file(&tables()))?;
    fs::write(directory.join("worker.toml"), file::commented(&tables()))?;
    fs::write(directory.join("THIRD-PARTY"), linked::notices()?)?;
    for (shell, name) in completion::SHELLS {
        fs::write(directory.join(name), completion::script(shell))?;
    }
    Ok(())
}
