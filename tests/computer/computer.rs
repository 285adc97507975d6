// SPDX-License-Identifier: GPL-3.0-or-later

//! A computer of the test's own: Debian's kernel in QEMU, this machine's files as its root, a disk that outlives it.
//!
//! ```text
//! this machine ── / (read, what is written there is lost) ──► computer ── /dev/vda ──► disk: /disk, kept
//!  Farm :port ◄── 10.0.2.2:port ── worker                      │
//!  test ── a line of bash ──► serial console ── what it said ──► test
//! ```
//!
//! The processor is emulated: everything takes some five times as long. What it is for is what cannot be had
//! otherwise: power cuts, real suspends, clocks to set, a memory controller, file systems that hang.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

use tempfile::TempDir;

use crate::place::Place;
use test_bed::until;
use test_needs::missing;

/// All that can be emulated but an instruction that QEMU 7.2 was seen to lose flags in, whereupon Linux 6.12 fell over itself.
const CPU: &str = "max,cx16=off";
const PROGRAMS: [&str; 4] = ["qemu-system-x86_64", "busybox", "/sbin/mkfs.ext4", "bash"];

/// How long a start, or one line of bash, may take. Never waited out.
const PATIENCE: Duration = Duration::from_secs(120);

/// The size of the disk, in bytes; what is not used takes no space here.
const DISK: u64 = 512 << 20;

const WORKER: &str = env!("CARGO_BIN_EXE_flamenco-worker");

/// What can be switched on again and again.
pub(crate) struct Computer {
    /// Its folder, and what it is told when it starts.
    kernel: (PathBuf, &'static str),
    /// The first files it has in memory, and its disk.
    folder: TempDir,
    running: Option<Running>,
    /// It may be on; given back last.
    _place: Place,
}

/// Whose files a computer has.
#[derive(Clone, Copy)]
pub(crate) enum Files {
    /// Those of this machine, over a door that does not survive a suspend.
    Ours,
    /// The same, and its first process is systemd.
    Systemd,
    /// The worker, what it loads, and BusyBox.
    Alone,
}

/// A kernel of Debian's.
#[derive(Clone, Copy, Default)]
pub(crate) struct Kernel {
    /// That of another suite, for computers that have files of their own. Otherwise this machine's.
    pub(crate) suite: Option<&'static str>,
    /// Words of its command line.
    pub(crate) options: &'static str,
}

struct Running {
    qemu: Child,
    console: ChildStdin,
    said: Receiver<String>,
    /// So many lines of bash were typed.
    typed: usize,
    seen: String,
}

impl Computer {
    /// Switched off, its disk formatted and empty. `None`, and said, where there cannot be one.
    pub(crate) fn new(files: Files) -> Option<Self> {
        Self::with(Kernel::default(), files)
    }

    /// The same, with this kernel.
    pub(crate) fn with(kernel: Kernel, files: Files) -> Option<Self> {
        if PROGRAMS.iter().filter(|program| missing(program)).count() > 0 {
            return None;
        }
        let name = kernel
            .suite
            .map_or("kernel".to_owned(), |suite| format!("kernel-{suite}"));
        let place = Path::new(env!("CARGO_TARGET_TMPDIR")).join(&name);
        if !place.join("vmlinuz").exists() {
            let suite = kernel.suite.unwrap_or_default();
            test_needs::skipped_with_remedy(
                &format!("there is no {name} for it"),
                &format!("tests/computer/kernel target/tmp/{name} {suite}"),
            );
            return None;
        }
        let folder = tempfile::Builder::new().prefix("computer-").tempdir().unwrap();
        let disk = folder.path().join("disk");
        File::create(&disk).unwrap().set_len(DISK).unwrap();
        let formatted = Command::new("/sbin/mkfs.ext4").arg("-q").arg(&disk).status();
        assert!(formatted.unwrap().success());
        let computer = Self {
            kernel: (place, kernel.options),
            folder,
            running: None,
            _place: Place::take(),
        };
        computer.first_files(files);
        Some(computer)
    }

    /// The file system in memory from which a kernel takes its first program.
    fn first_files(&self, files: Files) {
        let root = self.folder.path().join("first");
        fs::create_dir_all(root.join("bin")).unwrap();
        fs::create_dir_all(root.join("modules")).unwrap();
        fs::copy("/bin/busybox", root.join("bin/busybox")).unwrap();
        fs::copy("tests/computer/init", root.join("init")).unwrap();
        for entry in fs::read_dir(&self.kernel.0).unwrap().flatten() {
            if entry.path().extension().is_some_and(|kind| kind == "ko") {
                fs::copy(entry.path(), root.join("modules").join(entry.file_name())).unwrap();
            }
        }
        match files {
            Files::Ours => {}
            Files::Systemd => fs::write(root.join("systemd"), "").unwrap(),
            Files::Alone => alone(&root),
        }
        let packed = Command::new("sh")
            .args(["-c", "find . | busybox cpio -o -H newc > ../first.cpio 2> /dev/null"])
            .current_dir(&root)
            .status();
        assert!(packed.unwrap().success());
    }

    /// Switches it on, and waits until it takes commands.
    pub(crate) fn start(&mut self) {
        assert!(self.running.is_none());
        let disk = self.folder.path().join("disk");
        let mut qemu = Command::new("qemu-system-x86_64")
            .args(["-machine", "q35", "-accel", "tcg", "-cpu", CPU, "-m", "2048"])
            .args(["-display", "none", "-serial", "stdio", "-no-reboot"])
            .args([
                "-netdev",
                "user,id=net",
                "-device",
                "virtio-net-pci,netdev=net,romfile=",
            ])
            .args([
                "-virtfs",
                "local,path=/,mount_tag=host,security_model=none,readonly=on,multidevs=remap",
            ])
            .arg("-drive")
            .arg(format!("file={},format=raw,if=virtio", disk.display()))
            .arg("-kernel")
            .arg(self.kernel.0.join("vmlinuz"))
            .arg("-initrd")
            .arg(self.folder.path().join("first.cpio"))
            .arg("-append")
            .arg(format!(
                "console=ttyS0 quiet panic=-1 mitigations=off {}",
                self.kernel.1
            ))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap();
        let output = BufReader::new(qemu.stdout.take().unwrap());
        let (tell, said) = channel();
        thread::spawn(move || {
            let lines = output.split(b'\n').map_while(Result::ok);
            // Read on also when nobody listens: it must not block.
            lines.for_each(|line| drop(tell.send(String::from_utf8_lossy(&line).trim_end_matches('\r').to_owned())));
        });
        let running = self.running.insert(Running {
            console: qemu.stdin.take().unwrap(),
            qemu,
            said,
            typed: 0,
            seen: String::new(),
        });
        running.answer("start");
        // As if it were installed.
        self.run(&format!(
            "export PATH=$PATH:{}; cd /disk",
            Path::new(WORKER).parent().unwrap().display()
        ));
    }

    /// Has a line of bash done, and returns what it said. Fails with it.
    pub(crate) fn run(&mut self, line: &str) -> String {
        let (code, said) = self.running().run(line);
        assert_eq!(code, "0", "{line}:\n{said}\n{}", self.running().seen);
        said
    }

    /// Begins a line of bash, which says nothing before it is over: see [`Computer::over`].
    pub(crate) fn begin(&mut self, line: &str) {
        self.running().begin(line);
    }

    /// Waits for what was begun.
    pub(crate) fn over(&mut self) {
        let (code, said) = self.running().answer("what was begun");
        assert_eq!(code, "0", "{said}");
    }

    /// The same, for its answer: whether it succeeds.
    pub(crate) fn does(&mut self, line: &str) -> bool {
        self.running().run(line).0 == "0"
    }

    /// Has it switched itself off, and waits until it is.
    pub(crate) fn power_off(&mut self) {
        self.running().begin("systemctl poweroff");
        let mut running = self.running.take().expect("it is on");
        // The console closes with the power.
        while let Ok(text) = running.said.recv_timeout(PATIENCE) {
            running.seen.push_str(&text);
        }
        let off = until(
            "the computer to be off",
            || running.qemu.try_wait().unwrap(),
            || running.seen.clone(),
        );
        assert!(off.success(), "{}", running.seen);
    }

    /// Cuts the power: what is not on the disk by now never was.
    pub(crate) fn cut_power(&mut self) {
        let mut running = self.running.take().expect("it is on");
        running.qemu.kill().unwrap();
        running.qemu.wait().unwrap();
    }

    fn running(&mut self) -> &mut Running {
        self.running.as_mut().expect("it is on")
    }
}

/// Adds the worker and the libraries it loads.
fn alone(root: &Path) {
    let worker = root.join("bin/flamenco-worker");
    let stripped = Command::new("strip")
        .args(["-o".as_ref(), worker.as_os_str()])
        .arg(WORKER)
        .status();
    assert!(stripped.unwrap().success());
    let listed = Command::new("ldd").arg(WORKER).output().unwrap();
    for library in String::from_utf8(listed.stdout)
        .unwrap()
        .split_whitespace()
        .filter(|word| word.starts_with('/'))
    {
        let place = root.join(library.trim_start_matches('/'));
        fs::create_dir_all(place.parent().unwrap()).unwrap();
        fs::copy(library, place).unwrap();
    }
    fs::write(root.join("alone"), "").unwrap();
}

impl Drop for Computer {
    fn drop(&mut self) {
        if let Some(mut running) = self.running.take() {
            running.qemu.kill().ok();
            running.qemu.wait().ok();
        }
    }
}

impl Running {
    /// The exit code of a line of bash, and what it said.
    fn run(&mut self, line: &str) -> (String, String) {
        self.begin(line);
        self.answer(line)
    }

    fn begin(&mut self, line: &str) {
        self.typed += 1;
        // In two halves, so that an echo of the line is not taken for its end.
        writeln!(self.console, "{line}; echo \"==\"{}==$?", self.typed).unwrap();
    }

    fn answer(&mut self, line: &str) -> (String, String) {
        let end = format!("=={}==", self.typed);
        let mut said = String::new();
        loop {
            match self.said.recv_timeout(PATIENCE) {
                Ok(text) => {
                    writeln!(self.seen, "{text}").ok();
                    if let Some((before, code)) = text.split_once(&end) {
                        said.push_str(before);
                        return (code.to_owned(), said);
                    }
                    writeln!(said, "{text}").ok();
                }
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                    panic!("the computer does not answer to {line:?}; it said\n{}", self.seen)
                }
            }
        }
    }
}
