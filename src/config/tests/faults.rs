// SPDX-License-Identifier: GPL-3.0-or-later

//! What is wrong with a file is reported with its place.

use std::fs;

use super::node;
use crate::config::search::FileFormat;
use crate::config::{Config, Environment, reader};
use crate::document::SourceFile;

fn toml_error(text: &str) -> String {
    node().write("cwd/flamenco-worker.toml", text).error("")
}

fn yaml_error(text: &str) -> String {
    node().write("cwd/flamenco-worker.yaml", text).error("")
}

#[test]
fn e15_a_broken_file_is_told_with_its_place() {
    assert_eq!(
        toml_error("worker_name = \"a\"\nmanager = \"http://m/\n"),
        "cwd/flamenco-worker.toml:2:21: invalid basic string, expected `\"`\n  \
         2 | manager = \"http://m/\n    |                     ^"
    );
    let text = yaml_error("worker_name: a\ntask_types: [blender\nrestart_exit_code: 3\n");
    assert!(text.starts_with("cwd/flamenco-worker.yaml:3:"), "{text}");
    assert!(text.contains("this is not YAML: "), "{text}");
    let text = yaml_error("worker_name: a\n  manager_url: b\n");
    assert!(text.starts_with("cwd/flamenco-worker.yaml:2:"), "{text}");
    assert!(yaml_error("- a\n").contains(":1:1: keys and values are expected here"));
    assert!(yaml_error("just words\n").contains(":1:1: keys and values are expected here"));
    let node = node();
    fs::write(
        node.dir.path().join("cwd/flamenco-worker.toml"),
        b"nice = 1\nhome = \"\xff\"\n",
    )
    .unwrap();
    assert!(
        node.error("")
            .starts_with("cwd/flamenco-worker.toml:2:9: the file is not UTF-8")
    );
}

#[test]
fn g6_a_wrong_type_is_told_with_its_place_and_everything_at_once() {
    assert_eq!(
        toml_error("worker_name = 7\noom_score_adjust = 5000\n\n[timings]\ngrace = 30\n"),
        "cwd/flamenco-worker.toml:1:15: `worker_name` must be a text in quotes, not a number\n  \
           1 | worker_name = 7\n    |               ^\n\
         cwd/flamenco-worker.toml:2:20: `oom_score_adjust` must be between 0 and 1000, not 5000\n  \
           2 | oom_score_adjust = 5000\n    |                    ^^^^\n\
         cwd/flamenco-worker.toml:5:9: `grace` needs a unit: \"30s\" for seconds, \"30ms\" for milliseconds\n  \
           5 | grace = 30\n    |         ^^"
    );
}

/// What is written in the TOML, and the error that it makes.
const TOML_VALUES: &[(&str, &str)] = &[
    (
        "manager = [\"m\"]",
        "1:11: `manager` must be a text in quotes, not a list",
    ),
    (
        "manager = \"ftp://m\"",
        "1:11: `manager` cannot be used: the Manager speaks http, or https behind a proxy, not ftp",
    ),
    (
        "manager = \"m\"\nmanager_url = \"m\"",
        "2:1: `manager_url` is here a second time",
    ),
    ("task_types = []", "1:14: `task_types` must have at least one type"),
    (
        "task_types = [\"a\", \"b,c\"]",
        "1:20: `task_types` must have one entry for each type",
    ),
    ("task_types = [\" \"]", "1:15: `task_types` has an empty entry"),
    (
        "task_types = \"blender\"",
        "1:14: `task_types` must be a list in brackets, not a text",
    ),
    (
        "restart_exit_code = 303",
        "1:21: `restart_exit_code` cannot be used: 303 is not an exit code",
    ),
    (
        "restart_exit_code = 78",
        "1:21: `restart_exit_code` cannot be used: 78 already means",
    ),
    (
        "restart_exit_code = 99999999999999999999",
        "1:21: `restart_exit_code` must be a whole number",
    ),
    ("home = \"here\"", "1:8: `home` must be an absolute path"),
    ("nice = 20", "1:8: `nice` must be between -20 and 19, not 20"),
    ("nice = 1.5", "1:8: `nice` must be a whole number, not 1.5"),
    ("push = \"off\"", "1:8: `push` must be true or false, not a text"),
    ("tls.ca_file = \"ca.pem\"", "1:15: `ca_file` must be an absolute path"),
    ("tls.ca = \"/ca.pem\"", "1:5: unknown key `ca`"),
    (
        "tls.client_key = \"/key.pem\"",
        "1:18: `client_key` needs `client_certificate` beside it",
    ),
    (
        "headers.Authorization = \"x\"",
        "1:9: `Authorization` cannot be set: it carries this worker's own identity",
    ),
    (
        "headers.\"a b\" = \"x\"",
        "1:9: `a b` is no name of a header: letters, digits and dashes make one",
    ),
    (
        "headers.X-A = \"x\\ny\"",
        "1:15: `X-A` has characters that no header can have",
    ),
    (
        "headers.X-A = { file = \"/nowhere/x\" }",
        "1:24: `X-A` cannot be read from /nowhere/x: No such file",
    ),
    (
        "headers.X-A = \"x\"\nheaders.x-a = \"y\"",
        "2:9: `x-a` is here a second time",
    ),
    ("log = true", "1:7: `log` must be a table, not a true or false"),
    ("log.level = \"loud\"", "1:13: `level` must be \"error\", \"warn\""),
    (
        "timings.grace = \"2d\"",
        "1:17: `grace` must be between 1ms and 1h, not 2d",
    ),
    (
        "timings.grace = \"0s\"",
        "1:17: `grace` must be between 1ms and 1h, not 0s",
    ),
    (
        "timings.idle_min = \"1m\"",
        "1:20: `idle_max` (20s) must not be less than `idle_min` (1m)",
    ),
    ("spool.task_log_limit = 5", "1:24: `task_log_limit` needs a unit"),
    (
        "spool.task_log_limit = \"5B\"",
        "1:24: `task_log_limit` must be between 1KiB and 1TiB, not 5B",
    ),
    (
        "spool.history_tasks = -1",
        "1:23: `history_tasks` must be between 0 and 10000, not -1",
    ),
];

/// What is written in the YAML, and the error that it makes.
const YAML_VALUES: &[(&str, &str)] = &[
    (
        "task_types: blender",
        "1:13: `task_types` must be a list in brackets, not a single value",
    ),
    (
        "restart_exit_code: soon",
        "1:20: `restart_exit_code` must be a whole number, not soon",
    ),
    (
        "restart_exit_code: 047",
        "1:20: `restart_exit_code` must be written without a leading zero",
    ),
    (
        "worker_name: [a]",
        "1:14: `worker_name` must be a text in quotes, not a list",
    ),
    (
        "manager_url: 'http://'",
        "1:14: `manager_url` cannot be used: a host name is missing",
    ),
];

#[test]
fn g6_a_value_that_cannot_be_meant_is_told_with_its_place() {
    for (text, wrong) in TOML_VALUES {
        let found = toml_error(text);
        assert!(
            found.starts_with(&format!("cwd/flamenco-worker.toml:{wrong}")),
            "{text}: {found}"
        );
    }
    for (text, wrong) in YAML_VALUES {
        let found = yaml_error(text);
        assert!(
            found.starts_with(&format!("cwd/flamenco-worker.yaml:{wrong}")),
            "{text}: {found}"
        );
    }
}

#[test]
fn g6_an_unknown_key_of_ours_is_an_error_with_a_suggestion() {
    assert_eq!(
        toml_error("\n\tworker_nmae = \"a\" # ü\n"),
        "cwd/flamenco-worker.toml:2:2: unknown key `worker_nmae`\n  \
         2 | \tworker_nmae = \"a\" # ü\n    | \t^^^^^^^^^^^\n  did you mean `worker_name`?"
    );
    for (text, advice) in [
        ("[timings]\ngrase = \"1s\"", "did you mean `grace`?"),
        (
            "[log]\nworker_name = \"a\"",
            "`worker_name` belongs above the first [table]",
        ),
        ("grace = \"1s\"", "`grace` belongs in the table [timings]"),
        ("[log]\nfile = \"a\"", "known here: level"),
    ] {
        assert!(toml_error(text).ends_with(advice), "{}", toml_error(text));
    }
}

#[test]
fn g6_a_key_that_has_another_name_now_is_read_with_a_warning_that_names_it() {
    let text = "[timings]\nanswer = \"7s\"\nlock = \"8s\"\n";
    let node = node().write("cwd/flamenco-worker.toml", text);
    assert_eq!(
        node.warnings(),
        [
            "cwd/flamenco-worker.toml:2:1: `answer` is called `request_timeout` now; it is read all the same; write the new name",
            "cwd/flamenco-worker.toml:3:1: `lock` is called `lock_timeout` now; it is read all the same; write the new name",
        ]
    );
    let timings = node.load("").timings;
    assert_eq!(
        (timings.request_timeout.as_secs(), timings.lock_timeout.as_secs()),
        (7, 8)
    );
    assert!(toml_error(&format!("{text}lock_timeout = \"9s\"\n")).contains("`lock_timeout` is here a second time"));
}

#[test]
fn g6_an_unknown_key_of_the_go_worker_is_a_warning_with_a_suggestion() {
    let node = node().write(
        "cwd/flamenco-worker.yaml",
        "manager: http://a/\nworker_name: x\ntask_tipes: [a]\nworker_name: y\nshaman: {a: 1}\n",
    );
    assert_eq!(
        node.warnings(),
        [
            "cwd/flamenco-worker.yaml:1:1: unknown key `manager`; known here: manager_url, task_types, worker_name, \
             restart_exit_code, oom_score_adjust",
            "cwd/flamenco-worker.yaml:3:1: unknown key `task_tipes`; did you mean `task_types`?",
            "cwd/flamenco-worker.yaml:4:1: `worker_name` is here a second time; take one of them out; of several the \
             Go worker takes the last",
            "cwd/flamenco-worker.yaml:5:1: unknown key `shaman`; known here: manager_url, task_types, worker_name, \
             restart_exit_code, oom_score_adjust",
        ]
    );
    assert_eq!(node.load("").worker_name, "y");
}

#[test]
fn a_password_in_the_managers_url_is_not_shown() {
    let text = toml_error("manager = \"http://me:geheim@m/\"");
    assert!(
        text.contains(":1:11: `manager` cannot be used: leave out the name and password"),
        "{text}"
    );
    assert!(!text.contains("geheim"), "{text}");
}

#[test]
fn a_place_in_a_long_line_is_shown_around_it() {
    let line = format!("worker_name = \"{}\" ; x", "ü".repeat(200));
    let text = toml_error(&line);
    assert!(text.lines().all(|line| line.chars().count() < 100), "{text}");
    assert!(text.contains("ü\" ; x"), "{text}");
}

proptest::proptest! {
    #[test]
    fn no_file_makes_it_panic(text in "([a-z_]{1,12} ?[=:] ?[\"'\\[{&*!|>-]?\\PC{0,10}[\"'\\]}]?\n?){0,6}") {
        let environment = Environment::default();
        for (name, format) in [("a.toml", FileFormat::Toml), ("a.yaml", FileFormat::Yaml)] {
            let source = SourceFile { path: name.into(), text: text.clone() };
            if let Err(error) = reader::read(&source, format, &mut Config::defaults(&environment), &mut Vec::new()) {
                assert!(!error.to_string().is_empty());
            }
        }
    }
}
