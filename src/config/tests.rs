// SPDX-License-Identifier: GPL-3.0-or-later

use super::keys::SpoolLimits;
use std::fs;
use std::time::Duration;

use tempfile::TempDir;

use super::*;
use crate::departure::RestartCode;
use crate::timings::Timings;

mod faults;

struct TestNode {
    dir: TempDir,
    environment: Environment,
}

/// A node with nothing on it: `cwd`, `home` and `etc` in a directory of its own.
fn node() -> TestNode {
    let dir = tempfile::tempdir().unwrap();
    for name in ["cwd", "home/.config/flamenco", "etc"] {
        fs::create_dir_all(dir.path().join(name)).unwrap();
    }
    let environment = Environment {
        directory: dir.path().join("cwd"),
        hostname: "node7".into(),
        user_home: Some(dir.path().join("home")),
        system: dir.path().join("etc"),
        ..Environment::default()
    };
    TestNode { dir, environment }
}

impl TestNode {
    fn write(self, path: &str, text: &str) -> Self {
        fs::write(self.dir.path().join(path), text).unwrap();
        self
    }

    fn variable(mut self, name: &str, value: &str) -> Self {
        self.environment.variables.insert(name.into(), value.into());
        self
    }

    fn try_load(&self, line: &str) -> Result<(Config, Vec<Warning>), ConfigError> {
        let words = std::iter::once("w").chain(line.split_whitespace());
        Config::load(&Arguments::parse(words.map(Into::into)).unwrap(), &self.environment)
    }

    fn load(&self, line: &str) -> Config {
        self.try_load(line).unwrap().0
    }

    /// The error's text with the directory of the test taken out.
    fn error(&self, line: &str) -> String {
        let text = self.try_load(line).unwrap_err().to_string();
        text.replace(&format!("{}/", self.dir.path().display()), "")
    }

    fn warnings(&self) -> Vec<String> {
        let (_, warnings) = self.try_load("").unwrap();
        let prefix = format!("{}/", self.dir.path().display());
        warnings
            .iter()
            .map(|warning| format!("{warning:#}").replace(&prefix, ""))
            .collect()
    }
}

#[test]
fn without_anything_there_are_defaults() {
    let config = node().load("");
    assert_eq!(config.worker_name, "node7");
    assert_eq!(config.task_types, ["blender", "ffmpeg", "file-management", "misc"]);
    assert_eq!(
        (config.manager.clone(), config.file.clone(), config.home.clone()),
        (None, None, None)
    );
    assert_eq!(
        (config.timings.clone(), config.log.level),
        (Timings::default(), Level::INFO)
    );
    assert_eq!(config.origin("worker_name"), &SettingOrigin::Default);
}

#[test]
fn every_key_of_the_toml_is_read() {
    let text = r#"
        manager = "render-manager:8080"
        worker_name = " gpu 1 "
        task_types = ["Blender", " misc", "misc"]
        restart_exit_code = 47
        home = "/var/lib/flamenco"
        oom_score_adjust = 500
        nice = 10
        push = false
        [tls]
        ca_file = "/etc/farm/ca.pem"
        client_certificate = "/etc/farm/node.pem"
        client_key = "/etc/farm/node.key"
        [log]
        level = "debug"
        [timings]
        grace = "250ms"
        set_aside = "1h30m"
        [spool]
        task_log_limit = "64MiB"
        history_tasks = 0
    "#;
    let node = node().write("cwd/flamenco-worker.toml", text);
    let config = node.load("");
    assert_eq!(
        config.manager.as_ref().map(ToString::to_string).as_deref(),
        Some("http://render-manager:8080/")
    );
    assert_eq!((config.worker_name.as_str(), config.task_types.len()), ("gpu 1", 2));
    assert_eq!(config.restart_exit_code.map(RestartCode::code), Some(47));
    assert_eq!(config.home, Some("/var/lib/flamenco".into()));
    assert_eq!((config.oom_score_adjust, config.nice), (Some(500), Some(10)));
    assert!(!config.push);
    assert_eq!(config.log.level, Level::DEBUG);
    assert_eq!(config.timings.grace, Duration::from_millis(250));
    assert_eq!(config.timings.set_aside, Duration::from_secs(5400));
    assert_eq!(
        config.spool,
        SpoolLimits {
            task_log_limit: 64 << 20,
            history_tasks: 0
        }
    );
    let path = node.dir.path().join("cwd/flamenco-worker.toml");
    assert_eq!(config.origin("timings.grace"), &SettingOrigin::File { path, line: 17 });
    assert_eq!(config.tls.client_key, Some("/etc/farm/node.key".into()));
    assert_eq!(config.origin("timings.lock_timeout"), &SettingOrigin::Default);
}

#[test]
fn what_the_manual_says_of_a_key_can_be_written() {
    let mut text = String::new();
    let mut names = Vec::new();
    for table in manual::tables() {
        text += &match table.name {
            "" => String::new(),
            name => format!("[{name}]\n"),
        };
        for key in table.keys {
            assert!(key.about.ends_with('.') && !key.takes.is_empty(), "{key:?}");
            let (manual::ManualValue::Default(value) | manual::ManualValue::Example(value)) = &key.value;
            text += &format!("{} = {value}\n", key.name);
            names.push(match table.name {
                "" => key.name.to_owned(),
                "headers" => format!("headers.{}", key.name.to_lowercase()),
                name => format!("{name}.{}", key.name),
            });
        }
    }
    let node = node().write("cwd/flamenco-worker.toml", &text);
    assert_eq!(node.warnings(), [""; 0]);
    let config = node.load("");
    for name in &names {
        assert_ne!(config.origin(name), &SettingOrigin::Default, "{name}");
    }
    assert_eq!(names.len(), config.origins.len());
    let defaults = Config::defaults(&node.environment);
    let values = |config: &Config| {
        let tables = config.effective();
        let values = tables.into_iter().flat_map(|table| table.values);
        values
            .map(|value| (value.name.clone(), format!("{:?}", value.value)))
            .collect::<Vec<_>>()
    };
    let (written, defaults) = (values(&config), values(&defaults));
    let changed = written.iter().filter(|value| !defaults.contains(value));
    let names: Vec<_> = changed.map(|(name, _)| name.as_str()).collect();
    let examples = "manager worker_name restart_exit_code home nice metrics ca_file client_certificate client_key x-farm memory programs write read";
    assert_eq!(names.join(" "), examples, "a default is not the one that is said");
}

#[test]
fn a_headers_value_is_read_from_the_file_or_from_one_of_its_own_and_never_shown() {
    let node = node();
    let token = node.dir.path().join("token");
    std::fs::write(&token, "s3cret two\n").unwrap();
    let text = format!("headers.X-Farm = \"s3cret one\"\nheaders.x-token = {{ file = {token:?} }}\n");
    let config = node.write("cwd/flamenco-worker.toml", &text).load("");
    assert_eq!(config.headers["x-farm"], "s3cret one");
    assert_eq!(config.headers["X-Token"], "s3cret two");
    assert!(!format!("{config:?}").contains("s3cret"));
}

#[test]
fn the_go_workers_yaml_is_read_as_it_is() {
    let text = "# Configuration file for Flamenco Worker.\n\nworker_name: 007\nmanager_url: http://m:8080\n\
                task_types: [blender, Misc]\nrestart_exit_code: 47\noom_score_adjust: 500\n";
    let config = node().write("cwd/flamenco-worker.yaml", text).load("");
    assert_eq!(config.worker_name, "007");
    assert_eq!(
        config.manager.as_ref().map(ToString::to_string).as_deref(),
        Some("http://m:8080/")
    );
    assert_eq!(config.task_types, ["blender", "misc"]);
    assert_eq!(config.restart_exit_code.map(RestartCode::code), Some(47));
    assert_eq!(config.oom_score_adjust, Some(500));
    for (text, name) in [
        ("", "node7"),
        ("# nothing\n", "node7"),
        ("---\n", "node7"),
        ("worker_name:\nmanager_url: \"\"\ntask_types: ~\n", "node7"),
        ("worker_name: yes\n", "yes"),
        ("worker_name: &n 'a: b'\n", "a: b"),
        ("\u{feff}worker_name: x\r\n", "x"),
        ("worker_name: x\n---\nworker_name: y\n", "x"),
    ] {
        let config = node().write("cwd/flamenco-worker.yaml", text).load("");
        assert_eq!((config.worker_name.as_str(), config.manager), (name, None), "{text:?}");
    }
}

#[test]
fn what_is_typed_goes_before_the_environment_and_that_before_the_file() {
    let file =
        "manager = \"file\"\nrestart_exit_code = 3\nworker_name = \"file\"\nhome = \"/file\"\nlog.level = \"error\"\n";
    let node = node().write("cwd/flamenco-worker.toml", file);
    let config = node.load("-manager typed -restart-exit-code 0 -debug");
    assert_eq!(
        config.manager.as_ref().map(ToString::to_string).as_deref(),
        Some("http://typed/")
    );
    assert_eq!((config.restart_exit_code, config.log.level), (None, Level::DEBUG));
    assert_eq!(config.origin("manager"), &SettingOrigin::CommandLine);
    let node = node
        .variable("FLAMENCO_WORKER_NAME", " env ")
        .variable("FLAMENCO_HOME", "env")
        .variable("FLAMENCO_LOG", "warn");
    let config = node.load("");
    assert_eq!((config.worker_name.as_str(), config.log.level), ("env", Level::WARN));
    assert_eq!(config.home, Some(node.dir.path().join("cwd/env")));
    assert_eq!(config.origin("home"), &SettingOrigin::Environment("FLAMENCO_HOME"));
    assert_eq!(node.load("-trace").log.level, Level::TRACE);
}

#[test]
fn g2_the_go_workers_file_goes_before_the_environment_for_the_name() {
    let with_name = |text| {
        let node = node().write("cwd/flamenco-worker.yaml", text);
        node.variable("FLAMENCO_WORKER_NAME", "env").load("").worker_name
    };
    assert_eq!(with_name("worker_name: file\n"), "file");
    assert_eq!(with_name("worker_name: ' '\n"), "env");
    assert_eq!(with_name(""), "env");
}

#[test]
fn the_first_file_that_is_there_is_read() {
    let places = [
        "cwd/flamenco-worker.toml",
        "cwd/flamenco-worker.yaml",
        "home/.config/flamenco/flamenco-worker.toml",
        "home/.config/flamenco/flamenco-worker.yaml",
        "etc/flamenco-worker.toml",
        "etc/flamenco-worker.yaml",
        "etc/worker.toml",
    ];
    for first in 0..places.len() {
        let mut node = node();
        for place in &places[first..] {
            node = node.write(place, "");
        }
        assert_eq!(node.load("").file, Some(node.dir.path().join(places[first])));
    }
    let node = node()
        .write("cwd/flamenco-worker.toml", "")
        .write("etc/mine.yml", "worker_name: mine\n");
    assert_eq!(node.load("--config ../etc/mine.yml").worker_name, "mine");
    assert_eq!(
        node.error("--config none.toml"),
        "cwd/none.toml: there is no such file\n  it was asked for with --config"
    );
    assert!(
        node.error("--config ../etc")
            .starts_with("cwd/../etc: cannot be read: ")
    );
}

#[test]
fn a_yaml_that_is_not_read_is_mentioned() {
    let node = node()
        .write("cwd/flamenco-worker.toml", "")
        .write("cwd/flamenco-worker.yaml", "x: [");
    assert_eq!(
        node.warnings(),
        ["cwd/flamenco-worker.yaml is not read; cwd/flamenco-worker.toml goes first"]
    );
}

#[test]
fn a_log_filter_in_the_environment_is_checked() {
    let config = node()
        .variable("FLAMENCO_LOG", "info,flamenco_worker::spool=trace")
        .load("");
    assert_eq!(config.log.filter.as_deref(), Some("info,flamenco_worker::spool=trace"));
    let spaced = node().variable("FLAMENCO_LOG", " warn , hyper=off,").load("");
    assert_eq!(spaced.log.filter.as_deref(), Some("warn,hyper=off"));
    for (text, why) in [
        ("info,hyper=loud", "level filter"),
        ("info,hyper[request]=debug", "no spans or fields"),
        ("{task}", "no spans or fields"),
    ] {
        let error = node().variable("FLAMENCO_LOG", text).error("");
        assert!(
            error.starts_with("environment variable FLAMENCO_LOG: ") && error.contains(why),
            "{error}"
        );
    }
}
