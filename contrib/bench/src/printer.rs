// SPDX-License-Identifier: GPL-3.0-or-later

//! A program that prints: so many bytes in lines of 80, as fast as it can or at so many bytes a second.
//! Writes how long it took, in nanoseconds, to a file.

use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

use tokio::time::Instant;

/// The first argument that makes this program a printer.
pub(crate) const ROLE: &str = "print";

/// The length of a line, its end included.
pub(crate) const LINE: u64 = 80;

/// How much is written at once: what a program with a full stdio buffer does.
const BLOCK: u64 = 50 * LINE;

/// `print BYTES BYTES_PER_SECOND FILE`; 0 bytes per second is as fast as it can.
pub(crate) fn main(words: &[String]) -> ExitCode {
    let [bytes, rate, file] = words else {
        return ExitCode::from(2);
    };
    let (Ok(bytes), Ok(rate)) = (bytes.parse::<u64>(), rate.parse::<u64>()) else {
        return ExitCode::from(2);
    };
    let took = print(bytes, rate);
    match took.and_then(|took| std::fs::write(file, took.as_nanos().to_string())) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
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
            std::thread::park_timeout(due.saturating_sub(begin.elapsed()));
        }
    }
    Ok(begin.elapsed())
}

fn owned_stdout() -> std::io::Result<std::os::fd::OwnedFd> {
    use std::os::fd::AsFd;
    std::io::stdout().as_fd().try_clone_to_owned()
}
