// SPDX-License-Identifier: GPL-3.0-or-later

//! `flamenco-worker.yaml` in every form that Flamenco's documentation, examples and own writer show, and in those that
//! people type. What Flamenco's own worker (3.9) makes of each was tried, and is in the tables; it says nothing of what it
//! cannot read, and goes on without.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

/// What is written, and what both workers read: all that is no default.
const READ_ALIKE: &[(&[u8], &str)] = &[
    // The manual's example.
    (
        b"manager_url: http://flamenco.local:8080/\ntask_types: [blender, ffmpeg, file-management, misc]\n\
          restart_exit_code: 47\n\n# Optional advanced option, available on Linux only:\noom_score_adjust: 500\n",
        "manager=http://flamenco.local:8080/ code=47",
    ),
    // As it is written by that worker.
    (
        b"# Configuration file for Flamenco Worker.\n#\n# This file was written on 2026-11-30 05:00:00 +00:00\n\n\
          worker_name: \"\"\nmanager_url: \"\"\ntask_types:\n- blender\n- ffmpeg\n- file-management\n- misc\n\
          restart_exit_code: 0\noom_score_adjust: null\n",
        "",
    ),
    // Nothing, and values of nothing.
    (b"", ""),
    (b"# nothing\n\n", ""),
    (b"---\n...\n", ""),
    (b"{}\n", ""),
    (
        b"worker_name:\nmanager_url:\nrestart_exit_code:\noom_score_adjust:\n",
        "",
    ),
    (
        b"worker_name: ~\nmanager_url: null\nrestart_exit_code: Null\noom_score_adjust: NULL\n",
        "",
    ),
    (b"worker_name: \"\"\nmanager_url: '  '\n", ""),
    // Documents, line ends, marks, encodings.
    (b"---\nworker_name: x\n...\n", "name=x"),
    (b"worker_name: x\n---\nworker_name: y\n", "name=x"),
    (b"%YAML 1.1\n---\nworker_name: x\n", "name=x"),
    (b"worker_name: x", "name=x"),
    (
        b"worker_name: x\r\ntask_types:\r\n- blender\r\n",
        "name=x types=blender",
    ),
    (b"worker_name: x\rrestart_exit_code: 47\r", "name=x code=47"),
    (b"\xef\xbb\xbfworker_name: x\n", "name=x"),
    (b"\xff\xfew\0o\0r\0k\0e\0r\0_\0n\0a\0m\0e\0:\0 \0x\0\n\0", "name=x"),
    (b"\xfe\xff\0w\0o\0r\0k\0e\0r\0_\0n\0a\0m\0e\0:\0 \0x\0\n", "name=x"),
    (b"  worker_name: x\n  restart_exit_code: 47\n", "name=x code=47"),
    (b"worker_name:\tx\t# me\n", "name=x"),
    // Tables in braces, JSON, keys in quotes.
    (
        b"{worker_name: x, task_types: [misc], restart_exit_code: 47}\n",
        "name=x types=misc code=47",
    ),
    (
        b"{\n\t\"worker_name\": \"x\",\n\t\"restart_exit_code\": 47\n}\n",
        "name=x code=47",
    ),
    (
        b"\"worker_name\": x\n'restart_exit_code': 47\n? manager_url\n: m\n",
        "manager=http://m/ name=x code=47",
    ),
    // Keys that are not known, or known in another case; the last of two.
    (
        b"_meta:\n  version: 3\nworker_name: x\nshaman: {a: [1, 2]}\nflush_interval: 30s\n",
        "name=x",
    ),
    (b"Worker_Name: x\nlinux_oom_score_adjust: 5\n1: a\ntrue: b\n", ""),
    (b"worker_name: x\nworker_name: y\n", "name=y"),
    // URLs.
    (b"manager_url: http://m:8080 # the farm\n", "manager=http://m:8080/"),
    (b"manager_url: \" http://m:8080/ \"\n", "manager=http://m:8080/"),
    (b"manager_url:\n  http://m:8080/\n", "manager=http://m:8080/"),
    (b"manager_url: >\n  http://m:8080/\n", "manager=http://m:8080/"),
    (b"manager_url: http://[::1]:8080/\n", "manager=http://[::1]:8080/"),
    // Names that are something else to YAML.
    (b"worker_name: 007\n", "name=007"),
    (b"worker_name: 1_000\n", "name=1_000"),
    (b"worker_name: 1.50\n", "name=1.50"),
    (b"worker_name: 0x1F\n", "name=0x1F"),
    (b"worker_name: 12:30:45\n", "name=12:30:45"),
    (b"worker_name: 2026-11-30\n", "name=2026-11-30"),
    (b"worker_name: On\n", "name=On"),
    (b"worker_name: TRUE\n", "name=TRUE"),
    (b"worker_name: .inf\n", "name=.inf"),
    (b"worker_name: nUll\n", "name=nUll"),
    (b"worker_name: !!str 12\n", "name=12"),
    (b"worker_name: 'it''s'\n", "name=it's"),
    (b"worker_name: \"a \\u00fc\"\n", "name=a ü"),
    (b"worker_name: a\n  b\n", "name=a b"),
    (b"worker_name: >-\n  a\n  b\n", "name=a b"),
    (b"worker_name: a:b#c\n", "name=a:b#c"),
    (b"worker_name: -x\n", "name=-x"),
    // Lists.
    (b"task_types:\n- blender\n- misc\n", "types=blender,misc"),
    (
        b"task_types:\n    - blender\n    - \"misc\"\n    - 'ffmpeg'\n\n  # - exotic\n",
        "types=blender,misc,ffmpeg",
    ),
    (b"task_types: [\n  blender,\n  misc,\n]\n", "types=blender,misc"),
    (b"task_types: [1, 2.0, true]\n", "types=1,2.0,true"),
    // Numbers.
    (b"restart_exit_code: +47\n", "code=47"),
    (b"restart_exit_code: 0x2F\n", "code=47"),
    (b"restart_exit_code: 0o57\n", "code=47"),
    (b"restart_exit_code: 0b101111\n", "code=47"),
    (b"restart_exit_code: 4_7\n", "code=47"),
    (b"restart_exit_code: 47.0\n", "code=47"),
    (b"restart_exit_code: !!int \"47\"\n", "code=47"),
    (b"oom_score_adjust: 0\n", "oom=0"),
    // Anchors, and tables that are merged into others.
    (b"x: &n node\nworker_name: *n\n", "name=node"),
    (b"x: &t [blender, misc]\ntask_types: *t\n", "types=blender,misc"),
    (
        b"defaults: &d\n  worker_name: x\n  restart_exit_code: 47\n<<: *d\nworker_name: y\n",
        "name=y code=47",
    ),
    (b"d: &d {worker_name: x}\nworker_name: y\n<<: *d\n", "name=x"),
    (
        b"a: &a {worker_name: x}\nb: &b {worker_name: y, restart_exit_code: 3}\n<<: [*a, *b]\n",
        "name=x code=3",
    ),
    (b"<<: {worker_name: x}\n", "name=x"),
];

/// What is written, what that worker reads of it, and what ours reads.
const READ_BETTER: &[(&str, &str, &str)] = &[
    ("restart_exit_code: \"47\"\n", "", "code=47"),
    ("oom_score_adjust: '300'\n", "oom=0", "oom=300"),
    (
        "task_types: [Blender, ' misc ', misc]\n",
        "types=Blender, misc ,misc",
        "types=blender,misc",
    ),
    ("task_types: ~\n", "types=null", ""),
    ("%YAML 1.2\n---\nworker_name: x\n", "", "name=x"),
    ("\t\nworker_name: x\n", "", "name=x"),
    ("manager_url: m:8080\n", "manager=m:8080", "manager=http://m:8080/"),
];

/// What is written, what that worker reads of it without a word, and why ours does not start.
const REFUSED: &[(&str, &str, &str)] = &[
    ("worker_name: a\n  manager_url: b\n", "", "2:14: this is not YAML: "),
    (
        "worker_name: a\ntask_types: [misc\nrestart_exit_code: 3\n",
        "",
        "3:18: this is not YAML: ",
    ),
    (
        "task_types:\n\t- blender\n",
        "",
        "2:2: this is not YAML: tabs disallowed",
    ),
    (
        "worker_name: @x\n",
        "",
        "1:14: this is not YAML: unexpected character: `@'",
    ),
    ("worker_name: *x\n", "", "1:14: this is not YAML: "),
    ("worker_name: a: b\n", "", "1:15: this is not YAML: "),
    ("worker_name: x\0\n", "", "1:15: this is not YAML: "),
    ("worker_name = x\n", "", "1:1: keys and values are expected here"),
    ("worker_name:x\n", "", "1:1: keys and values are expected here"),
    ("- worker_name: x\n", "", "1:1: keys and values are expected here"),
    ("manager_url: [::1]:8080\n", "", "1:19: this is not YAML: "),
    (
        "manager_url: http://m:8080/#x\n",
        "manager=http://m:8080/#x",
        "1:14: `manager_url` cannot be used: leave out",
    ),
    (
        "task_types: blender\n",
        "",
        "1:13: `task_types` must be a list in brackets, not a single value",
    ),
    (
        "task_types: blender, misc\n",
        "",
        "1:13: `task_types` must be a list in brackets, not a single value",
    ),
    (
        "task_types: ['blender, misc']\n",
        "types=blender, misc",
        "1:14: `task_types` must have one entry for each type",
    ),
    (
        "task_types: {blender: true}\n",
        "",
        "1:13: `task_types` must be a list in brackets, not a table",
    ),
    (
        "task_types: []\n",
        "types=",
        "1:13: `task_types` must have at least one type",
    ),
    (
        "task_types:\n-\n- misc\n",
        "types=,misc",
        "2:2: `task_types` must be a text in quotes, not nothing",
    ),
    (
        "worker_name: [a]\n",
        "",
        "1:14: `worker_name` must be a text in quotes, not a list",
    ),
    (
        "restart_exit_code: soon\nworker_name: x\n",
        "name=x",
        "1:20: `restart_exit_code` must be a whole number, not soon",
    ),
    (
        "restart_exit_code: 010\n",
        "code=8",
        "1:20: `restart_exit_code` must be written without a leading zero",
    ),
    (
        "restart_exit_code: 47.5\n",
        "code=47",
        "1:20: `restart_exit_code` must be a whole number, not 47.5",
    ),
    (
        "restart_exit_code: true\n",
        "",
        "1:20: `restart_exit_code` must be a whole number, not true",
    ),
    (
        "restart_exit_code: -1\n",
        "code=-1",
        "1:20: `restart_exit_code` cannot be used: -1 is not an exit code",
    ),
    (
        "restart_exit_code: 303\n",
        "code=303",
        "1:20: `restart_exit_code` cannot be used: 303 is not an exit code",
    ),
    (
        "oom_score_adjust: -500\n",
        "oom=-500",
        "1:19: `oom_score_adjust` must be between 0 and 1000, not -500",
    ),
    (
        "oom_score_adjust: 2000\n",
        "oom=2000",
        "1:19: `oom_score_adjust` must be between 0 and 1000, not 2000",
    ),
    ("x: &a [*a]\n", "", "1:8: "),
    (
        "a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b]\nd: [*c,*c]\n",
        "",
        "4:5: the aliases stand for too much",
    ),
];

/// Exit code, values that are no default, and what was said, with this file in the current directory.
fn read(yaml: &[u8]) -> (i32, String, String) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("flamenco-worker.yaml");
    fs::write(&file, yaml).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_flamenco-worker"))
        .arg("check-config")
        .current_dir(folder.path())
        .env_clear()
        .env("HOME", folder.path())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    let (out, said) = (text(output.stdout), text(output.stderr));
    let found = fs::canonicalize(&file).unwrap();
    let said = said.replace(&format!("{}:", found.display()), "");
    (output.status.code().unwrap(), values(&out, &found), said)
}

/// What the file has set, in short.
fn values(text: &str, file: &Path) -> String {
    let origin = format!("  # {}:", file.display());
    let set: toml::Table = text
        .lines()
        .filter_map(|line| line.split_once(&origin))
        .map(|(line, _)| format!("{line}\n"))
        .collect::<String>()
        .parse()
        .unwrap();
    let mut short = Vec::new();
    for (key, name) in [
        ("manager", "manager"),
        ("worker_name", "name"),
        ("task_types", "types"),
        ("restart_exit_code", "code"),
        ("oom_score_adjust", "oom"),
    ] {
        let value = match set.get(key) {
            None => continue,
            Some(toml::Value::Array(types)) => types
                .iter()
                .filter_map(toml::Value::as_str)
                .collect::<Vec<_>>()
                .join(","),
            Some(toml::Value::String(text)) => text.clone(),
            Some(other) => other.to_string(),
        };
        if !["types=blender,ffmpeg,file-management,misc", "oom=500"].contains(&format!("{name}={value}").as_str()) {
            short.push(format!("{name}={value}"));
        }
    }
    short.join(" ")
}

#[test]
fn j8_the_go_workers_file_is_read_in_every_form_that_it_reads() {
    for (yaml, expected) in READ_ALIKE {
        let (_, found, said) = read(yaml);
        assert_eq!(&found, expected, "{}: {said}", yaml.escape_ascii());
        assert!(
            said.is_empty() || said.contains("warning") || said.contains("no Manager"),
            "{said}"
        );
    }
    for (yaml, go, expected) in READ_BETTER {
        let (_, found, said) = read(yaml.as_bytes());
        assert_eq!(&found, expected, "{yaml:?}: {said}");
        assert_ne!(go, expected);
    }
}

#[test]
fn j8_what_cannot_be_meant_is_refused_with_its_place_and_not_left_out_without_a_word() {
    for (yaml, go, expected) in REFUSED {
        let (code, _, said) = read(yaml.as_bytes());
        assert_eq!(code, 78, "{yaml:?}, which is {go:?} to the other worker: {said}");
        assert!(
            said.starts_with(&format!("flamenco-worker: {expected}")),
            "{yaml:?}: {said}"
        );
    }
}
