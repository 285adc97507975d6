// SPDX-License-Identifier: GPL-3.0-or-later

//! Programs of this machine that start others for whoever asks them at a file: a task that can ask is out of its sandbox.

use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

use super::finding::Finding;
use super::subject::Subject;
use crate::sandbox::{Network, SandboxRules};

/// Of a user, below the folder of what lasts as long as their session.
const OF_A_USER: [&str; 4] = ["bus", "systemd/private", "docker.sock", "podman/podman.sock"];
/// Of the machine, for whoever may.
const OF_THE_MACHINE: [&str; 5] = [
    "/run/docker.sock",
    "/run/podman/podman.sock",
    "/run/containerd/containerd.sock",
    "/run/systemd/private",
    "/tmp/.X11-unix/X0",
];
/// It does root's bidding, and that of others only when they are asked for a password.
const SYSTEM_BUS: &str = "/run/dbus/system_bus_socket";

/// A warning where tasks of the subject can ask one of them.
pub(super) fn found(rules: &SandboxRules, subject: &Subject) -> Option<Finding> {
    if rules.are_none() || rules.network == Network::None {
        return None;
    }
    let user = subject.user();
    let session = subject.variable("XDG_RUNTIME_DIR").map(PathBuf::from);
    let session = session.unwrap_or_else(|| format!("/run/user/{}", user.id()).into());
    let of_a_user = OF_A_USER.map(|name| session.join(name));
    let system_bus = (user.id() == 0).then_some(SYSTEM_BUS);
    let of_the_machine = OF_THE_MACHINE.into_iter().chain(system_bus).map(PathBuf::from);
    let doors = of_a_user
        .into_iter()
        .chain(of_the_machine)
        .filter(|path| is_socket(path) && user.may_write(path));
    let doors: Vec<_> = doors.map(|path| path.display().to_string()).collect();
    (!doors.is_empty()).then(|| {
        let seen = format!("what listens at {} starts programs outside the sandbox for a task that asks", doors.join(", "));
        let advice = "network = \"none\" in [sandbox] keeps tasks from it; or let the worker have a user of its own, without a session here";
        Finding::warn("sandbox", seen, advice)
    })
}

fn is_socket(path: &Path) -> bool {
    path.metadata().is_ok_and(|metadata| metadata.file_type().is_socket())
}
