// SPDX-License-Identifier: GPL-3.0-or-later

//! What tests of life and death need of a machine: other users, control groups, and a hand on system calls.
//! Each says aloud when a machine does not have it.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::Read as _;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use standin_manager::{Endpoint, TaskStatus};
use test_needs::{missing, not_root};

use crate::farm::Farm;
use crate::machine::{file, lives, until};
use crate::node::Node;

/// Cancels a task as a person does it on the page, and waits until the worker asks for the next one.
pub fn cancel(farm: &Farm, task: &str) {
    farm.manager.set_task_status(task, TaskStatus::Canceled).unwrap();
    let fetches = farm.requests(Endpoint::FetchTask).len();
    farm.asked(Endpoint::FetchTask, fetches + 1);
}

/// A farm and a node whose programs get `grace` after the polite signal.
pub fn farm_with_grace(grace: &'static str) -> (Farm, Node) {
    let farm = Farm::new();
    let mut node = farm.node("node");
    node.set("grace", grace);
    node.start();
    farm.awake();
    (farm, node)
}

/// Waits for a file with a number.
pub fn number(path: &Path) -> i32 {
    file(path).trim().parse().unwrap()
}

/// Waits until a node's log says this.
pub fn logged(node: &Node, text: &str) {
    until(
        &format!("the worker to say {text:?}"),
        || node.log().contains(text).then_some(()),
        || node.log(),
    );
}

/// Waits until a process is gone or a zombie.
pub fn dies(pid: i32, node: &Node) {
    until(
        &format!("{pid} to be gone"),
        || (!lives(pid)).then_some(()),
        || node.log(),
    );
}

/// A number that no other test of this process has.
fn fresh() -> u32 {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    NUMBER.fetch_add(1, Ordering::Relaxed)
}

/// Starts a node's worker through a wrapper that executes it, such as `prlimit`.
pub fn start_through(node: &mut Node, wrapper: impl IntoIterator<Item = impl Into<OsString>>) {
    let worker = node.command().get_program().to_owned();
    let words: Vec<_> = wrapper.into_iter().map(Into::into).chain([worker]).collect();
    start_as(node, &words);
}

/// Starts a node's worker by these words and its own arguments.
pub fn start_as(node: &mut Node, words: &[OsString]) {
    let command = node.command();
    let mut outer = Command::new(&words[0]);
    outer
        .args(&words[1..])
        .args(command.get_args())
        .current_dir(&node.folder);
    outer.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    node.start_with(&mut outer);
}

/// Lets time pass, where that is what is tested.
pub fn pass(time: Duration) {
    std::thread::sleep(time);
}

/// Kills so many processes as if at once: none of them sees another's end.
pub fn kill_together(pids: &[i32]) {
    for signal in [Signal::SIGSTOP, Signal::SIGKILL] {
        for pid in pids {
            kill(Pid::from_raw(*pid), signal).ok();
        }
    }
}

/// A user that nobody else is: the node's folder is theirs from now on. Only root can do it, and has to have `setpriv`.
pub fn own_user(farm: &Farm, node: &Node) -> Option<u32> {
    if not_root() | missing("setpriv") {
        return None;
    }
    let user = 60_000 + std::process::id() % 400 * 10 + fresh();
    fs::set_permissions(farm.folder.path(), PermissionsExt::from_mode(0o755)).unwrap();
    chown(&node.folder, Some(user), Some(user)).unwrap();
    Some(user)
}

/// The wrapper that makes a process another user's, with further `setpriv` options.
pub fn as_user(user: u32) -> Vec<String> {
    let ids = [format!("--reuid={user}"), format!("--regid={user}")];
    [
        vec!["setpriv".to_owned()],
        ids.into(),
        vec!["--clear-groups".to_owned()],
    ]
    .concat()
}

/// Puts a program of root's into the node's folder that anybody may start, and returns the words with which a task becomes
/// root altogether by it. `kill` still reaches one that is only on its way.
pub fn becoming_root(node: &Node) -> &'static str {
    let turn = node.folder.join("become-root");
    fs::copy("/usr/bin/setpriv", &turn).unwrap();
    fs::set_permissions(&turn, PermissionsExt::from_mode(0o4755)).unwrap();
    "./become-root --reuid=0 --regid=0 --clear-groups"
}

/// What it takes to make one.
const CONTROL_GROUP: &str = "run the tests as root, where control groups of version 2 are mounted";

/// A control group of this test's own.
pub struct Group(pub PathBuf);

impl Group {
    /// Below the first of these folders that is there and can be written.
    pub fn make(below: &[&str], has: &str) -> Option<Self> {
        let number = fresh();
        let name = format!("flamenco-test-{}-{number}", std::process::id());
        for folder in below {
            let path = Path::new(folder).join(&name);
            if fs::create_dir(&path).is_ok() {
                let group = Self(path);
                // One that is not of the right kind goes with its name.
                if group.0.join(has).exists() {
                    return Some(group);
                }
            }
        }
        test_needs::skipped_with_remedy(
            &format!("no control group with {has} can be made in {}", below.join(", ")),
            CONTROL_GROUP,
        );
        None
    }

    /// Of version 2.
    pub fn unified() -> Option<Self> {
        Self::make(&["/sys/fs/cgroup", "/sys/fs/cgroup/unified"], "cgroup.kill")
    }

    pub fn set(&self, file: &str, value: &str) {
        fs::write(self.0.join(file), value).unwrap_or_else(|error| panic!("{}/{file}: {error}", self.0.display()));
    }

    pub fn read(&self, file: &str) -> String {
        fs::read_to_string(self.0.join(file)).unwrap()
    }

    /// Starts the node's worker as a member.
    pub fn start(&self, node: &mut Node) {
        let script = format!(
            "echo $$ > {}; exec \"$0\" \"$@\"",
            self.0.join("cgroup.procs").display()
        );
        start_through(node, ["bash", "-c", &script]);
    }

    /// The groups below.
    pub fn below(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.0).unwrap().flatten();
        entries
            .filter(|entry| entry.path().is_dir())
            .map(|entry| entry.file_name().to_string_lossy().into_owned())
            .collect()
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // Empty by now, unless the test has failed.
        if self.0.join("freezer.state").exists() {
            self.set("freezer.state", "THAWED");
        }
        for below in self.below() {
            fs::remove_dir(self.0.join(below)).ok();
        }
        fs::remove_dir(&self.0).ok();
    }
}

/// A tracer on a worker and all it starts, that interferes with system calls: ours die, or are refused something, at an
/// exact step, and the program that is tested knows nothing of it.
pub struct Strace {
    process: Child,
    output: PathBuf,
}

impl Strace {
    /// `None` where it cannot be had. `inject` as `strace` takes it, e.g. `setsid:signal=KILL:when=1`. It is in force
    /// when this returns, in each thread. With `follow` what the process starts is traced too.
    pub fn attach(node: &Node, pid: i32, inject: &str, follow: bool) -> Option<Self> {
        Self::attach_with(&[], node, pid, inject, follow)
    }

    /// The same in the threads of a process, for calls on this file alone, also by its descriptor.
    pub fn attach_for(file: &Path, node: &Node, pid: i32, inject: &str) -> Option<Self> {
        Self::attach_with(&["-P".as_ref(), file.as_os_str()], node, pid, inject, false)
    }

    fn attach_with(words: &[&OsStr], node: &Node, pid: i32, inject: &str, follow: bool) -> Option<Self> {
        if missing("strace") {
            return None;
        }
        loop {
            let said = match Self::begin(words, node, pid, inject, follow) {
                Ok(strace) => return Some(strace),
                Err(said) => said,
            };
            // A thread that was listed has ended since.
            if said.contains("No such process") && lives(pid) {
                continue;
            }
            test_needs::skipped_with_remedy(
                "processes cannot be traced here",
                "have ptrace allowed (kernel.yama.ptrace_scope, seccomp)",
            );
            return None;
        }
    }

    /// # Errors
    /// What it said when it could not be attached.
    fn begin(words: &[&OsStr], node: &Node, pid: i32, inject: &str, follow: bool) -> Result<Self, String> {
        let number = fresh();
        let output = node.folder.join(format!("strace-{number}"));
        let said = node.folder.join(format!("strace-{number}-said"));
        let calls = inject.split(':').next().unwrap_or_default();
        let mut command = Command::new("strace");
        command
            .args(follow.then_some("-f"))
            .args(words)
            .arg("-o")
            .arg(&output)
            .arg(format!("--trace={calls}"))
            .arg(format!("--inject={inject}"));
        let traced = if follow { vec![pid] } else { threads(pid) };
        for thread in &traced {
            command.args(["-p".to_owned(), thread.to_string()]);
        }
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(&said).unwrap());
        let mut strace = Self {
            process: command.spawn().unwrap(),
            output,
        };
        let attached = || {
            let gone = strace.process.try_wait().unwrap().is_some();
            let text = fs::read_to_string(&said).unwrap_or_default();
            let count = text.matches("attached").count();
            // It goes with a process that dies of the very first call.
            let was_attached = count >= traced.len() || (gone && count > 0 && !lives(pid));
            (gone || was_attached).then_some(if was_attached { Ok(()) } else { Err(text) })
        };
        until("strace to be attached", attached, String::new).map(|()| strace)
    }

    /// Stops the guard of the next task at one of its first steps, and lets go of everybody. `None` where it cannot be had.
    pub fn next_guard(node: &Node, submit: impl FnOnce() -> String) -> Option<(String, i32)> {
        let strace = Self::attach(node, node.pid(), "close_range:signal=STOP:when=1", true)?;
        let task = submit();
        let stopped = || strace.seen().contains("stopped by SIGSTOP").then_some(());
        until("a guard to be stopped", stopped, || strace.seen());
        let guard = node.children()[0];
        strace.detach();
        Some((task, guard))
    }

    /// What it has seen.
    pub fn seen(&self) -> String {
        let mut text = String::new();
        File::open(&self.output)
            .and_then(|mut file| file.read_to_string(&mut text))
            .ok();
        text
    }

    /// Lets everybody go on as they are, and says all that was seen.
    pub fn detach(mut self) -> String {
        self.stop();
        self.seen()
    }

    fn stop(&mut self) {
        if self.process.try_wait().unwrap().is_none() {
            let pid = i32::try_from(self.process.id()).unwrap();
            kill(Pid::from_raw(pid), Signal::SIGINT).ok();
            // It is deaf while a call waits that it delays in a process which is dead.
            let end = std::time::Instant::now() + Duration::from_secs(5);
            while std::time::Instant::now() < end && self.process.try_wait().unwrap().is_none() {
                pass(Duration::from_millis(20));
            }
            self.process.kill().ok();
            self.process.wait().unwrap();
        }
    }
}

/// The threads of a process.
fn threads(pid: i32) -> Vec<i32> {
    let threads = fs::read_dir(format!("/proc/{pid}/task"))
        .into_iter()
        .flatten()
        .flatten();
    threads
        .filter_map(|thread| thread.file_name().to_str()?.parse().ok())
        .collect()
}

impl Drop for Strace {
    fn drop(&mut self) {
        self.stop();
    }
}
