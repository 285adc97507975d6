// SPDX-License-Identifier: GPL-3.0-or-later

//! Whether the kernel killed for want of memory: it says so in counters only.
//!
//! The nearest counter that can be read is asked: `oom_kill` of the program's cgroup, of our own, or of the
//! groups above it (v2 `memory.events`, v1 `memory.oom_control`), which count kills of both kinds, the
//! cgroup's limit and the machine's. Where there is no such file it is the machine's, in `/proc/vmstat`
//! (since Linux 4.13). It is a best effort: a program that moved to a cgroup of its own (snap, flatpak) is not
//! seen by the first kinds.

use std::fs;
use std::path::Path;

use crate::process::cgroup::Cgroup;

/// A counter of such kills, with its value at the start.
#[derive(Debug)]
pub(super) struct OomCounter {
    file: String,
    before: u64,
}

impl OomCounter {
    /// Reads the counter. Returns `None` on a kernel that counts nowhere.
    pub(super) fn start(cgroup: Option<&Cgroup>) -> Option<Self> {
        let cgroups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        let programs = cgroup.map(|cgroup| cgroup.memory_events().display().to_string());
        programs.into_iter().chain(files(&cgroups)).find_map(|file| {
            let before = count(&fs::read_to_string(&file).ok()?)?;
            Some(Self { file, before })
        })
    }

    /// Whether the counter has moved since the start.
    pub(super) fn has_moved(&self) -> bool {
        let now = fs::read_to_string(&self.file).ok().as_deref().and_then(count);
        now.is_some_and(|now| now > self.before)
    }
}

/// The files to look at, the nearest first, for a process with this `/proc/self/cgroup` (cgroups(7)).
fn files(cgroups: &str) -> Vec<String> {
    let mut files = Vec::new();
    for line in cgroups.lines() {
        let mut fields = line.splitn(3, ':').skip(1);
        match (fields.next(), fields.next()) {
            // A group whose parent passes no memory controller down has no such file.
            (Some(""), Some(path)) => files.extend(
                Path::new(path)
                    .ancestors()
                    .map(|group| format!("/sys/fs/cgroup{}/memory.events", group.display())),
            ),
            (Some(controllers), Some(path)) if controllers.split(',').any(|name| name == "memory") => {
                files.push(format!("/sys/fs/cgroup/memory{path}/memory.oom_control"));
            }
            _ => {}
        }
    }
    files.push("/proc/vmstat".to_owned());
    files
}

fn count(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix("oom_kill "))?;
    line.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn f3_our_own_cgroup_is_asked_before_the_machine() {
        assert_eq!(
            files("0::/system.slice/flamenco-worker.service\n"),
            [
                "/sys/fs/cgroup/system.slice/flamenco-worker.service/memory.events",
                "/sys/fs/cgroup/system.slice/memory.events",
                "/sys/fs/cgroup//memory.events",
                "/proc/vmstat"
            ]
        );
        assert_eq!(
            files("9:name=systemd:/a:b\n4:cpu,memory:/render\n0::/\n"),
            [
                "/sys/fs/cgroup/memory/render/memory.oom_control",
                "/sys/fs/cgroup//memory.events",
                "/proc/vmstat"
            ]
        );
    }

    #[test]
    fn f3_the_counter_is_found_among_its_neighbours() {
        assert_eq!(count("low 0\nhigh 3\noom 2\noom_kill 7\noom_group_kill 1\n"), Some(7));
        assert_eq!(count("oom_kill_disable 0\nunder_oom 0\noom_kill 2\n"), Some(2));
        assert_eq!(count("oom_kill_disable 0\nunder_oom 0\n"), None);
    }
}
