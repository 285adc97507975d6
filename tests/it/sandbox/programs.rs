// SPDX-License-Identifier: GPL-3.0-or-later

//! Which programs a task may start.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use serde_json::json;

use super::{Bed, User, no_landlock};
use test_bed::exec;

#[test]
fn n3_a_program_that_is_not_allowed_fails_its_task_at_once_with_the_rule() {
    let bed = Bed::new(User::Ours, &["programs = [\"true\", \"/usr/bin/bas?\"]"]).unwrap();
    let (activity, log) = bed.failed(exec("cat", json!(["/etc/passwd"])));
    let config = bed.node.folder.join("flamenco-worker.toml");
    let rule = format!(
        "programs = [\"true\", \"/usr/bin/bas?\"] of [sandbox] in {}",
        config.display()
    );
    for text in [&activity, &log] {
        assert!(
            text.contains("exec: the sandbox of this node does not let tasks start "),
            "{text}"
        );
        assert!(text.contains("/cat") && text.contains(&rule), "{text}");
    }
    assert!(!log.contains("going to run"), "{log}");
    // It is the task's own failure: the node counts no strike, and goes on.
    bed.completed(exec("true", json!([])));
    bed.completed(exec("bash", json!(["-c", "true"])));
    let (activity, _) = bed.failed(exec("no-such-program", json!([])));
    assert!(activity.contains("not found on PATH"), "{activity}");
    bed.node.finish();
}

#[test]
fn n3_neither_a_link_nor_a_copy_nor_a_child_helps() {
    if no_landlock() {
        return;
    }
    Bed::each(&["programs = [\"bash\", \"SHARED/bin/*\"]"], |bed, user| {
        let shared = bed.at("shared");
        symlink("/bin/cat", shared.join("link")).unwrap();
        fs::copy("/bin/cat", shared.join("copy")).unwrap();
        for name in ["link", "copy"] {
            let path = shared.join(name).display().to_string();
            let (activity, _) = bed.failed(exec(&path, json!(["/etc/passwd"])));
            assert!(activity.contains("does not let tasks start"), "{activity}");
            let log = bed.completed(exec("bash", json!(["-c", format!("{path} /etc/passwd; echo code $?")])));
            assert!(log.contains("> code 126"), "{user:?}, {name}: {log}");
        }
        let log = bed.completed(exec("bash", json!(["-c", "/bin/cat /etc/passwd; echo code $?"])));
        assert!(log.contains("> code 126"), "{user:?}: {log}");
        let (_, log) = bed.failed(exec("bash", json!(["-c", "/bin/cat /etc/passwd"])));
        assert!(
            log.contains(
                "this ran in the sandbox of this node, which may be what refused something: programs = [\"bash\", "
            ),
            "{log}"
        );
        // A script that is allowed runs, and so does what interprets it.
        fs::create_dir(shared.join("bin")).unwrap();
        let script = shared.join("bin/script");
        fs::write(&script, "#!/bin/sh\necho it runs\n").unwrap();
        fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
        let log = bed.completed(exec(&script.display().to_string(), json!([])));
        assert!(log.contains("> it runs"), "{log}");
        fs::write(&script, "#!/usr/bin/env cat\nit shows itself\n").unwrap();
        let log = bed.completed(exec(&script.display().to_string(), json!([])));
        assert!(log.contains("> it shows itself"), "{log}");
    });
}

#[test]
fn n53_a_program_that_tasks_may_not_read_fails_its_task_at_once_with_the_rule_and_the_node_goes_on() {
    if no_landlock() {
        return;
    }
    Bed::each(&["read = [\"SHARED\"]"], |bed, user| {
        for name in ["outside/folder/blender", "shared/blender"] {
            fs::copy("/bin/true", bed.at(name)).unwrap();
        }
        let run = |name: &str| bed.failed(exec(&bed.at(name).display().to_string(), json!([]))).0;
        let rule = format!(
            "read = [\"{}\"] of [sandbox] in {}",
            bed.at("shared").display(),
            bed.node.folder.join("flamenco-worker.toml").display()
        );
        // As often as a node takes it that may itself be what is wrong.
        for _ in 0..4 {
            let activity = run("outside/folder/blender");
            assert!(
                activity.contains("blender\": Permission denied (EACCES); the sandbox of this node closes it")
                    && activity.contains(&rule),
                "{user:?}: {activity}"
            );
        }
        bed.completed(exec("true", json!([])));
        // What the worker itself could not execute either.
        fs::write(bed.at("outside/folder/text"), "").unwrap();
        let activity = run("outside/folder/text");
        assert!(
            activity.contains("it has no execute permission") && !activity.contains("sandbox"),
            "{activity}"
        );
        // A hint tells no name that the task may not read.
        let activity = run("shared/blendre");
        assert!(activity.contains("did you mean"), "{activity}");
        bed.completed(exec("true", json!([])));
        let activity = run("outside/folder/blendre");
        assert!(
            activity.contains("ENOENT") && !activity.contains("did you mean"),
            "{activity}"
        );
        for name in ["blender", "text"] {
            fs::remove_file(bed.at("outside/folder").join(name)).unwrap();
        }
        bed.nothing_has_changed();
    });
}

#[test]
fn n53_a_pipe_that_is_named_as_a_program_is_called_one() {
    if no_landlock() {
        return;
    }
    Bed::each(&["read = [\"SHARED\"]"], |bed, _| {
        let pipe = bed.at("shared/pipe");
        mkfifo(&pipe, Mode::S_IRWXU | Mode::S_IRWXG | Mode::S_IRWXO).unwrap();
        let activity = bed.failed(exec(&pipe.display().to_string(), json!([]))).0;
        assert!(
            activity.contains("a pipe") && !activity.contains("sandbox"),
            "{activity}"
        );
    });
}

#[test]
fn n4_all_rules_are_named_once_where_something_tells_of_a_refusal_and_in_few_words_where_nothing_does() {
    if no_landlock() {
        return;
    }
    let bed = Bed::new(User::Ours, &["write = [\"SHARED\"]", "network = \"none\""]).unwrap();
    let config = bed.node.folder.join("flamenco-worker.toml").display().to_string();
    let line = |script: &str| {
        let (_, log) = bed.failed(exec("bash", json!(["-c", script])));
        let found = log.lines().find(|line| line.contains(&config));
        found.unwrap_or_else(|| panic!("{log}")).to_owned()
    };
    let short = line("exit 3");
    assert!(
        short.ends_with(&format!("this ran within the rules of [sandbox] in {config}")),
        "{short}"
    );
    let whole = line(&format!("echo > {}", bed.at("outside/new").display()));
    let above = bed.node.folder.display();
    for part in [
        format!(
            "write = [\"{}\"]; network = \"none\" of [sandbox] in {config}; ",
            bed.at("shared").display()
        ),
        "the worker's own files are closed, and nothing is made, renamed or removed right in the folders above them: "
            .to_owned(),
        format!(" {above}"),
    ] {
        assert!(whole.contains(&part), "{part}: {whole}");
    }
    assert_eq!(whole.matches(&config).count(), 1, "{whole}");
    bed.node.finish();
}

#[test]
fn n1_a_kernel_that_enforces_all_of_it_has_nothing_said_and_takes_tasks_with_require() {
    if no_landlock() {
        return;
    }
    let bed = Bed::new(User::Ours, &["write = []", "network = [80]", "require = true"]).unwrap();
    bed.completed(exec("true", json!([])));
    assert!(!bed.node.log().contains("not enforced"), "{}", bed.node.log());
    bed.node.finish();
}
