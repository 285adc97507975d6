// SPDX-License-Identifier: GPL-3.0-or-later

//! The resource limits that programs of a task inherit.

use std::fs;
use std::num::NonZero;
use std::thread;

use super::finding::Finding;
use super::subject::Subject;

/// The number of open files that a shell and a unit allow by default. Scenes with many libraries and textures can live
/// with it.
const FILES: u64 = 1024;

/// Room for a desktop of other processes, beside the threads that Blender makes for each core.
const PROCESSES: u64 = 512;
const THREADS_PER_CORE: u64 = 8;

pub(super) fn check(subject: &Subject) -> Vec<Finding> {
    let table = match subject.file("limits") {
        Ok(table) => table,
        Err(error) => {
            let seen = format!("the limits of {subject} cannot be seen: {error}");
            return vec![Finding::warn("limits", seen, "ask as the user of the worker")];
        }
    };
    let cores = thread::available_parallelism().map_or(1, NonZero::get) as u64;
    let pattern = fs::read_to_string("/proc/sys/kernel/core_pattern").unwrap_or_default();
    [
        soft(&table, "Max open files").map(|limit| files(subject, limit)),
        soft(&table, "Max processes").map(|limit| processes(subject, limit, cores)),
        soft(&table, "Max core file size").map(|limit| core(subject, limit, &pattern)),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// The soft limit with this name; `u64::MAX` where there is none.
fn soft(table: &str, name: &str) -> Option<u64> {
    let line = table.lines().find_map(|line| line.strip_prefix(name))?;
    match line.split_whitespace().next()? {
        "unlimited" => Some(u64::MAX),
        number => number.parse().ok(),
    }
}

fn shown(limit: u64) -> String {
    match limit {
        u64::MAX => "any number of".to_owned(),
        limit => limit.to_string(),
    }
}

fn files(subject: &Subject, limit: u64) -> Finding {
    let seen = format!("{subject} may have {} files open", shown(limit));
    if limit >= FILES {
        return Finding::ok("limits.files", seen);
    }
    Finding::warn(
        "limits.files",
        seen,
        "raise it: LimitNOFILE= in the unit, `ulimit -n` in a shell; a scene with many textures opens more",
    )
}

fn processes(subject: &Subject, limit: u64, cores: u64) -> Finding {
    let seen = format!("{subject} may have {} processes and threads", shown(limit));
    let least = PROCESSES + THREADS_PER_CORE * cores;
    if limit >= least {
        return Finding::ok("limits.processes", seen);
    }
    Finding::warn(
        "limits.processes",
        seen,
        format!(
            "raise it to {least} at least: LimitNPROC= in the unit, `ulimit -u` in a shell; Blender starts some threads \
             for each of the {cores} cores"
        ),
    )
}

fn core(subject: &Subject, limit: u64, pattern: &str) -> Finding {
    const NAME: &str = "limits.core";
    if limit == 0 {
        return Finding::ok(
            NAME,
            format!("programs of {subject} leave no core file when they crash"),
        );
    }
    if pattern.starts_with('|') {
        return Finding::ok(
            NAME,
            format!("when programs of {subject} crash, the core goes to the host's collector"),
        );
    }
    Finding::warn(
        NAME,
        format!("programs of {subject} that crash leave a core file, as large as their memory, where they ran"),
        "set LimitCORE=0 in the unit, `ulimit -c 0` in a shell, unless you want to look at them",
    )
}

#[cfg(test)]
mod tests {
    use super::super::finding::Severity;
    use super::*;

    const TABLE: &str = "\
Limit                     Soft Limit           Hard Limit           Units     
Max core file size        0                    unlimited            bytes     
Max processes             unlimited            unlimited            processes 
Max open files            1023                 524288               files     
";

    #[test]
    fn what_holds_now_is_read_from_the_table() {
        assert_eq!(soft(TABLE, "Max open files"), Some(1023));
        assert_eq!(soft(TABLE, "Max processes"), Some(u64::MAX));
        assert_eq!(soft(TABLE, "Max core file size"), Some(0));
        assert_eq!(soft(TABLE, "Max locked memory"), None);
    }

    #[test]
    fn too_few_files_and_threads_and_large_cores_are_warned_of() {
        let subject = Subject::ourselves();
        assert_eq!(files(&subject, 1023).severity, Severity::Warn);
        assert_eq!(files(&subject, 1024).severity, Severity::Ok);
        assert_eq!(processes(&subject, 1000, 128).severity, Severity::Warn);
        assert_eq!(processes(&subject, 1000, 16).severity, Severity::Ok);
        assert_eq!(core(&subject, 0, "core").severity, Severity::Ok);
        assert_eq!(
            core(&subject, u64::MAX, "|/lib/systemd/systemd-coredump").severity,
            Severity::Ok
        );
        assert_eq!(core(&subject, u64::MAX, "core").severity, Severity::Warn);
        assert_eq!(check(&subject).len(), 3);
    }
}
