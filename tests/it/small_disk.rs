// SPDX-License-Identifier: GPL-3.0-or-later

//! A disk that can be filled and made read-only without anybody else noticing.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};

use test_bed::{Farm, Node};
use test_needs::{missing, skipped};

/// A node whose home is a small disk of its own, in a mount namespace that ends with it.
pub(crate) struct SmallDisk {
    pub(crate) node: Node,
}

impl SmallDisk {
    /// `None`, said aloud, where this user may not mount.
    pub(crate) fn start(farm: &Farm, name: &str, options: &str) -> Option<Self> {
        Self::start_node(farm.node(name), options)
    }

    /// The same with a node that has its configuration.
    pub(crate) fn start_node(node: Node, options: &str) -> Option<Self> {
        Self::start_prepared(node, options, ":")
    }

    /// The same after a command of the shell's, which finds the disk at `$FLAMENCO_HOME`.
    pub(crate) fn start_prepared(mut node: Node, options: &str, prepare: &str) -> Option<Self> {
        fs::create_dir(node.home()).unwrap();
        let mount = format!("mount -t tmpfs -o {options} tmpfs \"$FLAMENCO_HOME\" && {{ {prepare}; true; }}");
        start_among_mounts(&mut node, &mount).then_some(Self { node })
    }

    /// A path in the home, as seen from outside.
    pub(crate) fn path(&self, below: &str) -> PathBuf {
        let home = self.node.home();
        let root = PathBuf::from(format!("/proc/{}/root", self.node.pid()));
        root.join(home.strip_prefix("/").unwrap()).join(below)
    }

    /// Runs `mount` or the like where the disk is.
    fn inside(&self, program: &str, arguments: &[&str]) {
        let status = Command::new("nsenter")
            .args(["--user", "--mount", "--preserve-credentials", "--target"])
            .arg(self.node.pid().to_string())
            .arg(program)
            .args(arguments)
            .status()
            .unwrap();
        assert!(status.success(), "{program} {arguments:?}");
    }

    /// Mounts an empty disk as the home.
    pub(crate) fn mount(&self) {
        self.inside("mount", &["-t", "tmpfs", "tmpfs", self.node.home().to_str().unwrap()]);
    }

    /// Nothing new can be opened for writing from here on. (The mount itself is busy as long as the lock is open.)
    pub(crate) fn becomes_read_only(&self) {
        let home = self.node.home();
        let home = home.to_str().unwrap();
        self.inside("mount", &["--bind", home, home]);
        self.inside("mount", &["-o", "remount,bind,ro", home]);
    }

    pub(crate) fn becomes_writable(&self) {
        self.inside("umount", &[self.node.home().to_str().unwrap()]);
    }

    pub(crate) fn end(mut self) {
        self.node.childless();
        assert_eq!(self.node.stop(), 0, "{}", self.node.log());
    }
}

/// Starts a node in a mount namespace that ends with it, after this line of shell. `false`, said aloud, where this user
/// may not mount.
pub(crate) fn start_among_mounts(node: &mut Node, first: &str) -> bool {
    if missing("unshare") | missing("nsenter") | missing("mount") || !may_mount() {
        return false;
    }
    let worker = node.command();
    let mut command = Command::new("unshare");
    command
        .args(["--user", "--map-root-user", "--mount", "sh", "-c"])
        .args([&format!("{first} && exec \"$@\""), "sh"])
        .arg(worker.get_program())
        .args(worker.get_args())
        .current_dir(&node.folder);
    command.envs(worker.get_envs().filter_map(|(name, value)| Some((name, value?))));
    node.start_with(&mut command);
    true
}

/// Gives the thread of this test, and all that it starts, mounts of its own. `false`, said aloud, where it may not.
pub(crate) fn own_mounts() -> bool {
    let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
    let own = unshare(CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_FS)
        .and_then(|()| mount(None::<&str>, "/", None::<&str>, private, None::<&str>))
        .is_ok();
    if !own {
        skipped("no mount namespace can be had");
    }
    own
}

pub(crate) fn may_mount() -> bool {
    let can = Command::new("unshare")
        .args([
            "--user",
            "--map-root-user",
            "--mount",
            "mount",
            "-t",
            "tmpfs",
            "tmpfs",
            "/mnt",
        ])
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success());
    if !can {
        test_needs::skipped_with_remedy(
            "this user may not mount in a namespace of its own",
            "allow user namespaces (kernel.unprivileged_userns_clone, AppArmor, seccomp)",
        );
    }
    can
}
