// SPDX-License-Identifier: GPL-3.0-or-later

//! The memory of worker and guard, to others of their own user.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitStatus};

use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, geteuid};
use serde_json::json;
use standin_manager::CommandSpec;
use test_bed::{Farm, Node, as_user, bash, exec, own_user, start_through, worker};
use test_needs::missing;

/// A node whose worker is an ordinary user's, and the words that run something as that user. `None` where there can be no
/// such user.
fn ordinary() -> Option<(Farm, Node, Vec<String>)> {
    let (farm, mut node) = Farm::with_node();
    let words = match geteuid().is_root() {
        true => as_user(own_user(&farm, &node)?),
        false => vec!["env".to_owned()],
    };
    start_through(&mut node, words.clone());
    farm.awake();
    Some((farm, node, words))
}

/// Tells all that a program finds out of its guard and its worker, and whether others find out the same of it.
const LOOKS: &str = r#"
    guard=$PPID; worker=$(cut -d' ' -f4 /proc/$guard/stat)
    look() {
        for file in environ mem maps auxv io; do (: < /proc/$2/$file) 2> /dev/null && cat /proc/$2/$file > /dev/null 2>&1 && echo "$1 shows $file"; done
        [[ -n $(ls /proc/$2/fd 2> /dev/null) ]] && echo "$1 shows its descriptors"
        for link in root cwd exe; do readlink /proc/$2/$link > /dev/null && echo "$1 shows $link"; done
        (: > /proc/$2/mem) 2> /dev/null && echo "the memory of $1 can be written"
    }
    look worker $worker; look guard $guard
    sleep 1000 & until grep -qz ^FLAMENCO_TASK_ID= /proc/$!/environ && [[ -n $(ls /proc/$!/fd) ]]; do sleep 0.02; done
    echo "a program is open"; kill $!
"#;

#[test]
fn n30_a_program_of_the_same_user_does_not_look_into_worker_and_guard_and_others_look_into_it() {
    let Some((farm, node, words)) = ordinary() else { return };
    let look = || {
        let task = farm.task(&[bash(LOOKS)]);
        farm.completed(&task);
        let log = farm.log(&task);
        let lines = log.lines().filter(|line| line.starts_with("pid="));
        let said: Vec<_> = lines.filter_map(|line| Some(line.split_once(" > ")?.1)).collect();
        assert_eq!(said, ["a program is open"]);
    };
    look();
    // A successor is a new program.
    let run = |word: &str| {
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]).arg(worker().unwrap()).arg(word);
        command.env("FLAMENCO_HOME", node.home()).output().unwrap()
    };
    let reloaded = run("reload");
    assert!(reloaded.status.success(), "{reloaded:?}");
    look();
    // Its own user finds it all the same.
    for word in ["status", "sleep", "wake"] {
        let answer = run(word);
        assert!(answer.status.success(), "{answer:?}");
    }
    node.finish();
}

/// Whether a program that ends like that leaves a core file on this machine.
fn leaves_core(status: ExitStatus) -> bool {
    assert!(status.signal().is_some(), "{status}");
    status.core_dumped()
}

/// Runs something that may leave a core of any size.
const WITH_CORES: &str = "ulimit -c unlimited && exec \"$0\" \"$@\"";

#[test]
fn n31_a_worker_that_crashes_leaves_no_core_and_a_program_leaves_one_as_ever() {
    let (farm, node) = Farm::with_node();
    let crash = "cd \"$1\" || exit; sleep 1000 & kill -SEGV $!; wait $!; exit 0";
    let folder = node.folder.to_str().unwrap();
    let here = Command::new("bash")
        .args(["-c", WITH_CORES, "bash", "-c", crash, "-", folder])
        .output()
        .unwrap();
    let cores_are_had = String::from_utf8_lossy(&here.stderr).contains("(core dumped)");
    let command = node.command();
    let mut shell = Command::new("bash");
    shell.args(["-c", WITH_CORES]).arg(command.get_program());
    shell.args(command.get_args()).current_dir(&node.folder);
    shell.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let mut child = shell.spawn().unwrap();
    farm.awake();
    let task = farm.task(&[bash(&crash.replace("\"$1\"", folder))]);
    farm.completed(&task);
    let log = farm.log(&task);
    assert!(!cores_are_had || log.contains("(core dumped)"), "{log}");
    // SIGSEGV has a handler, of the standard library.
    kill(Pid::from_raw(child.id().cast_signed()), Signal::SIGABRT).unwrap();
    assert!(!leaves_core(child.wait().unwrap()));
    node.nothing_left();
}

#[test]
fn n33_root_runs_no_program_that_a_task_has_named_to_say_how_a_worker_is() {
    if !geteuid().is_root() {
        return;
    }
    let Some((farm, node, words)) = ordinary() else { return };
    let program = node.folder.join("blender-of-a-task");
    fs::write(&program, "#!/bin/sh\nid -u >> \"${0%/*}/ran\"\necho Blender 4.2.1\n").unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    farm.completed(&farm.task(&[exec(program.to_str().unwrap(), json!([]))]));
    let run = |words: &[String]| {
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]).arg(worker().unwrap()).arg("doctor");
        let output = command.env("FLAMENCO_HOME", node.home()).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    run(&["env".to_owned()]);
    let ran = || fs::read_to_string(node.folder.join("ran")).unwrap();
    assert_eq!(ran().lines().count(), 1);
    let said = run(&words);
    assert!(said.contains("blender-of-a-task is Blender 4.2.1"), "{said}");
    assert!(
        said.contains("shows its environment and its mounts to root only"),
        "{said}"
    );
    let user = words[1].strip_prefix("--reuid=").unwrap();
    assert_eq!(ran().lines().collect::<Vec<_>>(), [user, user]);
    node.finish();
}

#[test]
fn n30_a_copy_does_not_show_the_process_that_makes_it() {
    let (farm, node) = Farm::with_awake_node();
    let stolen = farm.folder.path().join("stolen");
    for shown in ["/proc/self/maps", "/proc/self/environ", "/proc/thread-self/status"] {
        let copy = CommandSpec::new("copy-file", json!({ "src": shown, "dest": stolen }));
        let task = farm.task(&[copy]);
        farm.failed(&task);
        let log = farm.log(&task);
        // What shows more is root's, of a process that nobody may look into: for others the kernel has the first word.
        let refused = ["what the kernel shows of processes is not copied", "Permission denied"];
        assert!(refused.iter().any(|words| log.contains(words)), "{log}");
        assert!(!stolen.exists());
    }
    node.finish();
}

#[test]
fn n30_i7_where_proc_hides_worker_and_guard_they_are_found_and_a_stopped_guard_goes_on() {
    if missing("unshare") | missing("nsenter") {
        return;
    }
    let (farm, mut node) = Farm::with_node();
    node.set("guard_silence", "300ms");
    let Some(user) = own_user(&farm, &node) else { return };
    let hide = "mount -t proc -o hidepid=2 proc /proc && exec \"$@\"";
    let wrapper = ["unshare", "--mount", "sh", "-c", hide, "-"].map(str::to_owned);
    start_through(&mut node, wrapper.into_iter().chain(as_user(user)));
    farm.awake();
    // Its own user does not see the worker either, and finds it.
    for word in ["status", "reload", "sleep", "wake"] {
        let mut command = Command::new("nsenter");
        command.args(["--mount", "--target", &node.pid().to_string()]);
        command.args(as_user(user)).arg(worker().unwrap()).arg(word);
        let answer = command.env("FLAMENCO_HOME", node.home()).output().unwrap();
        assert!(answer.status.success(), "{word}: {answer:?}");
    }
    let task = farm.script("[ -e /proc/$PPID ] && echo shown; kill -STOP $PPID");
    farm.completed(&task);
    assert!(!farm.log(&task).contains("> shown"), "{}", farm.log(&task));
    assert!(node.log().contains("a guard was stopped; it goes on"), "{}", node.log());
    node.finish();
}
