// SPDX-License-Identifier: GPL-3.0-or-later

//! What it takes a worker to be read by a Prometheus.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use super::{Bench, Result};
use crate::contender::{Contender, Kind};
use crate::figures::{Table, Times, mebibytes, span};
use crate::node::Node;
use crate::proc;

/// So many scrapes for each repetition: the processor time of one alone is not measured finely enough.
const SCRAPES: u32 = 50;

/// What reading one worker took.
struct Cost {
    times: Times,
    processor: Duration,
    bytes: usize,
    /// KiB, without the key and with it, read many times.
    resident: [u64; 2],
}

pub(super) fn run(bench: &Bench, table: &mut Table) -> Result {
    let ours = bench.contenders.iter().enumerate();
    for (column, contender) in ours.filter(|(_, contender)| contender.is_ours()) {
        let cost = scrape(contender, bench.scale.repetitions)?;
        table.row("a scrape").goal("5 ms").cell(column, &cost.times);
        table.row("... its processor time").cell(column, span(cost.processor));
        let row = table.row("... its size");
        row.goal("300 kB")
            .cell(column, format!("{:.1} kB", cost.bytes as f64 / 1e3));
        let [without, with] = cost.resident.map(mebibytes);
        table.row("resident memory without metrics").cell(column, without);
        table.row("... with them, after all scrapes").cell(column, with);
    }
    Ok(())
}

fn scrape(contender: &Contender, repetitions: usize) -> Result<Cost> {
    let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
    let socket = folder.path().join("metrics");
    let plain = Node::awake(contender)?;
    let node = Node::awake(&read_at(contender, &socket))?;
    let mut times = Vec::new();
    let mut bytes = 0;
    let before = proc::cpu(node.worker.pid());
    for _ in 0..repetitions * SCRAPES as usize {
        let begin = Instant::now();
        bytes = read(&socket).map_err(|error| format!("{error}; the worker's log ends:\n{}", node.worker.log()))?;
        times.push(begin.elapsed());
    }
    let used = proc::cpu(node.worker.pid()).saturating_sub(before);
    Ok(Cost {
        processor: used / u32::try_from(times.len()).unwrap_or(u32::MAX),
        times: times.into_iter().collect(),
        bytes,
        resident: [plain, node].map(|node| proc::status(node.worker.pid(), "VmRSS")),
    })
}

/// The same worker, which answers at a socket.
fn read_at(contender: &Contender, socket: &Path) -> Contender {
    let kind = match &contender.kind {
        Kind::Ours { configuration } => Kind::Ours {
            configuration: format!("metrics = \"unix:{}\"\n{configuration}", socket.display()),
        },
        Kind::Other => Kind::Other,
    };
    Contender {
        title: contender.title,
        binary: contender.binary.clone(),
        kind,
    }
}

/// One scrape; returns its size.
fn read(socket: &Path) -> std::io::Result<usize> {
    let mut stream = UnixStream::connect(socket)?;
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: bench\r\n\r\n")?;
    let mut answer = Vec::new();
    let bytes = stream.read_to_end(&mut answer)?;
    match answer.starts_with(b"HTTP/1.1 200 OK\r\n") {
        true => Ok(bytes),
        false => Err(std::io::Error::other(String::from_utf8_lossy(&answer).into_owned())),
    }
}
