// SPDX-License-Identifier: GPL-3.0-or-later

//! Who keeps the worker alive, and what it lets it do.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use nix::unistd::{User, geteuid};

use super::finding::Finding;
use super::subject::Subject;

/// By whom a process was started, as its control group tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Keeper {
    /// A unit of the system's.
    Service(String),
    /// A unit of a user's own.
    UserService(String),
    /// A login.
    Session(String),
    /// No systemd, or none that can be seen.
    Other,
}

impl Keeper {
    /// From `/proc/PID/cgroup`.
    pub(super) fn of(groups: &str) -> Self {
        let path = groups
            .lines()
            .find_map(|line| {
                line.strip_prefix("0::")
                    .or_else(|| line.split_once(":name=systemd:").map(|(_, path)| path))
            })
            .unwrap_or_default();
        let parts: Vec<_> = path.split('/').collect();
        let last = |end: &str| {
            parts
                .iter()
                .rev()
                .find(|part| part.ends_with(end))
                .map(|part| (*part).to_owned())
        };
        let of_user = parts.iter().any(|part| part.starts_with("user@"));
        match (last(".service"), last(".scope")) {
            // The manager of a user's units itself: a terminal of a desktop, in a scope below it.
            (Some(unit), _) if of_user && !unit.starts_with("user@") => Self::UserService(unit),
            (_, Some(scope)) => Self::Session(scope),
            (Some(unit), None) if !of_user => Self::Service(unit),
            (Some(_) | None, None) => Self::Other,
        }
    }
}

pub(super) fn service(subject: &Subject) -> Finding {
    const NAME: &str = "service";
    if !subject.is_worker() {
        return Finding::ok(
            NAME,
            "no worker runs in this home; what its unit gives it can be seen when one does",
        );
    }
    let keeper = Keeper::of(&subject.file("cgroup").unwrap_or_default());
    let notifies = subject.variable("NOTIFY_SOCKET").is_some();
    let watched = subject.variable("WATCHDOG_USEC").is_some();
    let user = User::from_uid(geteuid())
        .ok()
        .flatten()
        .map(|user| user.name)
        .unwrap_or_default();
    let lingers = Path::new("/var/lib/systemd/linger").join(&user).exists();
    kept(
        subject,
        &keeper,
        &Means {
            notifies,
            watched,
            lingers,
            user,
        },
    )
}

/// What the service manager was told.
struct Means {
    notifies: bool,
    watched: bool,
    lingers: bool,
    user: String,
}

fn kept(subject: &Subject, keeper: &Keeper, means: &Means) -> Finding {
    const NAME: &str = "service";
    match keeper {
        Keeper::UserService(unit) if !means.lingers => Finding::warn(
            NAME,
            format!("{subject} runs as {unit}, which ends when {} logs out", means.user),
            format!("loginctl enable-linger {}", means.user),
        ),
        Keeper::Service(unit) | Keeper::UserService(unit) if !means.notifies => Finding::warn(
            NAME,
            format!("{subject} runs as {unit}, and does not tell systemd how it is"),
            format!("set Type=notify and WatchdogSec= in {unit}, as the unit that comes with it does"),
        ),
        Keeper::Service(unit) | Keeper::UserService(unit) => {
            let watched = if means.watched { ", watched" } else { ", not watched" };
            Finding::ok(NAME, format!("{subject} runs as {unit}{watched}"))
        }
        Keeper::Session(scope) => Finding::warn(
            NAME,
            format!("{subject} runs in a login ({scope}): nobody starts it again, and it may end with that login"),
            "run it as a service (packaging/systemd)",
        ),
        Keeper::Other => Finding::ok(NAME, format!("{subject} is not run by systemd")),
    }
}

/// What the driver of NVIDIA needs: its tool makes the devices that CUDA wants, as root, when first asked.
#[derive(Debug, Clone, Copy)]
struct Nvidia {
    driver: bool,
    uvm: bool,
    no_new_privileges: bool,
    setuid_tool: bool,
}

pub(super) fn privileges(subject: &Subject) -> Finding {
    let status = subject.file("status").unwrap_or_default();
    let flag = status.lines().find_map(|line| line.strip_prefix("NoNewPrivs:"));
    let tool = ["/usr/bin/nvidia-modprobe", "/usr/sbin/nvidia-modprobe"]
        .iter()
        .filter_map(|path| fs::metadata(subject.sees(path)).ok())
        .any(|tool| tool.mode() & 0o4000 != 0 && tool.uid() == 0);
    let here = Nvidia {
        driver: Path::new("/proc/driver/nvidia/version").exists(),
        uvm: subject.sees("/dev/nvidia-uvm").exists(),
        no_new_privileges: flag.is_some_and(|flag| flag.trim() == "1"),
        setuid_tool: tool,
    };
    allowed(subject, here)
}

fn allowed(subject: &Subject, here: Nvidia) -> Finding {
    const NAME: &str = "privileges";
    const MAKE: &str = "have /dev/nvidia-uvm made when the host starts: `nvidia-modprobe -u -c=0` in a unit before the worker's, \
                        or nvidia-persistenced";
    match here {
        Nvidia {
            driver: true,
            uvm: false,
            no_new_privileges: true,
            ..
        } => Finding::fail(
            NAME,
            format!(
                "/dev/nvidia-uvm is missing, and {subject} may gain no privileges (NoNewPrivileges): CUDA and OptiX do not work"
            ),
            MAKE,
        ),
        Nvidia {
            driver: true,
            uvm: false,
            setuid_tool: false,
            ..
        } => Finding::fail(
            NAME,
            "/dev/nvidia-uvm is missing, and there is no setuid nvidia-modprobe that could make it: CUDA and OptiX do not work",
            MAKE,
        ),
        Nvidia {
            no_new_privileges: true,
            ..
        } => Finding::ok(
            NAME,
            format!("{subject} may gain no privileges (NoNewPrivileges); nothing here needs any"),
        ),
        Nvidia {
            no_new_privileges: false,
            ..
        } => Finding::ok(NAME, format!("setuid programs work for {subject}")),
    }
}

#[cfg(test)]
mod tests {
    use super::super::finding::Verdict;
    use super::*;

    #[test]
    fn who_keeps_a_process_is_read_from_its_control_group() {
        let unit = |name: &str| name.to_owned();
        for (groups, keeper) in [
            (
                "0::/system.slice/flamenco-worker.service\n",
                Keeper::Service(unit("flamenco-worker.service")),
            ),
            (
                "0::/system.slice/fw.service/flamenco-1-2.worker\n",
                Keeper::Service(unit("fw.service")),
            ),
            (
                "0::/user.slice/user-1000.slice/user@1000.service/app.slice/fw.service\n",
                Keeper::UserService(unit("fw.service")),
            ),
            (
                "0::/user.slice/user-1000.slice/user@1000.service/app.slice/vte-spawn-1.scope\n",
                Keeper::Session(unit("vte-spawn-1.scope")),
            ),
            (
                "0::/user.slice/user-0.slice/session-3.scope\n",
                Keeper::Session(unit("session-3.scope")),
            ),
            (
                "4:memory:/x\n1:name=systemd:/system.slice/a.service\n",
                Keeper::Service(unit("a.service")),
            ),
            ("0::/\n", Keeper::Other),
            ("", Keeper::Other),
        ] {
            assert_eq!(Keeper::of(groups), keeper, "{groups}");
        }
    }

    #[test]
    fn a_service_that_can_end_unseen_is_warned_of() {
        let subject = Subject::worker(7, Path::new("/"));
        let verdict = |keeper: &Keeper, notifies, lingers| {
            let means = Means {
                notifies,
                watched: true,
                lingers,
                user: "r".into(),
            };
            kept(&subject, keeper, &means).verdict
        };
        let (of_system, of_user) = (Keeper::Service("a".into()), Keeper::UserService("a".into()));
        assert_eq!(verdict(&of_system, true, false), Verdict::Ok);
        assert_eq!(verdict(&of_system, false, false), Verdict::Warn);
        assert_eq!(verdict(&of_user, true, true), Verdict::Ok);
        assert_eq!(verdict(&of_user, true, false), Verdict::Warn);
        assert_eq!(verdict(&Keeper::Session("s".into()), true, true), Verdict::Warn);
        assert_eq!(verdict(&Keeper::Other, false, false), Verdict::Ok);
    }

    #[test]
    fn a_missing_uvm_fails_where_nobody_can_make_it() {
        let subject = Subject::ourselves();
        let verdict = |driver, uvm, no_new_privileges, setuid_tool| {
            let here = Nvidia {
                driver,
                uvm,
                no_new_privileges,
                setuid_tool,
            };
            allowed(&subject, here).verdict
        };
        assert_eq!(verdict(true, false, true, true), Verdict::Fail);
        assert_eq!(verdict(true, false, false, false), Verdict::Fail);
        assert_eq!(verdict(true, false, false, true), Verdict::Ok);
        assert_eq!(verdict(true, true, true, false), Verdict::Ok);
        assert_eq!(verdict(false, false, true, false), Verdict::Ok);
    }
}
