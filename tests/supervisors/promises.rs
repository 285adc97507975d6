// SPDX-License-Identifier: GPL-3.0-or-later

//! What holds below every supervisor.

use std::fs;
use std::time::Duration;

use standin_manager::{Endpoint, TaskStatus, When, WorkerStatus};

use crate::site::{SERVICE, Site, Supervised, Supervisor};
use test_bed::{pass, until};

/// The tests of one supervisor.
macro_rules! promises {
    ($supervisor:ty) => {
        #[test]
        fn e14_e7_a_restart_is_a_new_process_of_the_same_worker() {
            $crate::promises::restart::<$supervisor>();
        }

        #[test]
        fn e14_a_shut_down_stays_down_until_it_is_started_again() {
            $crate::promises::shut_down::<$supervisor>();
        }

        #[test]
        fn e14_b1_a_killed_worker_is_started_again_and_its_task_goes_back() {
            $crate::promises::killed::<$supervisor>();
        }

        #[test]
        fn e14_e2_a_stop_in_mid_task_leaves_no_process_and_the_task_goes_back() {
            $crate::promises::stop::<$supervisor>();
        }

        #[test]
        fn e14_e4_a_drain_finishes_the_task_and_stays_down() {
            $crate::promises::drain::<$supervisor>();
        }

        #[test]
        fn e14_g7_reloaded_it_is_the_same_process_and_its_task_goes_on() {
            $crate::promises::reload::<$supervisor>();
        }

        #[test]
        fn e14_e15_a_broken_configuration_is_tried_once() {
            $crate::promises::broken_configuration::<$supervisor>();
        }

        #[test]
        fn e14_every_exit_code_that_is_meant_stays_and_every_other_starts_again() {
            $crate::promises::exit_codes::<$supervisor>();
        }
    };
}
pub(crate) use promises;

/// Longer than any supervisor waits before it starts something again.
const SETTLED: Duration = Duration::from_millis(3500);

pub(crate) fn restart<S: Supervisor>() {
    let Some(mut supervised) = Supervised::<S>::awake() else {
        return;
    };
    let farm = &supervised.site.farm;
    for when in [When::Now, When::AfterTask] {
        let (first, starts) = (supervised.pid(), supervised.starts());
        farm.ask(WorkerStatus::Restart, when);
        supervised.started_times(starts + 1);
        supervised.site.awake(1);
        assert_ne!(supervised.pid(), first);
    }
    assert_eq!(farm.manager.workers().len(), 1);
    supervised.end();
}

pub(crate) fn shut_down<S: Supervisor>() {
    let Some(mut supervised) = Supervised::<S>::awake() else {
        return;
    };
    let farm = &supervised.site.farm;
    farm.ask(WorkerStatus::Offline, When::Now);
    supervised.is_down();
    pass(SETTLED);
    assert!(supervised.supervisor.is_down(&supervised.site));
    assert_eq!(supervised.starts(), 1);
    farm.status(WorkerStatus::Offline);
    supervised.supervisor.start(&supervised.site);
    supervised.site.awake(1);
    supervised.end();
}

pub(crate) fn killed<S: Supervisor>() {
    let Some(mut supervised) = Supervised::<S>::awake() else {
        return;
    };
    let (farm, node) = (&supervised.site.farm, &supervised.node);
    let task =
        farm.script("echo run >> runs; echo running; (setsid sleep 1000 &); until [ -e go ]; do sleep 0.02; done");
    farm.says(&task, "> running");
    let first = node.marked();
    assert!(first.len() >= 3, "{first:?}");
    supervised.kill();
    let runs = node.home().join("runs");
    let again = || {
        fs::read_to_string(&runs)
            .is_ok_and(|runs| runs == "run\nrun\n")
            .then_some(())
    };
    until("the task to run again", again, || node.log());
    let now = node.marked();
    assert!(
        first.iter().all(|old| now.iter().all(|new| new.pid != old.pid)),
        "{first:?} {now:?}"
    );
    fs::write(node.home().join("go"), "").unwrap();
    farm.completed(&task);
    assert_eq!(farm.manager.workers().len(), 1);
    supervised.end();
}

pub(crate) fn stop<S: Supervisor>() {
    let Some(mut supervised) = Supervised::<S>::awake() else {
        return;
    };
    let (farm, node) = (&supervised.site.farm, &supervised.node);
    let task = farm.running("trap '' TERM; (setsid sleep 1000 &); echo running; while :; do sleep 0.02; done");
    supervised.supervisor.stop(&supervised.site);
    assert!(supervised.supervisor.is_down(&supervised.site));
    node.nothing_left();
    assert_eq!(farm.manager.task(&task).unwrap().status, TaskStatus::Queued);
    assert_eq!(farm.manager.workers()[0].status, WorkerStatus::Offline);
    assert_eq!(farm.requests(Endpoint::SignOff).len(), 1);
    // The same when the supervisor itself is told to end, as with the host.
    supervised.supervisor.start(&supervised.site);
    farm.reaches(&task, TaskStatus::Active);
    let runs = || (!node.marked().is_empty()).then_some(());
    until("the task to run again", runs, || node.log());
    supervised.end();
    let farm = &supervised.site.farm;
    farm.reaches(&task, TaskStatus::Queued);
    farm.status(WorkerStatus::Offline);
}

pub(crate) fn drain<S: Supervisor>() {
    let Some(mut supervised) = Supervised::<S>::awake() else {
        return;
    };
    let (farm, node) = (&supervised.site.farm, &supervised.node);
    let task = farm.script("echo running; until [ -e go ]; do sleep 0.02; done");
    let next = farm.script("true");
    farm.says(&task, "> running");
    supervised.supervisor.drain(&supervised.site);
    let heard = || node.log().contains("Drain").then_some(());
    until("the order to be heard", heard, || node.log());
    assert!(!supervised.supervisor.is_down(&supervised.site));
    fs::write(node.home().join("go"), "").unwrap();
    supervised.is_down();
    farm.completed(&task);
    assert_eq!(farm.manager.task(&next).unwrap().status, TaskStatus::Queued);
    pass(SETTLED);
    assert_eq!(supervised.starts(), 1);
    supervised.end();
}

pub(crate) fn reload<S: Supervisor>() {
    let Some(mut supervised) = Supervised::<S>::awake() else {
        return;
    };
    let (farm, node) = (&supervised.site.farm, &supervised.node);
    let task = farm.script("echo running; until [ -e go ]; do sleep 0.02; done; echo over");
    farm.says(&task, "> running");
    let first = supervised.pid();
    supervised.supervisor.reload(&supervised.site);
    let goes_on = || node.log().contains("going on with task").then_some(());
    until("the task to go on", goes_on, || node.log());
    assert_eq!(supervised.pid(), first);
    assert!(!supervised.supervisor.is_down(&supervised.site));
    fs::write(node.home().join("go"), "").unwrap();
    farm.completed(&task);
    assert!(farm.log(&task).contains("> over"));
    assert_eq!(farm.outcomes(&task), ["completed"]);
    // To the supervisor it is the process that it has started.
    farm.ask(WorkerStatus::Offline, When::Now);
    supervised.is_down();
    supervised.end();
}

pub(crate) fn broken_configuration<S: Supervisor>() {
    let Some(mut supervised) = Supervised::<S>::awake() else {
        return;
    };
    supervised.supervisor.stop(&supervised.site);
    supervised.node.config.top.push("push = \"perhaps\"".into());
    supervised.site.configure(&supervised.node, SERVICE);
    supervised.supervisor.start(&supervised.site);
    let said = || supervised.node.log().matches("flamenco-worker.toml:2").count();
    until(
        "the mistake to be said",
        || (said() > 0).then_some(()),
        || supervised.node.log(),
    );
    supervised.is_down();
    pass(SETTLED);
    assert_eq!(said(), 1, "{}", supervised.node.log());
    supervised.end();
}

/// All at once, each with a supervisor of its own.
pub(crate) fn exit_codes<S: Supervisor>() {
    let below = |code: &u8| Some((*code, Supervised::<S>::started(Site::of::<S>()?.with_exit_code(*code))));
    let again: Vec<_> = [1, 47, 75, 101].iter().map_while(below).collect();
    let meant: Vec<_> = [0, 2, 78, 130].iter().map_while(below).collect();
    for (_, supervised) in &again {
        supervised.started_times(3);
    }
    for (_, supervised) in &meant {
        supervised.is_down();
    }
    pass(SETTLED);
    for (code, supervised) in &meant {
        assert_eq!(supervised.starts(), 1, "after {code}");
    }
    for (_, mut supervised) in again.into_iter().chain(meant) {
        supervised.end();
    }
}

/// `second` is the name of the other worker's service.
pub(crate) fn two_workers<S: Supervisor>(second: &str) {
    let Some(mut supervised) = Supervised::<S>::awake() else {
        return;
    };
    let other = supervised.site.node::<S>(second);
    supervised.supervisor.install(&supervised.site, second);
    supervised.site.awake(2);
    let workers = supervised.site.farm.manager.workers();
    let names: Vec<_> = workers.iter().map(|worker| worker.name.clone()).collect();
    assert_eq!(names[1], format!("{}-gpu1", names[0]));
    supervised.end();
    other.nothing_left();
}
