// SPDX-License-Identifier: GPL-3.0-or-later

//! Pictures that were being written when their program was ended. Flamenco's jobs do not overwrite: what is left of one
//! under its own name is a finished frame to the next run.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::json;
use standin_manager::{CommandSpec, JobSpec, TaskSpec};

use test_bed::{Farm, Node, cancel, kill_together, logged, until};

/// What a renderer without overwriting does: frames 1 and 2, the second one only half unless `go` is there. How it
/// ends then is the first argument; the third is the output.
const RENDERER: &str = r##"#!/bin/bash
out=${3%/*}
mkdir -p "$out"
for frame in 1 2; do
    name=$out/x000$frame.png
    if [ -e "$name" ]; then echo "skipping existing frame \"$name\""; continue; fi
    exec 3> "$name"
    if [ $frame = 2 ] && [ ! -e "$out/../go" ]; then
        [ "$1" = placeholder ] || printf half >&3
        echo $$ > "$out/../pid"
        case $1 in
        crash) echo "# backtrace" > "$TMPDIR/blender.crash.txt"; kill -SEGV $$;;
        fails|placeholder) exit 1;;
        ignores) trap '' INT TERM; echo writing; while :; do sleep 0.05; done;;
        *) echo writing; while :; do sleep 0.05; done;;
        esac
    fi
    printf whole >&3
    exec 3>&-
    echo "Saved: '$name'"
    echo " Time: 00:00.01 (Saving: 00:00.00)"
done
"##;

struct Render {
    farm: Farm,
    node: Node,
    task: String,
}

impl Render {
    /// A task whose renderer ends in this way, or waits in mid-write. `prepare` gets the folder of its pictures.
    fn new(end: &str, prepare: impl FnOnce(&Path)) -> Self {
        let (farm, mut node) = Farm::with_node();
        node.set("blender_grace", "100ms")
            .set("blender_firm_grace", "100ms")
            .start();
        farm.awake();
        let renderer = node.folder.join("renderer");
        fs::write(&renderer, RENDERER).unwrap();
        fs::set_permissions(&renderer, PermissionsExt::from_mode(0o755)).unwrap();
        let out = node.folder.join("out");
        fs::create_dir(&out).unwrap();
        prepare(&out);
        let parameters = json!({
            "exe": renderer, "exeArgs": end, "blendfile": "",
            "args": ["-o", out.join("x####"), "-F", "PNG", "-f", "1..2"],
        });
        let command = CommandSpec::new("blender-render", parameters);
        let task = farm.job(JobSpec::new("job").task(TaskSpec::new("render").kind("blender").command(command)));
        Self {
            farm,
            node,
            task: task[0].clone(),
        }
    }

    fn out(&self, name: &str) -> PathBuf {
        self.node.folder.join("out").join(name)
    }

    fn program(&self) -> Pid {
        self.farm.says(&self.task, "> writing");
        let pid = test_bed::file(&self.node.folder.join("pid"));
        Pid::from_raw(pid.trim().parse().unwrap())
    }

    fn pictures(&self) -> Vec<String> {
        let mut names: Vec<_> = fs::read_dir(self.node.folder.join("out"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    /// The half picture is aside, and the task's log says so; the finished one is untouched.
    fn is_set_aside(&self) {
        self.farm.says(&self.task, "Set aside: ");
        let log = self.farm.log(&self.task);
        assert!(
            log.contains("x0002.png was not finished; its 4 B are now in x0002.png.partial"),
            "{log}"
        );
        assert_eq!(fs::read(self.out("x0001.png")).unwrap(), b"whole");
    }

    /// The task is run again, and now it can finish.
    fn again(&self) {
        fs::write(self.node.folder.join("go"), "").unwrap();
        requeue(&self.farm, &self.task);
    }

    fn completes(self) {
        self.farm.completed(&self.task);
        let log = self.farm.log(&self.task);
        let skipped = |frame: u32| {
            log.contains(&format!(
                "skipping existing frame \"{}\"",
                self.out(&format!("x000{frame}.png")).display()
            ))
        };
        assert!(skipped(1) && !skipped(2), "{log}");
        for frame in 1..=2 {
            assert_eq!(fs::read(self.out(&format!("x000{frame}.png"))).unwrap(), b"whole");
        }
        assert!(
            fs::read_dir(self.node.home().join("rendering"))
                .unwrap()
                .next()
                .is_none()
        );
        self.node.finish();
    }
}

/// As a person does it: the task's job failed with it.
pub(crate) fn requeue(farm: &Farm, task: &str) {
    let job = farm.manager.task(task).unwrap().job;
    farm.manager.requeue_job(&job).unwrap();
}

#[test]
fn i2_i11_a_crash_in_mid_write_leaves_no_picture_that_passes_for_done_and_its_report_is_told() {
    let render = Render::new("crash", |_| ());
    render.farm.failed(&render.task);
    render.is_set_aside();
    let log = render.farm.log(&render.task);
    assert!(
        log.contains("Blender wrote a crash report, blender.crash.txt:\n    # backtrace"),
        "{log}"
    );
    render.again();
    render.completes();
}

#[test]
fn i2_a_failure_and_a_placeholder_leave_none_either() {
    let render = Render::new("fails", |_| ());
    render.farm.failed(&render.task);
    render.is_set_aside();
    render.again();
    render.completes();
    let render = Render::new("placeholder", |_| ());
    render.farm.failed(&render.task);
    render.farm.says(&render.task, "x0002.png was not begun, and empty");
    assert_eq!(render.pictures(), ["x0001.png"]);
    render.again();
    render.completes();
}

#[test]
fn i2_an_abort_in_mid_write_leaves_none_whether_the_program_obeys_or_not() {
    for end in ["obeys", "ignores"] {
        let render = Render::new(end, |out| {
            fs::write(out.join("x0002.png.partial"), "of an earlier try").unwrap();
        });
        render.program();
        cancel(&render.farm, &render.task);
        render.is_set_aside();
        assert_eq!(fs::read(render.out("x0002.png.partial")).unwrap(), b"half");
        render.again();
        render.completes();
    }
}

#[test]
fn i2_a_program_or_a_guard_killed_in_mid_write_leaves_none() {
    let render = Render::new("waits", |_| ());
    kill(render.program(), Signal::SIGKILL).unwrap();
    render.farm.failed(&render.task);
    render.is_set_aside();
    render.again();
    render.completes();
    let render = Render::new("waits", |_| ());
    render.program();
    fs::write(render.node.folder.join("go"), "").unwrap();
    kill(Pid::from_raw(render.node.children()[0]), Signal::SIGKILL).unwrap();
    render.is_set_aside();
    render.completes();
}

#[test]
fn i2_a_worker_killed_in_mid_write_sets_aside_at_its_next_start() {
    for with_guard in [false, true] {
        let mut render = Render::new("waits", |_| ());
        render.program();
        // What was saved is known to the next start.
        let journal = || {
            let found = fs::read_dir(render.node.home().join("rendering")).unwrap().next();
            found.is_some_and(|entry| {
                fs::read_to_string(entry.unwrap().path())
                    .unwrap()
                    .contains("x0001.png\"\n")
            })
        };
        until(
            "the picture to be in the journal",
            || journal().then_some(()),
            || render.node.log(),
        );
        if with_guard {
            kill_together(&[render.node.pid(), render.node.children()[0]]);
        } else {
            render.node.signal(Signal::SIGKILL);
        }
        assert_eq!(render.node.ended(), -9);
        render.node.nothing_left_but_files();
        assert!(render.out("x0002.png").exists());
        fs::write(render.node.folder.join("go"), "").unwrap();
        render.node.start();
        logged(&render.node, "Set aside: ");
        render.is_set_aside();
        render.completes();
    }
}

#[test]
fn i2_links_and_what_is_elsewhere_are_never_touched() {
    let precious = |out: &Path| out.parent().unwrap().join("precious.png");
    let render = Render::new("fails", |out| {
        symlink(precious(out), out.join("x0002.png")).unwrap();
        fs::write(out.join("x0003.png"), "half").unwrap();
    });
    render.farm.failed(&render.task);
    render.farm.says(&render.task, "Failed: ");
    assert_eq!(render.pictures(), ["x0001.png", "x0002.png", "x0003.png"]);
    assert_eq!(fs::read(render.node.folder.join("precious.png")).unwrap(), b"half");
    assert!(!render.farm.log(&render.task).contains("Set aside"));
    render.node.finish();
}
