// SPDX-License-Identifier: GPL-3.0-or-later

//! The sandbox on kernels that are older than what it can ask for: they are real here, and answer for themselves.

use std::io::Cursor;

use image::{ImageFormat, Rgb, RgbImage};
use serde_json::json;
use standin_manager::{CommandSpec, Endpoint, WorkerStatus};

use crate::computer::{Files, Kernel};
use crate::station::Station;
use test_bed::exec;

/// Debian 11, with Linux 5.10.
const WITHOUT_LANDLOCK: Kernel = Kernel {
    suite: Some("bullseye-security"),
    options: "",
};
/// This machine's, told to leave Landlock out.
const SWITCHED_OFF: Kernel = Kernel {
    suite: None,
    options: "lsm=lockdown,yama",
};
/// Debian 12, with Linux 6.1: files and renames, and nothing that came later.
const SECOND: Kernel = Kernel {
    suite: None,
    options: "lsm=landlock,lockdown,yama",
};
/// Linux 6.12, for Debian 12.
const SIXTH: Kernel = Kernel {
    suite: Some("bookworm-backports"),
    options: "",
};

const RULES: [&str; 3] = ["[sandbox]", "write = [\"/disk/shared\"]", "network = \"none\""];

/// What a kernel without Landlock lacks for them.
const ALL: &str =
    "files (needs Linux 5.13), truncation (needs Linux 6.2), signals and abstract sockets (needs Linux 6.12)";

/// What a kernel makes of the rules.
struct Told<'a> {
    /// What `doctor` calls it.
    kernel: &'a str,
    /// What it lacks, as the log has it.
    lacks: Option<&'a str>,
    /// Whether a task is kept from writing elsewhere.
    holds: bool,
    /// Whether what it has is all that was asked for, but for the worker's own protection.
    is_enough: bool,
}

#[test]
fn n1_a_kernel_without_landlock_says_so_and_filters_calls_all_the_same() {
    let told = Told {
        kernel: "this kernel has no Landlock; system calls are filtered",
        lacks: Some(ALL),
        holds: false,
        is_enough: false,
    };
    shows(WITHOUT_LANDLOCK, &told);
}

#[test]
fn n1_a_kernel_whose_landlock_is_switched_off_says_that() {
    let told = Told {
        kernel: "Landlock is switched off (lsm= on the kernel's command line); system calls are filtered",
        lacks: Some(ALL),
        holds: false,
        is_enough: false,
    };
    shows(SWITCHED_OFF, &told);
}

#[test]
fn n1_a_kernel_of_landlocks_second_version_enforces_that_and_says_what_lacks() {
    let told = Told {
        kernel: "Landlock 2: files, renames between folders; system calls are filtered",
        lacks: Some("truncation (needs Linux 6.2), signals and abstract sockets (needs Linux 6.12)"),
        holds: true,
        is_enough: false,
    };
    shows(SECOND, &told);
}

#[test]
fn n1_a_kernel_of_landlocks_sixth_version_enforces_all() {
    let told = Told {
        kernel: "Landlock 6: files, renames between folders, truncation, TCP ports, commands to devices, signals and abstract sockets; \
                 system calls are filtered",
        lacks: None,
        holds: true,
        is_enough: true,
    };
    shows(SIXTH, &told);
}

fn shows(kernel: Kernel, told: &Told<'_>) {
    let Some(mut station) = Station::with(kernel, Files::Alone, &[]) else {
        return;
    };
    let text: Vec<_> = RULES.iter().map(|line| format!("'{line}'")).collect();
    station.computer.run(&format!(
        r"mkdir shared; echo kept > kept; printf '%s\n' {} >> flamenco-worker.toml",
        text.join(" ")
    ));
    station.awake();
    let log = station.log();
    let said = log
        .lines()
        .filter(|line| line.contains("[sandbox] is not enforced in full"));
    let said: Vec<_> = said.collect();
    assert_eq!(said.len(), usize::from(told.lacks.is_some()), "{log}");
    assert!(
        said.iter().all(|line| line.contains(told.lacks.unwrap_or_default())),
        "{log}"
    );
    let doctor = station
        .computer
        .run("FLAMENCO_HOME=/disk/home flamenco-worker doctor 2>&1; true");
    assert!(doctor.contains(told.kernel), "{doctor}");
    tries(&mut station, told);
    makes_a_picture(&mut station);
    station.stop();
    requires(&mut station, told);
    station.finish();
}

/// A task writes where it may and where it may not, and calls for a socket.
fn tries(station: &mut Station, told: &Told<'_>) {
    let script = "echo changed > /disk/kept; echo kept $?; echo > /disk/new; echo new $?; echo > /disk/shared/own; echo own $?; \
                  nc 10.0.2.2 1 < /dev/null; true";
    let task = station.farm.task(&[exec("sh", json!(["-c", script]))]);
    station.completed(&task);
    let log = station.farm.log(&task);
    let refused = u8::from(told.holds);
    for line in [
        format!("> kept {refused}"),
        format!("> new {refused}"),
        "> own 0".to_owned(),
    ] {
        assert!(log.contains(&line), "{line}: {log}");
    }
    // By a filter of system calls, which all of them have.
    assert!(log.contains("Permission denied"), "{log}");
    let kept = station.computer.run("cat kept");
    assert_eq!(kept.trim(), if told.holds { "kept" } else { "changed" });
}

/// The process that reads pictures does its work, and what it may not do is not needed.
fn makes_a_picture(station: &mut Station) {
    let mut picture = Cursor::new(Vec::new());
    RgbImage::from_pixel(16, 16, Rgb([0x80; 3]))
        .write_to(&mut picture, ImageFormat::Png)
        .unwrap();
    let bytes = picture.into_inner();
    let octal: String = bytes.iter().map(|byte| format!("\\{byte:03o}")).collect();
    let script = format!("printf '{octal}' > /disk/shared/x.png; echo \"Saved: '/disk/shared/x.png'\"; sleep 1000");
    let parameters = json!({ "exe": "sh", "exeArgs": "", "blendfile": "", "args": ["-c", script] });
    let task = station.farm.task(&[CommandSpec::new("blender-render", parameters)]);
    station.wait("a picture", |farm| {
        let shown = farm
            .requests()
            .iter()
            .find(|seen| seen.endpoint == Endpoint::OutputProduced)?;
        shown.status().filter(|status| *status < 300).map(|_| ())
    });
    test_bed::cancel(&station.farm, &task);
}

/// With `require` no task is run by a kernel that lacks a rule.
fn requires(station: &mut Station, told: &Told<'_>) {
    station
        .computer
        .run("rm shared/own; echo 'require = true' >> flamenco-worker.toml");
    let script = "echo > /disk/shared/own";
    station.worker("");
    let task = station.farm.task(&[exec("sh", json!(["-c", script]))]);
    if told.is_enough {
        station.completed(&task);
        return;
    }
    station.wait("the worker to be asleep", |farm| {
        let asleep = farm.workers().find(|worker| worker.status == WorkerStatus::Asleep);
        asleep.map(|_| ())
    });
    station.until("grep -q '`require` of \\[sandbox\\] is set' worker.log");
    assert!(!station.computer.does("[ -e shared/own ]"));
}
