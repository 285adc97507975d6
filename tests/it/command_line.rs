// SPDX-License-Identifier: GPL-3.0-or-later

//! What the program says about itself, in a real terminal.

use std::fs::File;
use std::io::Read as _;
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
