// SPDX-License-Identifier: GPL-3.0-or-later

//! Somebody in the Manager's place who sends without end and reads nothing: what we owe as an answer was once kept in
//! memory, all of it.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use crate::push_trouble::{MEMORY_KIB, peak_kib};
use test_bed::{Farm, PATIENCE};

/// A ping of the websocket with as much as it can carry, many times.
fn pings() -> Vec<u8> {
    let ping = [&[0x89, 125][..], &[b'x'; 125]].concat();
    ping.repeat(500)
}

/// Passes everything on to the Manager, but whoever wants to listen gets pings until it hangs up, which is told.
fn flooding(manager: SocketAddr) -> (SocketAddr, Receiver<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (tell, told) = channel();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let tell = tell.clone();
            thread::spawn(move || serve(stream, manager, &tell));
        }
    });
    (address, told)
}

fn serve(mut stream: TcpStream, manager: SocketAddr, tell: &Sender<()>) -> Option<()> {
    let head = head(&mut stream)?;
    let key = head.lines().find_map(|line| line.strip_prefix("Sec-WebSocket-Key: "));
    let Some(key) = key else {
        let mut there = TcpStream::connect(manager).ok()?;
        there.write_all(head.as_bytes()).ok()?;
        let (mut from, mut to) = (stream.try_clone().ok()?, there.try_clone().ok()?);
        thread::spawn(move || std::io::copy(&mut from, &mut to));
        std::io::copy(&mut there, &mut stream).ok()?;
        return Some(());
    };
    let accept = derive_accept_key(key.as_bytes());
    let upgrade = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade";
    let answer = format!("{upgrade}\r\nSec-WebSocket-Accept: {accept}\r\n\r\n\u{81}\u{3}0{{}}");
    let bytes: Vec<u8> = answer.chars().filter_map(|c| u8::try_from(u32::from(c)).ok()).collect();
    stream.write_all(&bytes).ok()?;
    let pings = pings();
    while stream.write_all(&pings).is_ok() {}
    tell.send(()).ok()
}

fn head(stream: &mut TcpStream) -> Option<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).ok()?;
        head.push(byte[0]);
    }
    String::from_utf8(head).ok()
}

#[test]
fn i12_pings_whose_answers_are_not_read_end_the_connection_and_fill_no_memory() {
    let farm = Farm::new();
    let (address, hung_up) = flooding(([127, 0, 0, 1], farm.manager.port()).into());
    let mut node = farm.node("node");
    node.url = format!("http://{address}/");
    // Long enough to take in what would show.
    node.set("push_ping", "8s").set("push_answer", "1s").start();
    farm.awake();
    hung_up.recv_timeout(PATIENCE).unwrap();
    let peak = peak_kib(&node);
    assert!(peak < MEMORY_KIB, "{peak} KiB");
    let task = farm.script("true");
    farm.completed(&task);
    node.finish();
}
