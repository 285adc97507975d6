// SPDX-License-Identifier: GPL-3.0-or-later

//! Networks of a test's own: network namespaces with cables between them. Nothing else is on them, and the machine's networks
//! are not in them.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::process::{Command, Stdio};
use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;

use nix::sched::{CloneFlags, unshare};
use nix::unistd::gettid;
use test_bed::{Node, until, worker};

type Job = Box<dyn FnOnce() + Send>;

/// A machine as far as its network goes: a thread in a namespace. Whatever is started on that thread lives in there.
pub(super) struct Host {
    thread_id: i32,
    jobs: Option<Sender<Job>>,
    thread: Option<JoinHandle<()>>,
}

impl Host {
    /// With loopback, and no cable.
    pub(super) fn new() -> Self {
        let (jobs, work) = channel::<Job>();
        let (tell, told) = channel();
        let thread = std::thread::spawn(move || {
            unshare(CloneFlags::CLONE_NEWNET).unwrap();
            tell.send(gettid().as_raw()).unwrap();
            work.into_iter().for_each(|job| job());
        });
        let host = Self {
            thread_id: told.recv().unwrap(),
            jobs: Some(jobs),
            thread: Some(thread),
        };
        host.ip("link set lo up");
        // An address of IPv6 is usable at once: nobody else can have it.
        host.run(|| fs::write("/proc/sys/net/ipv6/conf/default/accept_dad", "0").unwrap());
        host
    }

    /// Runs something there, and waits for it.
    pub(super) fn run<T: Send + 'static>(&self, job: impl FnOnce() -> T + Send + 'static) -> T {
        let (tell, told) = channel();
        let job = move || tell.send(catch_unwind(AssertUnwindSafe(job))).unwrap();
        self.jobs.as_ref().unwrap().send(Box::new(job)).unwrap();
        told.recv().unwrap().unwrap_or_else(|panic| resume_unwind(panic))
    }

    /// `ip` with these words. Returns what it prints.
    pub(super) fn ip(&self, words: &str) -> String {
        let words: Vec<_> = words.split(' ').map(str::to_owned).collect();
        let output = self.run(|| Command::new("ip").args(words).output().unwrap());
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// A cable to another host: the names of both ends, which get these addresses and are up. What is sent before the kernel
    /// has seen to that, which it does later, is lost.
    pub(super) fn connect(&self, other: &Self, ends: [(&str, &str); 2]) {
        let [(ours, our_address), (theirs, their_address)] = ends;
        let thread = other.thread_id;
        self.ip(&format!("link add {ours} type veth peer name {theirs} netns {thread}"));
        for (host, end, address) in [(self, ours, our_address), (other, theirs, their_address)] {
            host.ip(&format!("address add {address} dev {end}"));
            host.ip(&format!("link set {end} up"));
        }
        for (host, end) in [(self, ours), (other, theirs)] {
            let link = || host.ip(&format!("-oneline link show dev {end}"));
            until("a cable to carry", || link().contains(" state UP ").then_some(()), link);
        }
    }

    /// Starts a node there.
    pub(super) fn start(&self, mut node: Node) -> Node {
        self.run(move || {
            node.start();
            node
        })
    }

    /// Starts a search from there.
    pub(super) fn find_manager(&self) -> Finding {
        let mut command = Command::new(worker().unwrap());
        command.arg("-find-manager").stdin(Stdio::null());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        Finding(self.run(move || command.spawn().unwrap()))
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        self.jobs.take();
        if let Some(thread) = self.thread.take() {
            thread.join().ok();
        }
    }
}

/// A search that is under way.
pub(super) struct Finding(std::process::Child);

impl Finding {
    /// Its exit code, what is on stdout and on stderr.
    pub(super) fn ended(self) -> (i32, String, String) {
        let output = self.0.wait_with_output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
    }
}
