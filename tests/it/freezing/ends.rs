// SPDX-License-Identifier: GPL-3.0-or-later

//! Ends, and new beginnings, of what stands still.

use nix::sys::signal::Signal;
use standin_manager::TaskStatus;
use test_bed::{Farm, as_user, becoming_root, dies, kill_together, lives, logged, number, own_user, start_through};

use super::{Place, Seen, each_place, kill_now};

/// Leaves a child of its own session, and one of its own.
const FAMILY: &str = "setsid sleep 1000 & echo $! > child; sleep 1000 & echo running; wait";

fn child(place: &Place) -> i32 {
    number(&place.node.folder.join("child"))
}

fn all_die(place: &Place, tree: &[Seen]) {
    for one in tree {
        dies(one.pid, &place.node);
    }
}

#[test]
fn m5_a_program_killed_while_it_stands_still_has_ended_and_what_it_leaves_stands_still() {
    each_place(&[("output_drain", "50ms")], |place| {
        let task = place.farm.running(FAMILY);
        let still = place.pause();
        let shell = still.iter().find(|one| one.name == "bash").unwrap().pid;
        kill_now(shell);
        dies(shell, &place.node);
        let left: Vec<_> = place.stands_still().iter().map(|one| one.pid).collect();
        assert!(left.len() == 2 && left.contains(&child(place)), "{left:?}");
        place.tell("resume");
        place.farm.failed(&task);
        let log = place.farm.log(&task);
        assert!(
            log.contains("was killed by SIGKILL (9) after") && log.contains("paused)"),
            "{log}"
        );
        assert!(left.iter().all(|pid| !lives(*pid)));
    });
}

#[test]
fn m5_nothing_is_left_of_who_stands_still_when_its_guard_or_its_worker_is_killed() {
    each_place(&[], |place| {
        let task = place.farm.running(FAMILY);
        let still = place.pause();
        kill_now(place.guard());
        all_die(place, &still);
        place.farm.reaches(&task, TaskStatus::Queued);
        place.tell("resume");
        place.farm.reaches(&task, TaskStatus::Active);
        let job = place.farm.manager.task(&task).unwrap().job;
        let second = {
            place.node.until("the program to run again", || {
                place.node.children().len() == 1 && place.tree().len() == 3
            });
            place.pause()
        };
        let guard = place.guard();
        place.node.kill();
        all_die(place, &second);
        dies(guard, &place.node);
        place.farm.manager.cancel_job(&job).unwrap();
        start_again(place);
    });
}

#[test]
fn m5_who_stands_still_and_has_lost_both_guard_and_worker_is_ended_at_the_next_start() {
    each_place(&[], |place| {
        let task = place.farm.running(FAMILY);
        let still = place.pause();
        let guard = place.guard();
        kill_together(&[guard, place.node.pid()]);
        assert_eq!(place.node.ended(), -9);
        dies(guard, &place.node);
        let child = child(place);
        assert!(lives(child), "it has gone by itself");
        place
            .farm
            .manager
            .cancel_job(&place.farm.manager.task(&task).unwrap().job)
            .unwrap();
        start_again(place);
        all_die(place, &still);
    });
}

fn start_again(place: &mut Place) {
    match &place.group {
        Some(group) => group.start(&mut place.node),
        None => drop(place.node.start()),
    }
    place.node.until("the worker to be there", || {
        place.node.log().matches("accepted sign-on").count() > 1
    });
    place.tell("resume");
}

#[test]
fn m5_a_worker_that_is_reloaded_lets_go_on_later_who_stands_still() {
    each_place(&[], |place| {
        let task = place
            .farm
            .running("echo running; until [ -e go ]; do sleep 0.02; done; echo done");
        let before = place.pause();
        place.node.signal(Signal::SIGHUP);
        logged(&place.node, "taking over from the worker that this process was");
        let pids = |tree: Vec<Seen>| tree.into_iter().map(|one| one.pid).collect::<Vec<_>>();
        assert_eq!(pids(place.stands_still()), pids(before));
        place.resume(&[]);
        std::fs::write(place.node.folder.join("go"), "").unwrap();
        place.farm.completed(&task);
        let log = place.farm.log(&task);
        assert!(log.contains("> done") && log.contains("paused)"), "{log}");
        assert_eq!(log.matches("going to run:").count(), 1, "{log}");
    });
}

#[test]
fn m5_a_worker_that_is_reloaded_and_freezes_nobody_any_more_lets_go_on_who_stands_still() {
    each_place(&[], |place| {
        let task = place.farm.running("echo running; until [ -e go ]; do sleep 0.02; done");
        place.pause();
        place.node.config.top.push("[presence]\npolicy = \"sleep\"".into());
        place.node.write_config();
        place.node.signal(Signal::SIGHUP);
        std::fs::write(place.node.folder.join("go"), "").unwrap();
        place.farm.completed(&task);
        place.tell("resume");
    });
}

#[test]
fn m3_who_is_to_end_anyway_is_not_frozen_and_has_its_grace() {
    each_place(&[("grace", "20s")], |place| {
        let task = place.farm.running(
            "trap 'echo asked; until [ -e go ]; do sleep 0.02; done; touch cleaned; exit 0' TERM; echo running; \
             while :; do sleep 0.02; done",
        );
        place.farm.manager.set_task_status(&task, TaskStatus::Canceled).unwrap();
        place.farm.says(&task, "> asked");
        place.tell("pause");
        std::fs::write(place.node.folder.join("go"), "").unwrap();
        place.node.childless();
        assert!(place.node.folder.join("cleaned").exists());
        place.tell("resume");
    });
}

#[test]
fn m4_who_became_another_user_runs_on_and_that_is_said_once() {
    let (farm, mut node) = Farm::with_node();
    let Some(user) = own_user(&farm, &node) else { return };
    let become_root = becoming_root(&node);
    start_through(&mut node, as_user(user));
    farm.awake();
    let task = farm.running(&format!(
        "{become_root} sh -c 'until [ -e go ]; do sleep 0.02; done' & echo $! > pid; echo running; wait"
    ));
    let place = Place {
        farm,
        node,
        group: None,
    };
    let other = Seen::of(number(&place.node.folder.join("pid"))).unwrap().pid;
    place.node.until("the program to be root's", || {
        let seen = Seen::of(other);
        seen.is_some_and(|seen| seen.name == "sh")
    });
    place.tell("pause");
    place
        .farm
        .says(&task, "cannot be paused, and run on, as they are another user's: sh");
    let shell = place.tree().into_iter().find(|one| one.name == "bash").unwrap();
    place.node.until("its parent to stand still", || {
        Seen::of(shell.pid).is_some_and(|seen| seen.state == 'T')
    });
    assert_ne!(Seen::of(other).unwrap().state, 'T');
    place.tell("resume");
    std::fs::write(place.node.folder.join("go"), "").unwrap();
    place.farm.completed(&task);
    assert_eq!(place.farm.log(&task).matches("cannot be paused").count(), 1);
    place.node.finish();
}
