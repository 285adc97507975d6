// SPDX-License-Identifier: GPL-3.0-or-later

//! Which programs a task may start.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

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
    });
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
