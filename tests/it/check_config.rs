// SPDX-License-Identifier: GPL-3.0-or-later

//! `check-config`: what a worker would start with, told without starting one.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use tempfile::TempDir;

/// The exit code, stdout and stderr of a worker that is asked in a folder.
fn check(folder: &Path, arguments: &[&str]) -> (i32, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_flamenco-worker"));
    let output = command
        .args(arguments)
        .arg("check-config")
        .current_dir(folder)
        .env_clear()
        .env("HOME", folder)
        .env("FLAMENCO_WORKER_NAME", "node \"7\"")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

fn folder(config: &str) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("flamenco-worker.toml"), config).unwrap();
    folder
}

/// What is said, without where it comes from.
fn values(text: &str) -> Vec<&str> {
    let lines = text.lines().filter(|line| line.contains(" = "));
    let told = lines.filter_map(|line| line.split("  # ").next());
    told.collect()
}

#[test]
fn n3_what_the_rules_of_the_sandbox_come_to_is_shown_with_what_presets_name() {
    let node = folder(
        "home = \"/var/lib/a\"\n[sandbox]\nprograms = [\"sh\", \"/no/such-*\"]\nwrite = [\"/no/such/render\", \"/tmp\"]\n\
         network = [53, 27000]\npresets = [\"blender\"]\n",
    );
    let (code, text, err) = check(node.path(), &["-manager", "m:1"]);
    assert_eq!((code, err.as_str()), (0, ""), "{text}");
    let shell = fs::canonicalize("/bin/sh").unwrap();
    let file = fs::canonicalize(node.path()).unwrap().join("flamenco-worker.toml");
    for line in [
        "presets = [\"blender\"]  # ".to_owned(),
        format!("#   start: {}\n", shell.display()),
        "#   write: /no/such/render (not there) /tmp\n".to_owned(),
        "#   write, by the preset \"blender\": ".to_owned(),
        format!(" {}/.cache/cycles (not there) ", node.path().display()),
        "#   write, always: the task's TMPDIR /dev/null ".to_owned(),
        "#   read: all but what is closed\n".to_owned(),
        format!("#   closed: /var/lib/a {}\n", file.display()),
        "#   closed: devices with a content".to_owned(),
        "#   closed: what would be made, renamed or removed right in ".to_owned(),
        format!(" {}", node.path().display()),
        "#   network: TCP to the ports [53, 27000], UDP to any, and programs of this machine".to_owned(),
    ] {
        assert!(text.contains(&line), "{line}: {text}");
    }
    let node = folder("home = \"/var/lib/a\"\n[sandbox]\nread = [\"/tmp\"]\npresets = [\"intel\"]\n");
    let text = check(node.path(), &[]).1;
    for line in [
        "#   write: wherever the worker may\n",
        "#   read: /tmp\n",
        "#   read, by the preset \"intel\": /opt/intel",
        "#   read, always: the task's TMPDIR /usr ",
    ] {
        assert!(text.contains(line), "{line}: {text}");
    }
    // Without rules there is no such thing.
    let node = folder("home = \"/var/lib/a\"\n");
    assert!(!check(node.path(), &[]).1.contains("what tasks may do"));
}

#[test]
fn each_value_is_told_with_its_origin_and_the_whole_can_be_a_file() {
    let node = folder(
        "task_types = [\"misc\"]\nhome = \"/var/lib/a b\"\n[headers]\nX-Token = \"s3cret\"\n[timings]\ngrace = \"1500ms\"\n\
         [spool]\ntask_log_limit = \"3MiB\"\n",
    );
    let (code, text, err) = check(node.path(), &["-manager", "m:1", "-quiet"]);
    assert_eq!((code, err.as_str()), (0, ""), "{text}");
    let file = fs::canonicalize(node.path()).unwrap().join("flamenco-worker.toml");
    let file = file.display();
    for line in [
        "manager = \"http://m:1/\"  # command line".to_owned(),
        "worker_name = 'node \"7\"'  # environment variable FLAMENCO_WORKER_NAME".to_owned(),
        format!("task_types = [\"misc\"]  # {file}:1"),
        "# restart_exit_code is not set".to_owned(),
        "oom_score_adjust = 500  # default".to_owned(),
        format!("home = \"/var/lib/a b\"  # {file}:2"),
        format!("# x-token is set, and may be secret  # {file}:4"),
        "level = \"warn\"  # command line".to_owned(),
        format!("grace = \"1500ms\"  # {file}:6"),
        format!("task_log_limit = \"3MiB\"  # {file}:8"),
        "history_tasks = 50  # default".to_owned(),
    ] {
        assert!(text.lines().any(|said| said == line), "{line} is not in\n{text}");
    }
    assert!(!text.contains("s3cret"));

    let again = folder(&text);
    let (code, copy, err) = check(again.path(), &[]);
    assert_eq!((code, err.as_str()), (0, ""));
    assert_eq!(values(&copy), values(&text), "a copy means the same");
}

#[test]
fn j2_without_a_manager_a_worker_starts_and_searches() {
    let without_manager = folder("nice = 5\n");
    let (code, text, err) = check(without_manager.path(), &[]);
    assert_eq!((code, err.as_str()), (0, ""));
    assert!(
        text.contains("# no Manager is configured: a worker searches its networks for one\n"),
        "{text}"
    );
    assert!(text.contains("nice = 5"), "{text}");
    assert!(text.contains("/.local/share/flamenco\n"), "the home is named: {text}");
}

#[test]
fn what_a_worker_would_not_start_with_ends_with_78_and_why() {
    let broken = folder("manager = \"m:1\"\nnice = 50\n");
    let (code, text, err) = check(broken.path(), &[]);
    assert_eq!((code, text.as_str()), (78, ""));
    assert!(
        err.contains("flamenco-worker.toml:2:8: `nice` must be between"),
        "{err}"
    );

    let without_authority = folder("manager = \"https://m/\"\ntls.ca_file = \"/nowhere/ca.pem\"\n");
    let (code, _, err) = check(without_authority.path(), &[]);
    assert_eq!(code, 78);
    assert!(err.contains("cannot read `ca_file` of [tls], /nowhere/ca.pem"), "{err}");
}
