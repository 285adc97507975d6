// SPDX-License-Identifier: GPL-3.0-or-later

//! Programs that can take over, as they say, and do not live to do it: as with a worker that was killed.

use super::{OwnProgram, WAITS, WORKER, answer, asking, go, program};
use test_bed::{lives, until};

/// One that takes over as `script` has it.
fn dies(script: &str, code: i32) {
    let (mut own, task) = OwnProgram::running(&format!("setsid sleep 1000 & {WAITS}"));
    let pid = program(&own.node);
    own.replace_by_one_that_takes_over_as(script);
    let asking = asking(&own.node.home());
    assert_eq!(own.node.ended(), code);
    let (code, said) = answer(asking);
    assert!(
        code == 1 && said.contains("has left, or did not live through it"),
        "{code} {said}"
    );
    own.node.nothing_left_but_files();
    assert!(!lives(pid));
    go(&own.node);
    own.node.start();
    own.farm.completed(&task);
    assert_eq!(own.farm.outcomes(&task), ["completed"]);
    assert_eq!(own.farm.log(&task).matches("going to run:").count(), 2);
    own.node.swept();
    own.node.finish();
}

#[test]
fn l5_a_successor_that_exits_leaves_nothing_and_its_task_runs_again() {
    dies("exit 7", 7);
}

#[test]
fn l5_a_successor_that_is_killed_leaves_nothing_and_its_task_runs_again() {
    dies("kill -9 $$", -9);
}

/// It does not get what it was handed: nobody can take care of the task any more, and the lock of the home is not its own.
#[test]
fn l5_a_successor_that_cannot_read_what_it_is_handed_ends_the_task_and_runs_it_again() {
    let (own, task) = OwnProgram::running(WAITS);
    let pid = program(&own.node);
    own.replace_by_one_that_takes_over_as(&format!(
        "number=${{FLAMENCO_WORKER_HANDOVER%%:*}}\necho 'not a state at all' > /proc/self/fd/$number\nexec {WORKER:?} \"$@\""
    ));
    drop(answer(asking(&own.node.home())));
    until(
        "the program to be gone",
        || (!lives(pid)).then_some(()),
        || own.node.log(),
    );
    go(&own.node);
    own.farm.completed(&task);
    assert_eq!(own.farm.outcomes(&task), ["completed"]);
    assert!(
        own.node
            .log()
            .contains("cannot take over from the worker that this was")
    );
    own.node.swept();
    own.node.finish();
}
