// SPDX-License-Identifier: GPL-3.0-or-later

#![expect(unsafe_code, reason = "what a hostile process would call has no safe wrapper")]

use std::fs::File;
use std::io::{Read, Seek, Write};
use std::process::Command;
use std::sync::mpsc::channel;
use std::thread;

use nix::errno::Errno;
use nix::unistd::getppid;

use super::*;

/// Names the file that the test's other process has open.
const ROLE: &str = "FLAMENCO_TEST_OPEN_FILES_ONLY";

/// A call, and up to six arguments.
type Call = (&'static str, i64, [i64; 6]);

/// All that somebody would try who has taken over the process. Most arguments make no sense: where a call is not refused
/// before they are looked at, another error tells.
fn attempts() -> Vec<Call> {
    let here = i64::from(libc::AT_FDCWD);
    let parent = i64::from(getppid().as_raw());
    let path = c"/proc/self/status".as_ptr() as i64;
    let with = |first: i64, second: i64, third: i64| [first, second, third, 0, 0, 0];
    vec![
        ("open", libc::SYS_openat, with(here, path, 0)),
        ("openat2", libc::SYS_openat2, with(here, path, 0)),
        ("stat", libc::SYS_newfstatat, with(here, path, 0)),
        ("statx", libc::SYS_statx, with(here, path, 0)),
        ("readlink", libc::SYS_readlinkat, with(here, path, 0)),
        ("mkdir", libc::SYS_mkdirat, with(here, path, 0)),
        ("unlink", libc::SYS_unlinkat, with(here, path, 0)),
        ("rename", libc::SYS_renameat2, with(here, path, here)),
        ("link", libc::SYS_linkat, with(here, path, here)),
        ("symlink", libc::SYS_symlinkat, with(path, here, path)),
        ("mknod", libc::SYS_mknodat, with(here, path, 0)),
        ("chmod", libc::SYS_fchmodat, with(here, path, 0)),
        ("chown", libc::SYS_fchownat, with(here, path, 0)),
        ("truncate", libc::SYS_truncate, with(path, 0, 0)),
        ("chdir", libc::SYS_chdir, with(path, 0, 0)),
        ("dup", libc::SYS_dup, with(1, 0, 0)),
        ("pipe", libc::SYS_pipe2, with(path, 0, 0)),
        ("memfd", libc::SYS_memfd_create, with(path, 0, 0)),
        ("eventfd", libc::SYS_eventfd2, with(0, 0, 0)),
        ("inotify", libc::SYS_inotify_init1, with(0, 0, 0)),
        ("socket", libc::SYS_socket, with(2, 1, 0)),
        ("socket of this machine", libc::SYS_socket, with(1, 1, 0)),
        ("socketpair", libc::SYS_socketpair, with(1, 1, 0)),
        ("sendmsg", libc::SYS_sendmsg, with(1, 0, 0)),
        ("ioctl", libc::SYS_ioctl, with(1, 0x5412, path)),
        ("io_uring", libc::SYS_io_uring_setup, with(1, 0, 0)),
        ("clone", libc::SYS_clone, with(i64::from(libc::SIGCHLD), 0, 0)),
        ("clone3", libc::SYS_clone3, with(0, 0, 0)),
        ("execve", libc::SYS_execve, with(path, 0, 0)),
        ("kill", libc::SYS_kill, with(parent, 0, 0)),
        ("kill all", libc::SYS_kill, with(-1, 0, 0)),
        ("tgkill", libc::SYS_tgkill, with(parent, parent, 0)),
        ("pidfd", libc::SYS_pidfd_open, with(parent, 0, 0)),
        ("ptrace", libc::SYS_ptrace, with(16, parent, 0)),
        ("read a process", libc::SYS_process_vm_readv, with(parent, 0, 0)),
        ("write a process", libc::SYS_process_vm_writev, with(parent, 0, 0)),
        ("limit a process", libc::SYS_prlimit64, with(parent, 0, 0)),
        ("raise a limit", libc::SYS_prlimit64, with(0, 7, 0)),
        ("slow a process", libc::SYS_setpriority, with(0, parent, 19)),
        ("shared memory", libc::SYS_shmget, with(0, 4096, 0o1600)),
        ("message queue", libc::SYS_msgget, with(0, 0o1600, 0)),
        ("mount", libc::SYS_mount, with(path, path, path)),
        ("unshare", libc::SYS_unshare, with(0x1000_0000, 0, 0)),
        ("setns", libc::SYS_setns, with(1, 0, 0)),
        ("key", libc::SYS_add_key, with(path, path, path)),
        ("bpf", libc::SYS_bpf, with(0, 0, 0)),
        ("perf", libc::SYS_perf_event_open, with(0, 0, -1)),
        ("personality", libc::SYS_personality, with(0x0004_0000, 0, 0)),
        ("prctl", libc::SYS_prctl, with(4, 1, 0)),
        ("setuid", libc::SYS_setuid, with(0, 0, 0)),
        ("signals of a descriptor", libc::SYS_fcntl, with(1, 8, parent)),
        ("another descriptor", libc::SYS_fcntl, with(1, 0, 0)),
        ("code", libc::SYS_mmap, [0, 4096, 7, 0x22, -1, 0]),
        ("code of data", libc::SYS_mprotect, with(path & !4095, 4096, 5)),
    ]
}

fn try_everything() {
    for (name, call, [a, b, c, d, e, f]) in attempts() {
        // SAFETY: each is refused, or has arguments of which nothing comes.
        let answer = unsafe { libc::syscall(call, a, b, c, d, e, f) };
        if answer != -1 || Errno::last() != Errno::EPERM {
            println!("{name}: {answer}, {}", Errno::last());
        }
    }
}

/// Plays the process that was taken over, and never returns.
#[expect(clippy::exit, reason = "the runner of tests is confined as well, and could not end")]
fn taken_over(path: &str) -> ! {
    let mut file = File::options().read(true).write(true).open(path).unwrap();
    let (go, goes) = channel::<()>();
    let helper = confine_to_open_files(|confine| {
        let (tell, told) = channel();
        let helper = thread::spawn(move || {
            tell.send(confine()).unwrap();
            goes.recv().unwrap();
            try_everything();
        });
        told.recv().unwrap()?;
        Ok(helper)
    });
    try_everything();
    go.send(()).unwrap();
    helper.unwrap().join().unwrap();
    let mut text = String::new();
    file.read_to_string(&mut text).unwrap();
    // Memory can still be had.
    let large = vec![text.as_bytes()[0]; 64 << 20];
    file.rewind().unwrap();
    file.write_all(&large[..3]).unwrap();
    println!("over");
    std::process::exit(0);
}

#[test]
fn n34_who_takes_over_a_process_that_reads_pictures_has_nothing_but_what_is_open() {
    if let Ok(path) = std::env::var(ROLE) {
        taken_over(&path);
    }
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "open").unwrap();
    let name = "sandbox::open_files_only::tests::n34_who_takes_over_a_process_that_reads_pictures_has_nothing_but_what_is_open";
    #[expect(clippy::disallowed_methods, reason = "this test is a process of its own")]
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", name, "--nocapture", "--test-threads=1"])
        .env(ROLE, file.path());
    let output = command.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let said: Vec<_> = text.lines().skip_while(|line| !line.starts_with("test ")).collect();
    assert!(text.ends_with("over\n") && output.status.success(), "{output:?}");
    let said: Vec<_> = said.iter().filter(|line| line.contains(": ")).collect();
    assert!(said.is_empty(), "{said:?}");
    assert_eq!(std::fs::read_to_string(file.path()).unwrap(), "ooon");
}
