// SPDX-License-Identifier: GPL-3.0-or-later

use std::io::Read;
use std::sync::mpsc::channel;

use nix::libc;
use nix::sys::pthread::{pthread_kill, pthread_self};
use nix::sys::signal::Signal;

use super::*;

fn pipe() -> (io::PipeReader, StderrWriter) {
    let (reader, writer) = io::pipe().unwrap();
    (
        reader,
        StderrWriter::new(Destination::Descriptor(writer.into()), LogFormat::Plain),
    )
}

#[test]
fn e11_a_pipe_that_is_full_stops_nobody_and_what_is_missing_is_said() {
    let (mut reader, stderr) = pipe();
    for _ in 0..200 {
        stderr.line(&[b'x'; 1024]);
    }
    assert!(stderr.shared.lock().dropped > 100);
    let mut taken = vec![0; 64 * 1024];
    let taken = reader.read(&mut taken).unwrap();
    stderr.line(b"after\n");
    let mut text = vec![0; 100];
    let read = reader.read(&mut text).unwrap();
    let text = String::from_utf8_lossy(&text[..read]).into_owned();
    let missing = 200 - taken / 1024;
    assert_eq!(
        text,
        format!("({missing} lines are missing here: nobody read them)\nafter\n")
    );
}

#[test]
fn e11_a_pipe_that_is_closed_stops_nobody() {
    let (reader, stderr) = pipe();
    drop(reader);
    stderr.line(b"one\n");
    stderr.line(b"two\n");
    assert_eq!(stderr.shared.lock().dropped, 2);
}

#[test]
fn b6_the_last_line_waits_neither_for_who_holds_the_lock_nor_for_a_reader() {
    let (mut reader, stderr) = pipe();
    let held = stderr.shared.lock();
    stderr.last_line("panicked\n");
    drop(held);
    let mut text = [0; 9];
    reader.read_exact(&mut text).unwrap();
    assert_eq!(&text, b"panicked\n");
    while writable(stderr.shared.fd(), Duration::ZERO) {
        stderr.shared.write(&[b'x'; PIECE]).unwrap();
    }
    stderr.last_line("again\n");
}

#[test]
fn a_long_line_goes_out_whole() {
    let (mut reader, stderr) = pipe();
    let line = vec![b'y'; 3 * PIECE + 7];
    stderr.line(&line);
    drop(stderr);
    let mut read = Vec::new();
    reader.read_to_end(&mut read).unwrap();
    assert_eq!(read, line);
}

#[test]
fn a_signal_does_not_end_the_wait_for_a_reader() {
    let (mut reader, stderr) = pipe();
    while writable(stderr.shared.fd(), Duration::ZERO) {
        stderr.shared.write(&[b'x'; PIECE]).unwrap();
    }
    // Without a handler it would interrupt nothing.
    signal_hook::flag::register(libc::SIGWINCH, Arc::default()).unwrap();
    let (name, named) = channel();
    let patient = std::thread::spawn(move || {
        name.send(pthread_self()).unwrap();
        writable(stderr.shared.fd(), Duration::from_secs(60))
    });
    let patient_thread = named.recv().unwrap();
    for _ in 0..100 {
        pthread_kill(patient_thread, Signal::SIGWINCH).ok();
        poll(&mut [], 1_u8).ok();
    }
    reader.read_exact(&mut [0; 8 * PIECE]).unwrap();
    assert!(patient.join().unwrap());
}

#[test]
fn e11_what_is_missing_is_said_at_the_end_at_the_latest() {
    let (mut reader, stderr) = pipe();
    for _ in 0..100 {
        stderr.line(&[b'x'; 1024]);
    }
    let dropped = stderr.shared.lock().dropped;
    let mut taken = vec![0; 64 * 1024];
    let taken = reader.read(&mut taken).unwrap();
    stderr.finish();
    drop(stderr);
    let mut text = String::new();
    reader.read_to_string(&mut text).unwrap();
    let said = format!("({dropped} lines are missing here: nobody read them)\n");
    assert!(taken > 1024 && text.ends_with(&said), "{text}");
}
