// SPDX-License-Identifier: GPL-3.0-or-later
//! `standin-manager [--listen 127.0.0.1:8080] [--storage DIR]`: a stand-in to talk to by hand.

use std::{error::Error, net::SocketAddr, process::ExitCode};

use standin_manager::{Options, StandIn};

const USAGE: &str = "usage: standin-manager [--listen ADDRESS:PORT] [--storage DIR]";

#[expect(clippy::print_stdout, clippy::print_stderr, reason = "it is a program for people")]
fn main() -> ExitCode {
    let standin = options(std::env::args().skip(1)).and_then(|options| Ok(StandIn::start(options)?));
    match standin {
        Ok(standin) => {
            println!("{}", standin.url());
            loop {
                std::thread::park();
            }
        }
        Err(error) => {
            eprintln!("standin-manager: {error}");
            ExitCode::FAILURE
        }
    }
}

fn options(mut words: impl Iterator<Item = String>) -> Result<Options, Box<dyn Error>> {
    let mut options = Options {
        port: 8080,
        ..Options::default()
    };
    while let Some(word) = words.next() {
        let value = words.next().ok_or(USAGE)?;
        match word.as_str() {
            "--listen" => {
                let address: SocketAddr = value.parse().map_err(|_| format!("{value}: not an address and port"))?;
                (options.address, options.port) = (address.ip(), address.port());
            }
            "--storage" => options.storage = Some(value.into()),
            _ => return Err(USAGE.into()),
        }
    }
    Ok(options)
}
