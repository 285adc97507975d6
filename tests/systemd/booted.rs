// SPDX-License-Identifier: GPL-3.0-or-later

//! A machine that was booted: a real systemd, in a box that is gone with the value.
//!
//! ```text
//! Machine ── box.sh ── namespaces: systemd (1) ── journald, units, the worker ...
//!  ├─ run: a command in there      ├─ path: its files, from here
//!  └─ farm: a Manager that only this machine reaches, held by the test
//! ```

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use nix::sched::{CloneFlags, setns};
use standin_manager::Options;
use tempfile::TempDir;
use test_needs::not_root;

use test_bed::{Farm, until};
use test_needs::missing;

const PROGRAMS: [&str; 6] = [
    "bash",
    "unshare",
    "nsenter",
    "ip",
    "dbus-daemon",
    "/lib/systemd/systemd",
];

/// Where the boot is said, below the machine's folder.
const LOG: &str = "boot.log";

/// A booted machine. Boxes may be beside each other: nothing of them is global.
pub(crate) struct Machine {
    /// Its process 1, as it is seen from outside.
    init: i32,
    keeper: Child,
    folder: TempDir,
}

/// What a command said.
#[derive(Debug)]
pub(crate) struct Said {
    /// Minus one for one that was killed.
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Machine {
    /// A machine whose start is over, with none of this one's own services. `None`: not possible here, and said so.
    pub(crate) fn boot() -> Option<Self> {
        if not_root() | (PROGRAMS.iter().filter(|program| missing(program)).count() > 0) {
            return None;
        }
        let folder = tempfile::Builder::new().prefix("box-").tempdir().unwrap();
        let log = folder.path().join(LOG);
        let place = folder.path().join("machine");
        fs::create_dir(&place).unwrap();
        let mut keeper = Command::new("bash")
            .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/systemd/box.sh"))
            .arg(place)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(File::create(&log).unwrap())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(keeper.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        let Ok(init) = line.trim().parse() else {
            let said = fs::read_to_string(&log).unwrap_or_default();
            test_needs::skipped_with_remedy(
                &format!("no machine in a box here: {}", said.lines().last().unwrap_or_default()),
                "run the tests where namespaces, overlays and control groups of version 2 may be made",
            );
            keeper.wait().unwrap();
            return None;
        };
        let machine = Self { init, keeper, folder };
        machine.until("the machine to be up", |machine| {
            let state = machine.run(&["systemctl", "is-system-running"]);
            ["running", "degraded"].contains(&state.out.trim()).then_some(())
        });
        // Until here it would be of no use if the boot failed.
        machine.ok(&["systemctl", "log-target", "journal"]);
        Some(machine)
    }

    /// Runs a command on the machine, as root, in its root directory.
    pub(crate) fn run(&self, words: &[&str]) -> Said {
        let enter = ["-m", "-p", "-u", "-i", "-n", "-C", "-r", "-w", "--"];
        let output = Command::new("nsenter")
            .arg("-t")
            .arg(self.init.to_string())
            .args(enter)
            .args(words)
            .env_clear()
            .envs([("PATH", "/usr/sbin:/usr/bin:/sbin:/bin"), ("LC_ALL", "C.UTF-8")])
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Said {
            code: output.status.code().unwrap_or(-1),
            out: text(&output.stdout),
            err: text(&output.stderr),
        }
    }

    /// The same for what must succeed; what it printed, without the spaces around it.
    pub(crate) fn ok(&self, words: &[&str]) -> String {
        let said = self.run(words);
        assert_eq!(said.code, 0, "{words:?}: {said:?}");
        said.out.trim().to_owned()
    }

    /// A file of the machine, as it is reached from here. Not through an absolute link: that leads into this machine.
    pub(crate) fn path(&self, path: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/root{path}", self.init))
    }

    /// Writes a file, and the folders above it.
    pub(crate) fn write(&self, path: &str, text: &str) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// Copies a file of this machine there, with its mode.
    pub(crate) fn copy(&self, from: impl AsRef<Path>, to: &str) {
        let to = self.path(to);
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::copy(from, to).unwrap();
    }

    /// A folder that everybody may write to, as the shared storage of a farm often is.
    pub(crate) fn shared(&self, path: &str) {
        let path = self.path(path);
        fs::create_dir_all(&path).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o1777)).unwrap();
    }

    /// A Manager that only this machine reaches: on its loopback, at the farm's `manager.url()`.
    pub(crate) fn farm(&self, options: Options) -> Farm {
        let network = File::open(format!("/proc/{}/ns/net", self.init)).unwrap();
        // The network is the thread's and of the threads it starts; the sockets keep it.
        let start = move || {
            setns(network, CloneFlags::CLONE_NEWNET).unwrap();
            Farm::with(options)
        };
        std::thread::spawn(start).join().unwrap()
    }

    /// A property of a unit, as `systemctl show` has it.
    pub(crate) fn property(&self, unit: &str, name: &str) -> String {
        self.ok(&["systemctl", "show", "--value", "--property", name, unit])
    }

    /// Waits until a property of a unit has this value.
    pub(crate) fn becomes(&self, unit: &str, name: &str, value: &str) {
        self.until(&format!("{name} of {unit} to be {value}"), |machine| {
            (machine.property(unit, name) == value).then_some(())
        });
    }

    /// What the journal has of a unit.
    pub(crate) fn journal(&self, unit: &str) -> String {
        self.ok(&["journalctl", "--no-pager", "--output=cat", "--unit", unit])
    }

    /// Waits for a fact.
    pub(crate) fn until<T>(&self, what: &str, mut fact: impl FnMut(&Self) -> Option<T>) -> T {
        until(what, || fact(self), String::new)
    }

    /// What happened, for a failure's sake.
    fn story(&self) -> String {
        let boot = fs::read_to_string(self.folder.path().join(LOG)).unwrap_or_default();
        let journal = self.run(&["journalctl", "--no-pager", "--output=short-monotonic", "--lines=200"]);
        format!("--- boot\n{boot}--- journal\n{}{}", journal.out, journal.err)
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        if std::thread::panicking() {
            std::io::stderr().write_all(self.story().as_bytes()).ok();
        }
        // The end of its input is what it waits for.
        drop(self.keeper.stdin.take());
        self.keeper.wait().ok();
    }
}
