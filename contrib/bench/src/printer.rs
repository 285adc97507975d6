// SPDX-License-Identifier: GPL-3.0-or-later

//! A program that prints: so many bytes in lines of 80, as fast as it can or at so many bytes a second.
//! Writes how long it took, in nanoseconds, to a file.

use std::ffi::{OsStr, OsString};
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// The first argument that makes this program a printer.
pub(crate) const ROLE: &str = "print";

/// The length of a line, its end included.
pub(crate) const LINE: u64 = 80;

/// How much is written at once: what a program with a full stdio buffer does.
const BLOCK: u64 = 50 * LINE;

/// `print BYTES BYTES_PER_SECOND FILE`; 0 bytes per second is as fast as it can.
pub(crate) fn main(words: &[OsString]) -> ExitCode {
    let [bytes, rate, file] = words else {
        return ExitCode::from(2);
    };
    let number = |word: &OsString| word.to_str().and_then(|word| word.parse().ok());
    let (Some(bytes), Some(rate)) = (number(bytes), number(rate)) else {
        return ExitCode::from(2);
    };
    match print(bytes, rate).and_then(|took| keep(took, file)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

/// All of it is there when the file is.
fn keep(took: Duration, file: &OsStr) -> std::io::Result<()> {
    let unfinished = Path::new(file).with_extension("part");
    std::fs::write(&unfinished, took.as_nanos().to_string())?;
    std::fs::rename(unfinished, file)
}

fn print(bytes: u64, rate: u64) -> std::io::Result<Duration> {
    let mut out = std::fs::File::from(std::os::fd::OwnedFd::try_clone(&owned_stdout()?)?);
    let mut block = String::new();
    let begin = Instant::now();
    let mut line = 0;
    let mut written = 0;
    while written < bytes {
        block.clear();
        while (block.len() as u64) < BLOCK {
            block.push_str(&format!("line {line:>12} {}\n", "x".repeat(61)));
            line += 1;
        }
        out.write_all(block.as_bytes())?;
        written += block.len() as u64;
        if rate > 0 {
            let due = Duration::from_secs_f64(written as f64 / rate as f64);
            std::thread::sleep(due.saturating_sub(begin.elapsed()));
        }
    }
    Ok(begin.elapsed())
}

fn owned_stdout() -> std::io::Result<std::os::fd::OwnedFd> {
    use std::os::fd::AsFd;
    std::io::stdout().as_fd().try_clone_to_owned()
}
