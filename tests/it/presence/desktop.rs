// SPDX-License-Identifier: GPL-3.0-or-later

//! `contrib/presence`, with stand-ins for the programs of a desktop.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;
use test_bed::until;

/// A desktop whose programs note what they are told in the file `told`.
struct Desktop {
    folder: TempDir,
}

impl Desktop {
    fn new() -> Self {
        let desktop = Self {
            folder: TempDir::new().unwrap(),
        };
        desktop.program("flamenco-worker", "echo \"worker $*\" >> told; [ ! -e away ]");
        desktop.program(
            "notify-send",
            "for word; do last=$word; done; echo \"notify $last\" >> told",
        );
        desktop
    }

    fn program(&self, name: &str, script: &str) {
        let path = self.folder.path().join(name);
        fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).unwrap();
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn told(&self) -> Vec<String> {
        let told = fs::read_to_string(self.path("told")).unwrap_or_default();
        told.lines().map(str::to_owned).collect()
    }

    fn command(&self) -> Command {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("contrib/presence/flamenco-presence");
        let mut command = Command::new(script);
        command
            .current_dir(self.folder.path())
            .env_clear()
            .env("PATH", format!("{}:/usr/bin:/bin", self.folder.path().display()))
            .env("FLAMENCO_IDLE", "600")
            .env("FLAMENCO_POLL", "0.02")
            .stdin(Stdio::null());
        command
    }

    fn start(&self, display: &str) -> Watcher {
        Watcher(self.command().env(display, ":7").spawn().unwrap())
    }

    fn until_told(&self, words: &[&str]) {
        until(
            "the worker to be told",
            || (self.told() == words).then_some(()),
            || format!("{:#?}, not {words:#?}", self.told()),
        );
    }
}

struct Watcher(Child);

impl Drop for Watcher {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

const PAUSED: [&str; 2] = ["worker pause", "notify The machine is yours."];

const GOES_ON: [&str; 2] = ["worker resume", "notify Nobody has used this machine for a while."];

#[test]
fn on_wayland_the_compositor_says_when_somebody_is_there() {
    let desktop = Desktop::new();
    // -w timeout 600 COMMAND resume COMMAND
    desktop.program(
        "swayidle",
        "echo \"swayidle $1 $2 $3\" >> told; sh -c \"$4\"; sh -c \"$6\"; echo \"$5\" >> told",
    );
    let watcher = desktop.start("WAYLAND_DISPLAY");
    let words = [
        &PAUSED[..],
        &["swayidle -w timeout 600"],
        &GOES_ON,
        &PAUSED,
        &["resume"],
    ]
    .concat();
    desktop.until_told(&words);
    drop(watcher);
}

#[test]
fn on_x11_the_server_is_asked() {
    let desktop = Desktop::new();
    desktop.program("xprintidle", "cat since");
    fs::write(desktop.path("since"), "3000").unwrap();
    let watcher = desktop.start("DISPLAY");
    desktop.until_told(&PAUSED);
    fs::write(desktop.path("since"), "600001").unwrap();
    let words = [PAUSED, GOES_ON].concat();
    desktop.until_told(&words);
    // The worker is not there: it is told until it hears.
    fs::write(desktop.path("away"), "").unwrap();
    fs::write(desktop.path("since"), "12").unwrap();
    until(
        "several tries",
        || (desktop.told().len() > words.len() + 2).then_some(()),
        || format!("{:?}", desktop.told()),
    );
    fs::remove_file(desktop.path("away")).unwrap();
    until(
        "the worker to hear",
        || desktop.told().ends_with(&PAUSED.map(str::to_owned)).then_some(()),
        || format!("{:?}", desktop.told()),
    );
    drop(watcher);
}

#[test]
fn what_is_missing_is_said_and_another_command_for_the_worker_is_used() {
    let desktop = Desktop::new();
    let run = |command: &mut Command| {
        let output = command.output().unwrap();
        (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
    };
    let (code, said) = run(&mut desktop.command());
    assert!(code == 2 && said.contains("WAYLAND_DISPLAY"), "{said}");
    let (code, said) = run(desktop.command().env("DISPLAY", ":7").env("PATH", "/nonexistent"));
    assert!(
        code == 127 || (code == 2 && said.contains("xprintidle is not installed")),
        "{said}"
    );
    let (code, said) = run(desktop.command().arg("drain"));
    assert!(code == 2 && said.contains("unknown: drain"), "{said}");
    assert_eq!(desktop.told(), [""; 0]);
    desktop.program("sudo", "echo \"sudo $*\" >> told");
    let words = "sudo -n -u flamenco-worker flamenco-worker";
    let (code, said) = run(desktop.command().arg("resume").env("FLAMENCO_WORKER", words));
    assert_eq!((code, said.as_str()), (0, ""));
    assert_eq!(
        desktop.told(),
        ["sudo -n -u flamenco-worker flamenco-worker resume", GOES_ON[1]]
    );
}
