// SPDX-License-Identifier: GPL-3.0-or-later

//! Storage that does not answer: a file server that is gone.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::json;
use standin_manager::{CommandSpec, Endpoint, TaskStatus};

use crate::notify::Ear;
use test_bed::{Farm, Node, exec, logged, until};
use test_needs::{missing, skipped};

/// A folder that is served by a process, and hangs while that one is stopped.
struct Share {
    server: Child,
    at: PathBuf,
}

impl Share {
    /// `None`, said aloud, where nobody may mount.
    fn mount(at: &Path) -> Option<Self> {
        if missing("bindfs") || (missing("fusermount3") && missing("fusermount")) {
            return None;
        }
        fs::create_dir(at.with_extension("back")).unwrap();
        fs::create_dir(at).unwrap();
        let mut share = Self {
            server: server(at),
            at: at.to_owned(),
        };
        if share.is_mounted() {
            return Some(share);
        }
        skipped("nothing can be mounted with FUSE here");
        None
    }

    fn is_mounted(&mut self) -> bool {
        let path = self.at.to_str().unwrap();
        let is_mounted = || {
            let gone = self.server.try_wait().unwrap().is_some();
            let listed = fs::read_to_string("/proc/self/mountinfo").unwrap().contains(path);
            (gone || listed).then_some(listed)
        };
        until("the share to be mounted", is_mounted, String::new)
    }

    fn unmount(&mut self) {
        for program in ["fusermount3", "fusermount"] {
            let unmounted = Command::new(program).args(["-u", "-z"]).arg(&self.at).status();
            if unmounted.is_ok_and(|status| status.success()) {
                break;
            }
        }
        self.server.kill().ok();
        self.server.wait().ok();
    }

    /// The same storage again.
    fn serve(&mut self) -> bool {
        self.server = server(&self.at);
        self.is_mounted()
    }

    fn server(&self) -> u32 {
        self.server.id()
    }

    fn hangs(&self) {
        self.signal(Signal::SIGSTOP);
    }

    fn answers(&self) {
        self.signal(Signal::SIGCONT);
    }

    fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.server.id().cast_signed()), signal).ok();
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.answers();
        self.unmount();
    }
}

fn server(at: &Path) -> Child {
    let mut command = Command::new("bindfs");
    command.arg("-f").arg(at.with_extension("back")).arg(at);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().unwrap()
}

#[test]
fn i29_a_temporary_directory_that_hangs_holds_neither_the_next_task_nor_a_stop() {
    let (farm, mut node) = Farm::with_node();
    let Some(share) = Share::mount(&farm.folder.path().join("share")) else {
        return;
    };
    node.environment.push(("TMPDIR".into(), share.at.clone().into()));
    farm.start(&mut node);
    // It hangs when the directory is to be removed.
    farm.completed(&farm.script(&format!("echo > $TMPDIR/left; kill -STOP {}", share.server())));
    farm.completed(&farm.script("echo > $TMPDIR/elsewhere"));
    let dirs = node.temporary();
    assert!(
        dirs[0].starts_with(&share.at) && dirs[1].starts_with(node.home()),
        "{dirs:?}"
    );
    let log = node.log();
    assert!(log.contains("takes long; it goes on by itself"), "{log}");
    assert_eq!(node.stop(), 0);
    share.answers();
    node.start();
    node.swept();
    node.finish();
}

/// A renderer that does not overwrite, nor finish its picture unless `go` is there.
const RENDERER: &str = r#"#!/bin/bash
[ -e "$2"0001.png ] && exit 0
exec 3> "$2"0001.png
if [ ! -e go ]; then printf half >&3; echo writing; sleep 1000; fi
printf whole >&3
"#;

/// A task whose renderer was killed with its worker while it wrote `x0001.png` on a share.
fn cut_off(farm: &Farm, node: &mut Node, share: &Share) -> String {
    let renderer = node.folder.join("renderer");
    fs::write(&renderer, RENDERER).unwrap();
    fs::set_permissions(&renderer, PermissionsExt::from_mode(0o755)).unwrap();
    let parameters = json!({
        "exe": renderer, "exeArgs": "-o", "blendfile": share.at.join("x"), "args": ["-F", "PNG", "-f", "1"],
    });
    let task = farm.task(&[CommandSpec::new("blender-render", parameters)]);
    farm.says(&task, "> writing");
    node.kill();
    node.nothing_left_but_files();
    fs::write(node.folder.join("go"), "").unwrap();
    task
}

/// The half picture was set aside, and a whole one is in its place.
fn is_rendered_anew(farm: &Farm, task: &str, share: &Share) {
    farm.completed(task);
    let picture = |name: &str| fs::read_to_string(share.at.join(name)).unwrap();
    assert_eq!(
        (picture("x0001.png.partial"), picture("x0001.png")),
        ("half".into(), "whole".into())
    );
}

#[test]
fn i30_orders_are_obeyed_and_life_is_shown_while_a_start_looks_after_what_the_last_run_left() {
    let (farm, mut node) = Farm::with_node();
    let Some(share) = Share::mount(&farm.folder.path().join("share")) else {
        return;
    };
    let ear = Ear::of(&mut node);
    node.environment.push(("WATCHDOG_USEC".into(), "400000".into()));
    farm.start(&mut node);
    let task = cut_off(&farm, &mut node, &share);
    share.hangs();
    ear.until_silent_for(Duration::from_millis(1));
    let starts = farm.requests(Endpoint::SignOn).len();
    node.start();
    ear.until("READY=1");
    ear.until("WATCHDOG=1");
    ear.until("WATCHDOG=1");
    node.signal(Signal::SIGTERM);
    assert_eq!(node.ended(), 0);
    assert_eq!(farm.requests(Endpoint::SignOn).len(), starts);
    drop(ear);
    // With its storage back, the next start sees to it.
    share.answers();
    node.start();
    logged(&node, "Set aside: ");
    is_rendered_anew(&farm, &task, &share);
    node.swept();
    node.finish();
}

#[test]
fn i2_a_half_picture_whose_storage_is_not_mounted_at_the_start_is_set_aside_before_the_next_render() {
    let (farm, mut node) = Farm::with_node();
    let Some(mut share) = Share::mount(&farm.folder.path().join("share")) else {
        return;
    };
    farm.start(&mut node);
    let task = cut_off(&farm, &mut node, &share);
    farm.manager.set_task_status(&task, TaskStatus::Canceled).unwrap();
    share.unmount();
    node.start();
    logged(&node, "nothing is mounted at");
    farm.completed(&farm.script("true"));
    assert!(share.serve());
    farm.manager
        .requeue_job(&farm.manager.task(&task).unwrap().job)
        .unwrap();
    is_rendered_anew(&farm, &task, &share);
    assert!(farm.log(&task).contains("Set aside: "), "{}", farm.log(&task));
    assert!(fs::read_dir(node.home().join("rendering")).unwrap().next().is_none());
    node.swept();
    node.finish();
}

#[test]
fn i30_a_start_does_not_wait_for_the_removal_of_what_a_killed_worker_left() {
    let (farm, mut node) = Farm::with_node();
    let Some(share) = Share::mount(&farm.folder.path().join("share")) else {
        return;
    };
    node.environment.push(("TMPDIR".into(), share.at.clone().into()));
    farm.start(&mut node);
    let task = farm.running("echo > $TMPDIR/left; echo running; [ -e stop ] || sleep 1000");
    node.kill();
    node.nothing_left_but_files();
    fs::write(node.folder.join("stop"), "").unwrap();
    share.hangs();
    node.start();
    farm.completed(&task);
    assert_eq!(node.stop(), 0);
    share.answers();
    node.start();
    node.swept();
    node.finish();
}

#[test]
fn i29_a_program_that_cannot_be_looked_at_any_more_has_ended_all_the_same() {
    let (farm, node) = Farm::with_awake_node();
    let Some(share) = Share::mount(&farm.folder.path().join("share")) else {
        return;
    };
    let program = share.at.join("program");
    // What ends with 127 may be an AppImage: its first bytes tell.
    fs::write(
        &program,
        format!("#!/bin/bash\nkill -STOP {}; exit 127\n", share.server()),
    )
    .unwrap();
    fs::set_permissions(&program, PermissionsExt::from_mode(0o755)).unwrap();
    farm.failed(&farm.task(&[exec(program.to_str().unwrap(), json!([]))]));
    node.finish();
}
