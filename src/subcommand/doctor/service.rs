// SPDX-License-Identifier: GPL-3.0-or-later

//! What keeps the worker running, and which privileges it leaves to it.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use nix::unistd::geteuid;

use super::finding::Finding;
use super::subject::Subject;
use crate::home::user_name;

/// What started a process and ends it, as its control group tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum ServiceManager {
    /// A unit of the system.
    Service(String),
    /// A unit of a user.
    UserService(String),
    /// A login: no unit.
    Session(String),
    /// No systemd, or none that can be seen.
    Other,
}

impl ServiceManager {
    /// From `/proc/PID/cgroup`.
    pub(super) fn of(groups: &str) -> Self {
        let path = groups
            .lines()
            .filter_map(|line| {
                line.strip_prefix("0::")
                    .or_else(|| line.split_once(":name=systemd:").map(|(_, path)| path))
            })
            // Of two hierarchies systemd uses one.
            .find(|path| *path != "/")
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

/// Whether it is run so that it comes back, and is not ended with a login.
pub(super) fn service(subject: &Subject) -> Finding {
    const NAME: &str = "service";
    if !subject.is_worker() {
        return Finding::ok(
            NAME,
            "no worker runs in this home; what its unit gives it can be seen when one does",
        );
    }
    let service_manager = ServiceManager::of(&subject.file("cgroup").unwrap_or_default());
    let notifies = subject.variable("NOTIFY_SOCKET").is_some();
    let watched = subject.variable("WATCHDOG_USEC").is_some();
    let user = user_name(geteuid());
    let lingers = Path::new("/var/lib/systemd/linger").join(&user).exists();
    kept(
        subject,
        &service_manager,
        &ServiceSetup {
            is_seen: subject.is_open(),
            notifies,
            watched,
            lingers,
            user,
        },
    )
}

/// How the unit and its user are set up.
struct ServiceSetup {
    /// The next two are known.
    is_seen: bool,
    /// It can tell systemd how it is.
    notifies: bool,
    /// It has a watchdog.
    watched: bool,
    /// The user's units go on when the user logs out.
    lingers: bool,
    /// The user that the worker runs as.
    user: String,
}

fn kept(subject: &Subject, service_manager: &ServiceManager, setup: &ServiceSetup) -> Finding {
    const NAME: &str = "service";
    match service_manager {
        ServiceManager::UserService(unit) if !setup.lingers => Finding::warn(
            NAME,
            format!("{subject} runs as {unit}, which ends when {} logs out", setup.user),
            format!("loginctl enable-linger {}", setup.user),
        ),
        ServiceManager::Service(unit) | ServiceManager::UserService(unit) if !setup.is_seen => Finding::ok(
            NAME,
            format!("{subject} runs as {unit}; only root sees whether it is watched"),
        ),
        ServiceManager::Service(unit) | ServiceManager::UserService(unit) if !setup.notifies => Finding::warn(
            NAME,
            format!("{subject} runs as {unit}, and does not tell systemd how it is"),
            format!("set Type=notify and WatchdogSec= in {unit}, as the unit that comes with it does"),
        ),
        ServiceManager::Service(unit) | ServiceManager::UserService(unit) => {
            let watched = if setup.watched { ", watched" } else { ", not watched" };
            Finding::ok(NAME, format!("{subject} runs as {unit}{watched}"))
        }
        ServiceManager::Session(scope) => Finding::warn(
            NAME,
            format!("{subject} runs in a login ({scope}): nobody starts it again, and it may end with that login"),
            "run it as a service (packaging/systemd)",
        ),
        ServiceManager::Other => Finding::ok(NAME, format!("{subject} is not run by systemd")),
    }
}

/// What the driver of NVIDIA needs. A setuid tool of it makes the devices that CUDA wants when it is first asked.
#[derive(Debug, Clone, Copy)]
struct Nvidia {
    /// The driver is loaded.
    driver: bool,
    /// The device that CUDA wants is there.
    uvm: bool,
    /// What keeps programs of tasks from gaining privileges, so that the tool cannot make it.
    no_new_privileges: Option<&'static str>,
    /// The tool is there, and setuid.
    setuid_tool: bool,
}

/// Whether what is missing for a GPU can still be made, where tasks are in a sandbox or not.
pub(super) fn privileges(subject: &Subject, is_sandboxed: bool) -> Finding {
    let status = subject.file("status").unwrap_or_default();
    let flag = status.lines().find_map(|line| line.strip_prefix("NoNewPrivs:"));
    let tool = ["/usr/bin/nvidia-modprobe", "/usr/sbin/nvidia-modprobe"]
        .iter()
        .filter_map(|path| fs::metadata(subject.sees(path)).ok())
        .any(|tool| tool.mode() & 0o4000 != 0 && tool.uid() == 0);
    let here = Nvidia {
        driver: Path::new("/proc/driver/nvidia/version").exists(),
        uvm: subject.sees("/dev/nvidia-uvm").exists(),
        no_new_privileges: match flag.is_some_and(|flag| flag.trim() == "1") {
            true => Some("NoNewPrivileges"),
            false => is_sandboxed.then_some("[sandbox]"),
        },
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
            no_new_privileges: Some(why),
            ..
        } => Finding::fail(
            NAME,
            format!(
                "/dev/nvidia-uvm is missing, and tasks of {subject} gain no privileges ({why}): CUDA and OptiX do not work"
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
            no_new_privileges: Some(why),
            ..
        } => Finding::ok(
            NAME,
            format!("tasks of {subject} gain no privileges ({why}); nothing here needs any"),
        ),
        Nvidia {
            no_new_privileges: None,
            ..
        } => Finding::ok(NAME, format!("setuid programs work for {subject}")),
    }
}

#[cfg(test)]
mod tests {
    use super::super::finding::Severity;
    use super::*;

    #[test]
    fn who_keeps_a_process_is_read_from_its_control_group() {
        let unit = |name: &str| name.to_owned();
        for (groups, service_manager) in [
            (
                "0::/system.slice/flamenco-worker.service\n",
                ServiceManager::Service(unit("flamenco-worker.service")),
            ),
            (
                "0::/system.slice/fw.service/flamenco-1-2.worker\n",
                ServiceManager::Service(unit("fw.service")),
            ),
            (
                "0::/user.slice/user-1000.slice/user@1000.service/app.slice/fw.service\n",
                ServiceManager::UserService(unit("fw.service")),
            ),
            (
                "0::/user.slice/user-1000.slice/user@1000.service/app.slice/vte-spawn-1.scope\n",
                ServiceManager::Session(unit("vte-spawn-1.scope")),
            ),
            (
                "0::/user.slice/user-0.slice/session-3.scope\n",
                ServiceManager::Session(unit("session-3.scope")),
            ),
            (
                "4:memory:/x\n1:name=systemd:/system.slice/a.service\n",
                ServiceManager::Service(unit("a.service")),
            ),
            (
                "9:name=systemd:/\n0::/system.slice/a.service\n",
                ServiceManager::Service(unit("a.service")),
            ),
            ("0::/\n", ServiceManager::Other),
            ("", ServiceManager::Other),
        ] {
            assert_eq!(ServiceManager::of(groups), service_manager, "{groups}");
        }
    }

    #[test]
    fn a_service_that_can_end_unseen_is_warned_of() {
        let subject = Subject::worker(7, Path::new("/"));
        let severity = |service_manager: &ServiceManager, notifies, lingers| {
            let setup = ServiceSetup {
                is_seen: true,
                notifies,
                watched: true,
                lingers,
                user: "r".into(),
            };
            kept(&subject, service_manager, &setup).severity
        };
        let (of_system, of_user) = (
            ServiceManager::Service("a".into()),
            ServiceManager::UserService("a".into()),
        );
        assert_eq!(severity(&of_system, true, false), Severity::Ok);
        assert_eq!(severity(&of_system, false, false), Severity::Warn);
        assert_eq!(severity(&of_user, true, true), Severity::Ok);
        assert_eq!(severity(&of_user, true, false), Severity::Warn);
        assert_eq!(
            severity(&ServiceManager::Session("s".into()), true, true),
            Severity::Warn
        );
        assert_eq!(severity(&ServiceManager::Other, false, false), Severity::Ok);
    }

    #[test]
    fn a_missing_uvm_fails_where_nobody_can_make_it() {
        let subject = Subject::ourselves();
        let severity = |driver, uvm, no_new_privileges: bool, setuid_tool| {
            let here = Nvidia {
                driver,
                uvm,
                no_new_privileges: no_new_privileges.then_some("NoNewPrivileges"),
                setuid_tool,
            };
            allowed(&subject, here).severity
        };
        assert_eq!(severity(true, false, true, true), Severity::Fail);
        assert_eq!(severity(true, false, false, false), Severity::Fail);
        assert_eq!(severity(true, false, false, true), Severity::Ok);
        assert_eq!(severity(true, true, true, false), Severity::Ok);
        assert_eq!(severity(false, false, true, false), Severity::Ok);
    }
}
