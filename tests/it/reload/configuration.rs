// SPDX-License-Identifier: GPL-3.0-or-later

//! Which file a reload reads, where another one is found first by now.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use test_bed::{Farm, Node};

use super::{WORKER, refused, reloaded};
use crate::sandbox::no_landlock;

/// A node that is to be started in a folder where tasks may write, with its configuration at the next place.
struct Elsewhere {
    node: Node,
    work: PathBuf,
    file: PathBuf,
    /// Where another one would be found first.
    planted: PathBuf,
}

impl Elsewhere {
    fn of(farm: &Farm) -> Self {
        let mut node = farm.node("node");
        let at = |name: &str| node.folder.join(name);
        let (work, file) = (at("work"), at("xdg/flamenco/flamenco-worker.toml"));
        for folder in [&work, file.parent().unwrap()] {
            fs::create_dir_all(folder).unwrap();
        }
        node.config.top = vec![
            format!("manager = {:?}", farm.manager.url()),
            format!("[sandbox]\nwrite = [{:?}]", work.display().to_string()),
        ];
        node.write_config();
        fs::rename(node.folder.join("flamenco-worker.toml"), &file).unwrap();
        let planted = work.join("flamenco-worker.toml");
        Self {
            node,
            work,
            file,
            planted,
        }
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(WORKER);
        command.args(words).current_dir(&self.work);
        command.env("FLAMENCO_HOME", self.node.home());
        command.env("XDG_CONFIG_HOME", self.node.folder.join("xdg"));
        command
    }

    fn start(&mut self, farm: &Farm) {
        let mut start = self.command(&[]);
        self.node.start_with(&mut start);
        farm.awake();
    }
}

#[test]
fn n54_a_task_puts_no_configuration_where_one_would_be_found_first() {
    if no_landlock() {
        return;
    }
    let farm = Farm::new();
    let mut elsewhere = Elsewhere::of(&farm);
    let planted = elsewhere.planted.display().to_string();
    let shown = elsewhere.command(&["check-config"]).output().unwrap();
    let shown = String::from_utf8(shown.stdout).unwrap();
    let line = format!("closed: where a configuration would be found first: {planted} ");
    assert!(shown.contains(&line), "{shown}");
    elsewhere.start(&farm);
    let task = farm.script(&format!(
        "echo 'nice = 5' > {planted}; echo 'nice = 5' > $TMPDIR/x; mv $TMPDIR/x {planted}; echo over"
    ));
    farm.completed(&task);
    let log = farm.log(&task);
    assert!(log.contains("> over") && !elsewhere.planted.exists(), "{log}");
    elsewhere.node.finish();
}

#[test]
fn n54_a_configuration_that_was_put_where_one_is_looked_for_first_is_not_read_by_a_reload() {
    if no_landlock() {
        return;
    }
    let farm = Farm::new();
    let mut elsewhere = Elsewhere::of(&farm);
    elsewhere.start(&farm);
    let Elsewhere {
        node,
        work: _,
        file,
        planted,
    } = elsewhere;
    let outside = node.folder.join("outside");
    fs::write(&planted, "nice = 5\n").unwrap();
    for round in 1..=2 {
        reloaded(&node);
        let line = format!(
            "{} is not read; this worker goes on with {}",
            planted.display(),
            file.display()
        );
        node.until("it to be said", || node.log().matches(&line).count() == round);
        farm.failed(&farm.script(&format!("echo > {}", outside.display())));
        assert!(!outside.exists());
    }
    // No other one is looked for.
    fs::rename(&file, file.with_extension("moved")).unwrap();
    let why = refused(&node);
    assert!(why.contains("there is no such file any more"), "{why}");
    fs::rename(file.with_extension("moved"), &file).unwrap();
    fs::remove_file(&planted).unwrap();
    reloaded(&node);
    let task = farm.script("env");
    farm.completed(&task);
    assert!(!farm.log(&task).contains("FOUND_CONFIGURATION"), "{}", farm.log(&task));
    node.finish();
}
