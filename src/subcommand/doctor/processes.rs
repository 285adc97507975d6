// SPDX-License-Identifier: GPL-3.0-or-later

//! What helps to find and end every process of a task: control groups, and a `/proc` that hides none.

use std::path::Path;

use super::finding::Finding;
use super::service::ServiceManager;
use super::subject::Subject;
use crate::mounts;
use crate::process::Delegation;

/// Whether a control group is delegated to it.
pub(super) fn cgroup(subject: &Subject) -> Finding {
    let service_manager = ServiceManager::of(&subject.file("cgroup").unwrap_or_default());
    judged(
        subject,
        Delegation::of(subject.pid(), subject.mark()).as_ref(),
        &service_manager,
    )
}

fn judged(subject: &Subject, found: Option<&Delegation>, service_manager: &ServiceManager) -> Finding {
    const NAME: &str = "cgroup";
    const WITHOUT: &str = "all processes of a task are found and ended without it too";
    match (found, service_manager) {
        (
            Some(Delegation {
                group,
                can_kill: true,
                counts_memory: true,
            }),
            _,
        ) => Finding::ok(
            NAME,
            format!(
                "{subject} has the control group {} to itself, with memory counted",
                group.display()
            ),
        ),
        (Some(Delegation { group, can_kill, .. }), _) => Finding::warn(
            NAME,
            format!(
                "{subject} has the control group {} to itself, but {}",
                group.display(),
                if *can_kill {
                    "memory is not counted in it"
                } else {
                    "it cannot be killed as a whole"
                }
            ),
            if *can_kill {
                "enable the memory controller for it (Delegate=yes without a list of controllers); until then peak \
                 memory is that of the largest process"
            } else {
                "that needs Linux 5.14; until then programs that fork while they are ended take a little longer"
            },
        ),
        (None, ServiceManager::Service(unit) | ServiceManager::UserService(unit)) => Finding::warn(
            NAME,
            format!("the control group of {unit} is not delegated to {subject}"),
            format!(
                "set Delegate=yes in {unit}; {WITHOUT}, but who becomes another user may not be, and memory is not counted"
            ),
        ),
        (None, ServiceManager::Session(_) | ServiceManager::Other) => {
            Finding::ok(NAME, format!("no control group is delegated to {subject}; {WITHOUT}"))
        }
    }
}

/// Whether it sees every process.
pub(super) fn proc(subject: &Subject) -> Finding {
    const NAME: &str = "proc";
    match hides(&subject.file("mountinfo").unwrap_or_default()) {
        None => Finding::ok(NAME, format!("{subject} sees every process in /proc")),
        Some(how) => Finding::warn(
            NAME,
            format!("/proc hides other users' processes from {subject} (hidepid={how})"),
            "a program of a task that becomes another user cannot be found: mount /proc with gid= of the worker's group, \
             or take ProtectProc= out of the unit",
        ),
    }
}

/// The value of `hidepid`, where it hides anything. Of several mounts the last is on top.
fn hides(mounts: &str) -> Option<String> {
    let mut mounts = mounts::parse(mounts.as_bytes()).into_iter().rev();
    let proc = mounts.find(|mount| mount.at == Path::new("/proc") && mount.kind == "proc")?;
    let value = proc
        .options
        .split(',')
        .find_map(|option| option.strip_prefix("hidepid="))?;
    (!matches!(value, "0" | "off")).then(|| value.to_owned())
}

#[cfg(test)]
mod tests {
    use super::super::finding::Severity;
    use super::*;

    #[test]
    fn a_proc_that_hides_is_known_by_its_mount() {
        let mount = |options: &str| format!("22 27 0:21 / /proc rw,nosuid shared:12 - proc proc {options}\n");
        assert_eq!(hides(&mount("rw")), None);
        assert_eq!(hides(&mount("rw,hidepid=off")), None);
        assert_eq!(
            hides(&mount("rw,gid=5,hidepid=invisible")),
            Some("invisible".to_owned())
        );
        assert_eq!(hides(&(mount("rw") + &mount("rw,hidepid=2"))), Some("2".to_owned()));
        assert_eq!(hides(&(mount("rw,hidepid=2") + &mount("rw"))), None);
        assert_eq!(hides("22 27 0:21 / /box/proc rw - proc proc rw,hidepid=2\n"), None);
    }

    #[test]
    fn a_unit_without_delegation_is_warned_of_and_a_shell_is_not() {
        let subject = Subject::ourselves();
        let whole = Delegation {
            group: "/sys/fs/cgroup/x".into(),
            can_kill: true,
            counts_memory: true,
        };
        let unit = ServiceManager::Service("flamenco-worker.service".into());
        let severity = |found: Option<&Delegation>, service_manager: &ServiceManager| {
            judged(&subject, found, service_manager).severity
        };
        assert_eq!(severity(Some(&whole), &unit), Severity::Ok);
        assert_eq!(severity(None, &unit), Severity::Warn);
        assert_eq!(severity(None, &ServiceManager::Other), Severity::Ok);
        for (can_kill, counts_memory) in [(false, true), (true, false)] {
            let part = Delegation {
                can_kill,
                counts_memory,
                ..whole.clone()
            };
            assert_eq!(severity(Some(&part), &unit), Severity::Warn);
        }
    }
}
