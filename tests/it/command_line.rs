// SPDX-License-Identifier: GPL-3.0-or-later

//! What the program says about itself, in a real terminal.

use std::fs::File;
use std::io::{Read as _, pipe};
use std::process::{Command, Stdio};

use nix::libc::winsize;
use nix::pty::openpty;

/// What is printed into a terminal of this width.
fn in_terminal(columns: u16, arguments: &[&str]) -> String {
    let size = winsize {
        ws_row: 50,
        ws_col: columns,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    let terminal = openpty(&size, None).unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_flamenco-worker"))
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(terminal.slave)
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut text = Vec::new();
    // Its end is an error: the terminal is closed with the last process that has it.
    File::from(terminal.master).read_to_end(&mut text).ok();
    assert!(child.wait().unwrap().success());
    // A terminal's line ends.
    String::from_utf8(text).unwrap().replace("\r\n", "\n")
}

#[test]
fn help_is_no_wider_than_a_page_in_a_wide_terminal() {
    for arguments in [&["-help"] as &[&str], &["history", "-help"], &["doctor", "-help"]] {
        let text = in_terminal(250, arguments);
        assert!(text.contains("Usage:"), "{text}");
        for line in text.lines() {
            // Without the escapes that make words bold.
            let shown = line
                .split('\u{1b}')
                .enumerate()
                .map(|(at, part)| match part.split_once('m') {
                    Some((_, rest)) if at > 0 => rest.chars().count(),
                    Some(_) | None => part.chars().count(),
                });
            assert!(shown.sum::<usize>() <= 100, "{line}");
        }
    }
}

/// The program with standard output into `out`: how it ends, and what it says of that.
fn printing_into(out: impl Into<Stdio>, arguments: &[&str]) -> (Option<i32>, String) {
    let home = tempfile::tempdir().unwrap();
    let ended = Command::new(env!("CARGO_BIN_EXE_flamenco-worker"))
        .args(arguments)
        .env("FLAMENCO_HOME", home.path())
        .env("FLAMENCO_MANAGER", "http://127.0.0.1:1/")
        .stdin(Stdio::null())
        .stdout(out)
        .output()
        .unwrap();
    (ended.status.code(), String::from_utf8(ended.stderr).unwrap())
}

/// With their code where all is well.
const PRINTING: [(&[&str], i32); 7] = [
    (&["-help"], 0),
    (&["status", "-help"], 0),
    (&["-version"], 0),
    (&["check-config"], 0),
    (&["history"], 0),
    (&["doctor", "--json"], 1),
    (&["status", "--json"], 3),
];

#[test]
fn what_cannot_be_printed_is_said_and_is_no_success() {
    for (arguments, _) in PRINTING {
        let full = File::options().write(true).open("/dev/full").unwrap();
        let (code, said) = printing_into(full, arguments);
        assert_eq!(code, Some(1), "{arguments:?}: {said}");
        let why = "flamenco-worker: cannot write to the standard output: No space left on device";
        assert!(said.contains(why), "{arguments:?}: {said}");
    }
}

#[test]
fn who_has_read_enough_is_told_nothing() {
    for (arguments, code) in PRINTING {
        let (reader, writer) = pipe().unwrap();
        drop(reader);
        assert_eq!(
            printing_into(writer, arguments),
            (Some(code), String::new()),
            "{arguments:?}"
        );
    }
}
