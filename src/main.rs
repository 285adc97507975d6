// SPDX-License-Identifier: GPL-3.0-or-later

//! The program.

fn main() -> std::process::ExitCode {
    flamenco_worker::main()
}
