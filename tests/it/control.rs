// SPDX-License-Identifier: GPL-3.0-or-later

//! `flamenco-worker drain | sleep | wake | stop`, beside a real worker, its home found in each way there is.

use std::path::Path;
use std::process::{Command, Output};

use standin_manager::{TaskStatus, WorkerStatus};

use test_bed::{Farm, Node, as_user, logged, own_user, start_as, start_through};

const WORKER: &str = env!("CARGO_BIN_EXE_flamenco-worker");

/// Runs a command with these variables and no others of ours, elsewhere than the worker.
fn command(words: &[&str], variables: &[(&str, &Path)]) -> Output {
    let mut command = Command::new(WORKER);
    command.args(words).current_dir("/").env_remove("FLAMENCO_HOME");
    command.envs(variables.iter().copied()).output().unwrap()
}

fn said(output: &Output) -> String {
    let both = [output.stdout.as_slice(), output.stderr.as_slice()].concat();
    String::from_utf8(both).unwrap()
}

/// All four, one after the other; each is told to the Manager.
fn obeys(farm: &Farm, mut node: Node, words: &[&str], variables: &[(&str, &Path)]) {
    let tell = |word: &'static str| {
        let output = command(&[words, &[word]].concat(), variables);
        assert_eq!(output.status.code(), Some(0), "{}", said(&output));
        said(&output)
    };
    let pid = node.pid();
    assert_eq!(
        tell("sleep"),
        format!("worker {pid} will take no new task until it is woken\n")
    );
    farm.status(WorkerStatus::Asleep);
    assert_eq!(tell("wake"), format!("worker {pid} will take tasks again\n"));
    farm.awake();
    let task = farm.running("echo running; until [ -e go ]; do sleep 0.02; done");
    assert_eq!(tell("drain"), format!("worker {pid} will finish its task and leave\n"));
    logged(&node, "signal received: Drain");
    assert_eq!(
        tell("stop"),
        format!("worker {pid} will end its task, give it back and leave\n")
    );
    assert_eq!(node.ended(), 0);
    assert_eq!(farm.manager.task(&task).unwrap().status, TaskStatus::Queued);
    node.nothing_left();
}

#[test]
fn e4_a_worker_is_found_through_its_home() {
    let (farm, node) = Farm::with_awake_node();
    let home = node.home();
    obeys(&farm, node, &[], &[("FLAMENCO_HOME", &home)]);
}

#[test]
fn e4_a_worker_is_found_through_its_configuration() {
    let (farm, mut node) = Farm::with_node();
    node.config.top.push(format!("home = {:?}", node.home()));
    start_through(&mut node, ["env", "-u", "FLAMENCO_HOME"]);
    farm.awake();
    let config = node.folder.join("flamenco-worker.toml");
    obeys(&farm, node, &["--config", config.to_str().unwrap()], &[]);
}

#[test]
fn e4_a_worker_is_found_where_homes_are_by_default() {
    let (farm, mut node) = Farm::with_node();
    std::os::unix::fs::symlink(node.folder.join("flamenco"), node.home()).unwrap();
    let data = node.folder.clone();
    node.environment.push(("XDG_DATA_HOME".into(), data.clone().into()));
    start_through(&mut node, ["env", "-u", "FLAMENCO_HOME"]);
    farm.awake();
    obeys(&farm, node, &[], &[("XDG_DATA_HOME", &data)]);
}

/// As root is beside a service: nothing tells the command which home is meant but the worker that runs.
#[test]
fn g4_a_worker_whose_home_nobody_names_is_found_by_its_lock_and_of_several_none_is_told() {
    let (farm, mut node) = Farm::with_node();
    let Some(owner) = own_user(&farm, &node) else { return };
    let words = |node: &mut Node| {
        let mut words: Vec<_> = as_user(owner).into_iter().map(Into::into).collect();
        words.push(WORKER.into());
        start_as(node, &words);
    };
    words(&mut node);
    farm.awake();
    let run = |word: &str| {
        let user = as_user(owner);
        let mut command = Command::new(&user[0]);
        command.args(&user[1..]).args([WORKER, word]).current_dir("/");
        command
            .env_remove("FLAMENCO_HOME")
            .env_remove("XDG_DATA_HOME")
            .env("HOME", "/nowhere")
            .output()
            .unwrap()
    };
    let task = farm.script("true");
    farm.completed(&task);
    assert!(said(&run("history")).contains(&task[..8]), "{}", said(&run("history")));
    assert!(said(&run("doctor")).contains(&node.home().display().to_string()));
    let mut second = farm.node("second");
    std::os::unix::fs::chown(&second.folder, Some(owner), Some(owner)).unwrap();
    words(&mut second);
    logged(&second, "manager accepted sign-on");
    let several = run("sleep");
    assert_eq!(several.status.code(), Some(1));
    for home in [node.home(), second.home()] {
        assert!(
            said(&several).contains(&home.display().to_string()),
            "{}",
            said(&several)
        );
    }
    assert_eq!(second.stop(), 0);
    assert!(said(&run("stop")).contains("will end its task"));
    assert_eq!(node.ended(), 0);
    assert!(
        said(&run("stop")).contains("no worker uses the home /nowhere"),
        "{}",
        said(&run("stop"))
    );
    second.nothing_left();
}

#[test]
fn e4_where_no_worker_is_that_is_said_and_nobody_told() {
    let (_farm, mut node) = Farm::with_awake_node();
    let home = node.home();
    assert_eq!(node.stop(), 0);
    let nowhere = home.join("nowhere");
    for dir in [&home, &nowhere] {
        for word in ["drain", "sleep", "wake", "stop"] {
            let output = command(&[word], &[("FLAMENCO_HOME", dir)]);
            assert_eq!(output.status.code(), Some(1));
            let expected = format!("flamenco-worker: no worker uses the home {}; ", dir.display());
            assert!(said(&output).starts_with(&expected), "{}", said(&output));
        }
    }
    node.nothing_left();
}

#[test]
fn e4_another_users_worker_is_not_told_and_not_taken_for_none() {
    let (farm, mut node) = Farm::with_node();
    let Some(owner) = own_user(&farm, &node) else { return };
    let mut words: Vec<_> = as_user(owner).into_iter().map(Into::into).collect();
    words.push(WORKER.into());
    start_as(&mut node, &words);
    farm.awake();
    let stranger = as_user(owner + 1);
    let mut command = Command::new(&stranger[0]);
    command.args(&stranger[1..]).arg(WORKER).arg("stop").current_dir("/");
    let output = command
        .env("FLAMENCO_HOME", node.home())
        .env("HOME", "/")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    let said = said(&output);
    assert!(
        said.contains("another user's") && said.contains("Permission denied"),
        "{said}"
    );
    // Root sees it, and may.
    let home = node.home();
    obeys(&farm, node, &[], &[("FLAMENCO_HOME", &home)]);
}
