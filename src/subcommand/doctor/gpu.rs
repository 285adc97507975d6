// SPDX-License-Identifier: GPL-3.0-or-later

//! The device files through which programs reach a GPU. Each must be readable and writable: otherwise Blender renders on
//! the CPU and says nothing.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use nix::unistd::{AccessFlags, Gid, access, geteuid};

use super::CheckContext;
use super::finding::{Finding, run_checks};
use super::subject::Subject;
use crate::home::{group_name, user_name};

const NAME: &str = "gpu";

pub(super) async fn check(context: &CheckContext) -> Vec<Finding> {
    let subject = context.subject.clone();
    run_checks(NAME, "/dev", move || of(&subject)).await
}

fn of(subject: &Subject) -> Vec<Finding> {
    let devices = all(&subject.sees("/dev"));
    if devices.is_empty() {
        let driver = Path::new("/proc/driver/nvidia/version").exists();
        return vec![none(subject, driver)];
    }
    devices.iter().map(|path| one(path)).collect()
}

fn none(subject: &Subject, driver: bool) -> Finding {
    if driver {
        return Finding::fail(
            NAME,
            format!("the driver of NVIDIA is loaded, and {subject} sees none of its devices"),
            "take PrivateDevices= out of the unit, or give the container its devices",
        );
    }
    Finding::ok(NAME, format!("{subject} has no GPU, and renders on the CPU"))
}

/// `/dev/nvidia0`, `nvidiactl`, `nvidia-uvm`; `/dev/dri/renderD128`; `/dev/kfd`.
fn all(dev: &Path) -> Vec<PathBuf> {
    let named = |folder: &Path, wanted: fn(&str) -> bool| {
        let entries = fs::read_dir(folder).into_iter().flatten().flatten();
        let paths = entries.filter(move |entry| entry.file_name().to_str().is_some_and(wanted));
        paths.map(|entry| entry.path()).collect::<Vec<_>>()
    };
    let of_nvidia = |name: &str| match name.strip_prefix("nvidia") {
        Some("ctl" | "-uvm") => true,
        Some(number) => !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()),
        None => name == "kfd",
    };
    let mut devices = named(dev, of_nvidia);
    devices.extend(named(&dev.join("dri"), |name| name.starts_with("renderD")));
    devices.sort();
    devices
}

fn one(path: &Path) -> Finding {
    let allowed = access(path, AccessFlags::R_OK | AccessFlags::W_OK).map_err(io::Error::from);
    let group = fs::metadata(path).map(|device| group_name(Gid::from_raw(device.gid())));
    judged(&shown(path), allowed, &group.unwrap_or_default(), &user_name(geteuid()))
}

/// The path without the way through the root of the subject.
fn shown(path: &Path) -> String {
    let text = path.display().to_string();
    text.find("/dev/").map_or(text.clone(), |at| text[at..].to_owned())
}

fn judged(device: &str, allowed: io::Result<()>, group: &str, user: &str) -> Finding {
    match allowed {
        Ok(()) => Finding::ok(NAME, format!("{device} can be read and written by {user}")),
        Err(error) if group == "root" || group.is_empty() => Finding::fail(
            NAME,
            format!("{device} cannot be read and written by {user}: {error}"),
            "it belongs to root alone: the driver's rules for udev, or the options of its module, give it to a group",
        ),
        Err(error) => Finding::fail(
            NAME,
            format!("{device} cannot be read and written by {user}: {error}"),
            format!(
                "usermod -aG {group} {user}, or SupplementaryGroups={group} in the unit; then start the worker anew"
            ),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::super::finding::Severity;
    use super::*;

    #[test]
    fn what_leads_to_a_gpu_is_found_by_its_name() {
        let dev = tempfile::tempdir().unwrap();
        fs::create_dir(dev.path().join("dri")).unwrap();
        for name in [
            "nvidia0",
            "nvidiactl",
            "nvidia-uvm",
            "nvidia-uvm-tools",
            "nvidia-modeset",
            "kfd",
            "null",
            "dri/card0",
            "dri/renderD128",
        ] {
            fs::write(dev.path().join(name), "").unwrap();
        }
        let found = all(dev.path());
        let names: Vec<_> = found
            .iter()
            .map(|path| path.strip_prefix(dev.path()).unwrap().to_str().unwrap())
            .collect();
        assert_eq!(names, ["dri/renderD128", "kfd", "nvidia-uvm", "nvidia0", "nvidiactl"]);
        assert_eq!(one(&found[0]).severity, Severity::Ok);
        assert_eq!(one(&dev.path().join("gone")).severity, Severity::Fail);
        assert!(all(Path::new("/nonexistent")).is_empty());
    }

    #[test]
    fn a_device_that_is_refused_names_its_group() {
        let refused = || Err(io::ErrorKind::PermissionDenied.into());
        let finding = judged("/dev/dri/renderD128", refused(), "render", "flamenco");
        assert_eq!(finding.severity, Severity::Fail);
        assert!(finding.advice.unwrap().starts_with("usermod -aG render flamenco"));
        assert!(
            judged("/dev/kfd", refused(), "root", "f")
                .advice
                .unwrap()
                .contains("udev")
        );
        assert_eq!(judged("/dev/kfd", Ok(()), "render", "f").severity, Severity::Ok);
        let subject = Subject::ourselves();
        assert_eq!(
            (none(&subject, false).severity, none(&subject, true).severity),
            (Severity::Ok, Severity::Fail)
        );
        assert_eq!(shown(Path::new("/proc/7/root/dev/kfd")), "/dev/kfd");
    }
}
