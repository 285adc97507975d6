// SPDX-License-Identifier: GPL-3.0-or-later

//! Which file a reload reads, where another one is found first by now.

use std::fs;
use std::process::Command;

use test_bed::Farm;

use super::{WORKER, refused, reloaded};
use crate::sandbox::no_landlock;

#[test]
fn n54_a_configuration_that_a_task_has_put_where_one_is_looked_for_first_is_not_read() {
    if no_landlock() {
        return;
    }
    let farm = Farm::new();
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
    fs::rename(at("flamenco-worker.toml"), &file).unwrap();
    let command = |words: &[&str]| {
        let mut command = Command::new(WORKER);
        command.args(words).current_dir(&work).env("FLAMENCO_HOME", at("home"));
        command.env("XDG_CONFIG_HOME", at("xdg"));
        command
    };
    let mut start = command(&[]);
    let doctor = command(&["doctor"]).output().unwrap();
    let said = String::from_utf8(doctor.stdout).unwrap();
    assert!(said.contains("looks for its configuration first"), "{said}");
    let planted = work.join("flamenco-worker.toml");
    let outside = at("outside");
    node.start_with(&mut start);
    farm.awake();
    farm.completed(&farm.script(&format!("echo 'nice = 5' > {}", planted.display())));
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
