// SPDX-License-Identifier: GPL-3.0-or-later

//! The home: who owns it, whether a worker can live in it, and which one does.

use std::fs::{self, File, Metadata};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use nix::errno::Errno;
use nix::libc;
use nix::sys::statfs::{self, Statfs};
use nix::unistd::{AccessFlags, Uid, access, geteuid};

use super::CheckContext;
use super::finding::{Finding, run_checks};
use crate::home::{LockHolder, describe_owner, open_to_others, user_name};
use crate::spool::Limits;

pub(super) async fn check(context: &CheckContext) -> Vec<Finding> {
    let Some(home) = context.home.clone() else {
        return vec![];
    };
    let place = format!("the home {}", home.display());
    run_checks("home", &place, move || {
        let mut found = vec![user(&home), worker(&home)];
        found.extend(folder(&home));
        found
    })
    .await
}

/// Whether this user is the one to ask.
fn user(home: &Path) -> Finding {
    const NAME: &str = "user";
    let we = geteuid();
    let owner = fs::metadata(home).ok().map(|home| Uid::from_raw(home.uid()));
    match owner {
        Some(owner) if owner != we => Finding::warn(
            NAME,
            format!(
                "this is user {}, and the home belongs to user {}",
                user_name(we),
                user_name(owner)
            ),
            format!(
                "ask as that user, who may be allowed more or less: sudo -u {} FLAMENCO_HOME={} flamenco-worker doctor",
                user_name(owner),
                home.display()
            ),
        ),
        _ if we.is_root() => Finding::warn(
            NAME,
            "this is root: what a task runs could do anything here",
            "give the worker a user of its own",
        ),
        Some(_) | None => Finding::ok(NAME, format!("{} (uid {we})", user_name(we))),
    }
}

/// Which worker holds the home, as the file of the lock says. The lock itself is left alone.
fn worker(home: &Path) -> Finding {
    const NAME: &str = "worker";
    if access(home, AccessFlags::X_OK) == Err(Errno::EACCES) {
        let seen = "whether one runs here cannot be seen: the home is closed to this user";
        return Finding::warn(NAME, seen, "ask as the user of the worker");
    }
    let Some(holder) = LockHolder::of(home) else {
        return Finding::ok(NAME, "none has used this home yet");
    };
    let LockHolder {
        pid,
        host,
        started,
        version,
        ..
    } = &holder;
    if !holder.is_here() {
        return Finding::warn(
            NAME,
            format!("a worker on {host} (pid {pid} there) has used this home, last since {started}"),
            "each node needs a home of its own, on a disk of its own: set FLAMENCO_HOME, unless this node was renamed",
        );
    }
    if !holder.is_alive() {
        return Finding::ok(
            NAME,
            format!("none runs here; the last one was pid {pid}, since {started}"),
        );
    }
    if !holder.holds_lock(home) {
        return Finding::warn(
            NAME,
            format!("pid {pid} may be the worker of this home, and cannot be looked into"),
            "ask as its own user, or in its own container",
        );
    }
    Finding::ok(NAME, format!("pid {pid} runs here since {started}, version {version}"))
}

fn folder(home: &Path) -> Vec<Finding> {
    const NAME: &str = "home";
    let found = match fs::metadata(home) {
        Ok(found) => found,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return vec![not_there_yet(home)],
        Err(error) => {
            let seen = format!("{} cannot be looked at: {error}", home.display());
            return vec![Finding::fail(NAME, seen, "give it to the user of the worker")];
        }
    };
    if !found.is_dir() {
        let seen = format!("{} is not a directory", home.display());
        return vec![Finding::fail(NAME, seen, "move it away, or set FLAMENCO_HOME")];
    }
    let mut findings = vec![usable(home, &found)];
    if let Ok(disk) = statfs::statfs(home) {
        findings.extend([local(home, &disk), space(home, &disk)]);
    }
    findings
}

fn not_there_yet(home: &Path) -> Finding {
    let above = home.ancestors().skip(1).find(|path| path.exists()).unwrap_or(home);
    match try_out(above) {
        Ok(()) => Finding::ok(
            "home",
            format!("{} is not there yet; the first start makes it", home.display()),
        ),
        Err(error) => Finding::fail(
            "home",
            format!("{} is not there and cannot be made: {error}", home.display()),
            format!(
                "make it for the user of the worker, or set FLAMENCO_HOME ({})",
                describe_owner(above)
            ),
        ),
    }
}

fn usable(home: &Path, found: &Metadata) -> Finding {
    const NAME: &str = "home";
    let path = home.display();
    match try_out(home) {
        Err(error) => Finding::fail(NAME, format!("{path}: {error}"), error.advice(home)),
        Ok(()) => match open_to_others(found) {
            Some(how) => Finding::warn(
                NAME,
                format!("{path} can be changed by others ({how})"),
                format!("chmod go-w {path}: who can replace the credentials can be this worker"),
            ),
            None => Finding::ok(NAME, format!("{path} can be written to and locked")),
        },
    }
}

/// What cannot be done in a home, and must.
#[derive(Debug, thiserror::Error)]
enum HomeDefect {
    #[error("no file can be made in it: {0}")]
    Make(#[source] io::Error),
    #[error("nothing can be written in it: {0}")]
    Write(#[source] io::Error),
    #[error("no file in it can be locked: {0}")]
    Lock(#[source] fs::TryLockError),
}

impl HomeDefect {
    fn advice(&self, home: &Path) -> String {
        match self {
            Self::Make(error) if error.kind() == io::ErrorKind::ReadOnlyFilesystem => {
                "its file system is mounted read-only: look at the kernel's log (dmesg), or set FLAMENCO_HOME"
                    .to_owned()
            }
            Self::Make(_) => format!(
                "give it to the user of the worker, or set FLAMENCO_HOME ({})",
                describe_owner(home)
            ),
            Self::Write(_) => "make room: without it results cannot be kept until the Manager has them".to_owned(),
            Self::Lock(_) => "set FLAMENCO_HOME to a directory on a local disk".to_owned(),
        }
    }
}

/// Makes, writes and locks a file. It has no name where that is possible, so that no other program sees it.
fn try_out(folder: &Path) -> Result<(), HomeDefect> {
    let unnamed = File::options()
        .read(true)
        .write(true)
        .mode(0o600)
        .custom_flags(libc::O_TMPFILE)
        .open(folder);
    let mut file = match unnamed {
        Ok(file) => file,
        Err(error)
            if matches!(
                error.raw_os_error(),
                Some(libc::EOPNOTSUPP | libc::EISDIR | libc::EINVAL)
            ) =>
        {
            named(folder).map_err(HomeDefect::Make)?
        }
        Err(error) => return Err(HomeDefect::Make(error)),
    };
    file.write_all(&[b'x'; 4096]).map_err(HomeDefect::Write)?;
    file.try_lock().map_err(HomeDefect::Lock)
}

/// A file with a name, for file systems without unnamed ones (NFS, many of FUSE). It is unlinked at once.
fn named(folder: &Path) -> io::Result<File> {
    let lot = getrandom::u64().map_err(|error| io::Error::other(error.to_string()))?;
    let path = folder.join(format!(".flamenco-worker-{lot:016x}"));
    let file = File::options()
        .read(true)
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&path)?;
    fs::remove_file(&path)?;
    Ok(file)
}

/// File systems whose server is elsewhere, or a program; statfs(2) has the numbers.
const DISTANT: [(libc::c_long, &str); 6] = [
    (libc::NFS_SUPER_MAGIC, "NFS"),
    (0xff53_4d42, "CIFS"),
    (0xfe53_4d42, "SMB"),
    (0x6573_5546, "FUSE"),
    (0x00c3_6400, "Ceph"),
    (0x0102_1997, "9P"),
];

fn local(home: &Path, disk: &Statfs) -> Finding {
    match distant(disk.filesystem_type().0) {
        None => Finding::ok("home.disk", "the home is on a file system of this host"),
        Some(kind) => Finding::warn(
            "home.disk",
            format!("the home {} is on {kind}", home.display()),
            "set FLAMENCO_HOME to a directory on a local disk: a hung server would hang the worker's own files, and two \
             nodes must never share a home",
        ),
    }
}

fn distant(magic: libc::c_long) -> Option<&'static str> {
    DISTANT.iter().find(|(known, _)| *known == magic).map(|(_, kind)| *kind)
}

fn space(home: &Path, disk: &Statfs) -> Finding {
    let block = u64::try_from(disk.block_size()).unwrap_or_default();
    let free = disk.blocks_available().saturating_mul(block);
    room(home, free, &Limits::default())
}

fn room(home: &Path, free: u64, limits: &Limits) -> Finding {
    const NAME: &str = "home.space";
    let mib = |bytes: u64| bytes >> 20;
    let seen = format!("{} MiB are free in {}", mib(free), home.display());
    let full = limits.free_bytes + limits.waiting_bytes;
    if free < limits.free_bytes {
        let advice = format!("make room: below {} MiB no task is begun", mib(limits.free_bytes));
        return Finding::fail(NAME, seen, advice);
    }
    if free < full {
        let advice = format!(
            "while the Manager is away up to {} MiB of logs are kept here; what does not fit is lost, and counted",
            mib(limits.waiting_bytes)
        );
        return Finding::warn(NAME, seen, advice);
    }
    Finding::ok(NAME, seen)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::super::finding::Severity;
    use super::*;

    #[test]
    fn a_distant_disk_is_warned_of_by_its_name() {
        assert_eq!(distant(libc::NFS_SUPER_MAGIC), Some("NFS"));
        assert_eq!(distant(libc::TMPFS_MAGIC), None);
        let here = statfs::statfs("/proc").unwrap();
        assert_eq!(local(Path::new("/proc"), &here).severity, Severity::Ok);
    }

    #[test]
    fn a_disk_without_room_for_a_task_fails_and_without_room_for_logs_is_warned_of() {
        let severity = |mib: u64| room(Path::new("/h"), mib << 20, &Limits::default()).severity;
        assert_eq!(
            [severity(63), severity(64), severity(1087)],
            [Severity::Fail, Severity::Warn, Severity::Warn]
        );
        assert_eq!(severity(1088), Severity::Ok);
    }

    #[test]
    fn a_home_is_tried_out_without_a_trace() {
        let home = tempfile::tempdir().unwrap();
        let severity = |mode: u32| {
            fs::set_permissions(home.path(), fs::Permissions::from_mode(mode)).unwrap();
            usable(home.path(), &fs::metadata(home.path()).unwrap()).severity
        };
        assert_eq!(
            [severity(0o755), severity(0o777), severity(0o700)],
            [Severity::Ok, Severity::Warn, Severity::Ok]
        );
        named(home.path()).unwrap().try_lock().unwrap();
        assert_eq!(fs::read_dir(home.path()).unwrap().count(), 0);
        assert!(matches!(try_out(Path::new("/proc")), Err(HomeDefect::Make(_))));
        let file = home.path().join("file");
        fs::write(&file, "").unwrap();
        assert_eq!(folder(&file)[0].severity, Severity::Fail);
    }

    #[test]
    fn who_holds_the_home_is_told_by_where_and_whether_it_lives() {
        let home = tempfile::tempdir().unwrap();
        assert_eq!(worker(home.path()).severity, Severity::Ok);
        let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
        let held_by = |host: &str, boot: &str| {
            let text = format!("pid: 1\nhost: {host}\nboot: {}\nstarted: s\nversion: v\n", boot.trim());
            fs::write(home.path().join("flamenco-worker.lock"), text).unwrap();
            worker(home.path())
        };
        let here = crate::config::hostname();
        assert!(
            held_by("no.such.host", &boot)
                .seen
                .starts_with("a worker on no.such.host (pid 1 there)")
        );
        assert_eq!(held_by("no.such.host", &boot).severity, Severity::Warn);
        assert_eq!(held_by(&here, "an earlier one").severity, Severity::Ok);
        // Process 1 is alive, and no worker.
        assert!(held_by(&here, &boot).seen.contains("cannot be looked into"));
    }
}
