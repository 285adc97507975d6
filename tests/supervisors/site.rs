// SPDX-License-Identifier: GPL-3.0-or-later

//! A host with one supervisor on it, in a folder: the shipped files, the places they name, and what is in them.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use standin_manager::WorkerStatus;

use test_bed::{Farm, Node, Process, processes, until};
use test_needs::{missing, not_root};

/// Who runs the worker here, in place of the user `flamenco-worker`: one that every host has.
const USER: &str = "nobody";

/// The name of the service, as it is shipped.
pub(crate) const SERVICE: &str = "flamenco-worker";

/// A kind of supervisor.
pub(crate) trait Supervisor: Sized {
    /// What has to be installed.
    const PROGRAMS: &'static [&'static str];
    /// Where it has the worker's output, in the site's folder.
    fn log(service: &str) -> PathBuf;
    /// Puts the files in place for a service and starts it, with the supervisor if that does not run yet.
    fn install(&mut self, site: &Site, service: &str);
    fn new() -> Self;
    fn start(&self, site: &Site);
    /// Returns when it is down.
    fn stop(&self, site: &Site);
    fn drain(&self, site: &Site);
    fn reload(&self, site: &Site);
    /// Whether it thinks that the service is down, and wants it so.
    fn is_down(&self, site: &Site) -> bool;
    /// The supervisor itself is told to end, as at the end of a host. Returns when it has, with all its services.
    fn end(&mut self, site: &Site);
}

pub(crate) struct Site {
    pub(crate) farm: Farm,
    /// What stands in the place of the worker, if it is not the real one.
    program: PathBuf,
}

impl Site {
    /// `None`, said aloud, where a supervisor cannot be tried.
    pub(crate) fn of<S: Supervisor>() -> Option<Self> {
        if not_root() | (S::PROGRAMS.iter().filter(|program| missing(program)).count() > 0) {
            return None;
        }
        let farm = Farm::new();
        fs::set_permissions(farm.folder.path(), PermissionsExt::from_mode(0o755)).unwrap();
        let site = Self {
            farm,
            program: env!("CARGO_BIN_EXE_flamenco-worker").into(),
        };
        for place in ["lib", "log", "run", "etc"] {
            fs::create_dir(site.place(place)).unwrap();
        }
        Some(site)
    }

    /// With a program that is the worker only by its name: it says that it starts, and ends with what `code` says.
    pub(crate) fn with_exit_code(mut self, code: u8) -> Self {
        self.program = self.place("program");
        let script = format!("#!/bin/sh\necho flamenco-worker starts >&2\nexit {code}\n");
        fs::write(&self.program, script).unwrap();
        fs::set_permissions(&self.program, PermissionsExt::from_mode(0o755)).unwrap();
        self
    }

    pub(crate) fn place(&self, name: impl AsRef<Path>) -> PathBuf {
        self.farm.folder.path().join(name)
    }

    /// The worker of a service: its home, its configuration, its log, where the shipped files have them.
    pub(crate) fn node<S: Supervisor>(&self, service: &str) -> Node {
        let mut node = self.farm.node(&format!("node-{service}"));
        let home = self.place("lib").join(service);
        fs::create_dir(&home).unwrap();
        symlink(&home, node.home()).unwrap();
        symlink(self.place(S::log(service)), node.log_file()).unwrap();
        node.config.top.push(format!("manager = {:?}", node.url));
        self.configure(&node, service);
        node
    }

    /// Writes the node's configuration to where its worker finds it.
    pub(crate) fn configure(&self, node: &Node, service: &str) {
        node.write_config();
        let to = self.place("lib").join(service).join("flamenco-worker.toml");
        fs::copy(node.folder.join("flamenco-worker.toml"), to).unwrap();
        let chown = Command::new("chown")
            .arg("-R")
            .arg(USER)
            .arg(self.place("lib").join(service))
            .status();
        assert!(chown.unwrap().success());
    }

    /// Copies a shipped file or folder of `contrib`, with the places of this site in it.
    pub(crate) fn ship(&self, from: &str, to: &Path) {
        let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("contrib").join(from);
        self.copy(&from, to);
    }

    fn copy(&self, from: &Path, to: &Path) {
        if from.is_dir() {
            fs::create_dir_all(to).unwrap();
            for entry in fs::read_dir(from).unwrap().flatten() {
                self.copy(&entry.path(), &to.join(entry.file_name()));
            }
            return;
        }
        let text = fs::read_to_string(from).unwrap();
        let place = |name| self.place(name).display().to_string();
        let text = text
            .replace("/usr/bin/flamenco-worker", &self.program.display().to_string())
            .replace(
                "/usr/libexec",
                concat!(env!("CARGO_MANIFEST_DIR"), "/contrib/openrc/libexec"),
            )
            .replace("/var/lib", &place("lib"))
            .replace("/var/log", &place("log"))
            .replace("/run/", &format!("{}/", place("run")))
            .replace("user=flamenco-worker", &format!("user={USER}"))
            .replace("user:=flamenco-worker", &format!("user:={USER}"))
            .replace("-o flamenco-worker ", &format!("-o {USER} "))
            .replace("-u flamenco-worker ", &format!("-u {USER} "))
            .replace("id -u flamenco-worker", &format!("id -u {USER}"))
            .replace("id -g flamenco-worker", &format!("id -g {USER}"))
            .replace("id -G flamenco-worker", &format!("id -G {USER}"))
            .replace("setuidgid flamenco-worker ", &format!("setuidgid {USER} "));
        fs::write(to, text).unwrap();
        fs::set_permissions(to, fs::metadata(from).unwrap().permissions()).unwrap();
    }

    /// Runs a supervisor's own command; what it said.
    pub(crate) fn run(&self, command: &mut Command) -> String {
        let output = command.stdin(Stdio::null()).output().unwrap();
        let said = [output.stdout, output.stderr].concat();
        String::from_utf8_lossy(&said).into_owned()
    }

    /// Waits until so many workers are awake.
    pub(crate) fn awake(&self, workers: usize) {
        self.farm.wait(&format!("{workers} workers to be awake"), |farm| {
            let awake = farm.workers().filter(|worker| worker.status == WorkerStatus::Awake);
            (awake.count() == workers).then_some(())
        });
    }
}

/// A supervisor with one service, which runs.
pub(crate) struct Supervised<S: Supervisor> {
    pub(crate) supervisor: S,
    pub(crate) site: Site,
    pub(crate) node: Node,
}

impl<S: Supervisor> Supervised<S> {
    pub(crate) fn awake() -> Option<Self> {
        let supervised = Self::started(Site::of::<S>()?);
        supervised.site.awake(1);
        Some(supervised)
    }

    pub(crate) fn started(site: Site) -> Self {
        let mut supervisor = S::new();
        let node = site.node::<S>(SERVICE);
        supervisor.install(&site, SERVICE);
        Self { supervisor, site, node }
    }

    /// How often the worker was started so far, by what it said.
    pub(crate) fn starts(&self) -> usize {
        self.node.log().matches("flamenco-worker starts").count()
    }

    pub(crate) fn started_times(&self, times: usize) {
        let dump = || self.node.log();
        until(
            &format!("start number {times}"),
            || (self.starts() >= times).then_some(()),
            dump,
        );
    }

    pub(crate) fn is_down(&self) {
        until(
            "the service to be down",
            || self.supervisor.is_down(&self.site).then_some(()),
            || self.node.log(),
        );
    }

    /// The worker's process, by its own word.
    pub(crate) fn pid(&self) -> i32 {
        let text = fs::read_to_string(self.node.home().join("flamenco-worker.lock")).unwrap();
        text.lines()
            .find_map(|line| line.strip_prefix("pid: "))
            .unwrap()
            .parse()
            .unwrap()
    }

    pub(crate) fn kill(&self) {
        kill(Pid::from_raw(self.pid()), Signal::SIGKILL).unwrap();
    }

    /// The end of a test: the supervisor ends, and of what it has started nothing is left.
    pub(crate) fn end(&mut self) {
        self.supervisor.end(&self.site);
        // Each was given a path of the site, or has its folder below it.
        let site = self.site.place("").display().to_string();
        let left = || -> Vec<_> {
            let ours = |process: &Process| process.command.contains(&site) || process.environment.contains(&site);
            processes().into_iter().filter(ours).collect()
        };
        until(
            "every process of the site to be gone",
            || left().is_empty().then_some(()),
            || format!("{:?}", left()),
        );
        self.node.nothing_left();
    }
}

impl<S: Supervisor> Drop for Supervised<S> {
    /// Where a test has failed: below OpenRC there is no process of ours that would end with it.
    fn drop(&mut self) {
        self.supervisor.end(&self.site);
    }
}

/// A supervisor's process, which ends with the test.
pub(crate) struct Root {
    child: Child,
    /// What tells it to end, and its services before.
    signal: Signal,
}

impl Root {
    pub(crate) fn start(command: &mut Command, signal: Signal) -> Self {
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Self { child, signal }
    }
}

impl Drop for Root {
    fn drop(&mut self) {
        if self.child.try_wait().unwrap().is_none() {
            kill(Pid::from_raw(i32::try_from(self.child.id()).unwrap()), self.signal).unwrap();
        }
        until(
            "the supervisor to be gone",
            || self.child.try_wait().unwrap(),
            String::new,
        );
    }
}
