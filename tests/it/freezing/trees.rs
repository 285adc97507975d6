// SPDX-License-Identifier: GPL-3.0-or-later

//! Trees of every shape.

use std::fs;
use std::thread;

use serde_json::json;
use standin_manager::CommandSpec;
use test_bed::{bash, cancel, exec, logged, number};
use test_needs::missing;

use super::{Place, Seen, each_place};

/// Notes each SIGCONT.
const CONTINUED: &str = "perl -e '$| = 1; $SIG{CONT} = sub { print \"continued\\n\" }; open my $f, \">\", \"handles\"; \
     while (1) { select undef, undef, undef, 0.01 }' > continued";

/// Watches two children as a shell with job control does, one that works and one that sleeps, and notes what it sees.
const WATCHES: &str = "perl -e 'use POSIX \":sys_wait_h\"; $| = 1; $SIG{CHLD} = sub {}; \
     if (!fork) { my $x; $x++ while 1 } if (!fork) { sleep 1000 while 1 } open my $f, \">\", \"watches\"; print $f \"$$\\n\"; close $f; \
     while (1) { my $pid = waitpid(-1, WUNTRACED); print \"$pid: $?\\n\" if $pid > 0 }' > watched";

/// Three hundred that follow themselves, each in a session of its own, twenty times a second.
const STORM: &str = "use POSIX; $| = 1; for (1..300) { if (!fork) { while (1) { setsid; select undef, undef, undef, 0.05; \
     my $p = fork; exit if $p; } } } print \"running\\n\"; sleep 1000 while 1;";

fn text(place: &Place, file: &str) -> String {
    fs::read_to_string(place.node.folder.join(file)).unwrap()
}

#[test]
fn m4_all_of_a_program_stand_still_and_go_on_as_they_were() {
    if missing("perl") || missing("setsid") {
        return;
    }
    const PAUSES: usize = 6;
    each_place(&[("grace", "200ms")], |place| {
        let task = place.farm.running(&format!(
            "sleep 1000 & kill -STOP $!; echo $! > stopped; {CONTINUED} & {WATCHES} & setsid sleep 1000 & \
             (setsid bash -c 'while :; do :; done' &); until [ -e handles ] && [ -s watches ]; do sleep 0.01; done; \
             echo running; while :; do sleep 0.01; done"
        ));
        let stopped = number(&place.node.folder.join("stopped"));
        let watcher = number(&place.node.folder.join("watches"));
        let continued = || text(place, "continued").lines().count();
        for number in 1..=PAUSES {
            // On its way out of one call and into the next it may see what happens just then.
            place.node.until("the watcher to wait", || {
                Seen::of(watcher).is_some_and(|one| one.state == 'S')
            });
            let still = place.pause();
            // The shell may have been between two of its own `sleep`.
            assert!((8..=9).contains(&still.len()), "{still:?}");
            place.resume(&[stopped]);
            let expected = if place.group.is_some() { 0 } else { number };
            place.node.until("the handler to be called", || continued() >= expected);
        }
        assert_eq!(continued(), if place.group.is_some() { 0 } else { PAUSES });
        assert_eq!(text(place, "watched"), "");
        cancel(&place.farm, &task);
    });
}

#[test]
fn m4_who_watches_its_children_sees_nothing_below_a_parent_that_is_slow_to_stop() {
    if missing("perl") || missing("chrt") {
        return;
    }
    let processors = thread::available_parallelism().unwrap().get();
    let busy = "(while :; do :; done) & ".repeat(2 * processors);
    each_place(&[("grace", "200ms")], |place| {
        // All the others come before the shell where it wants the processor, also to stop.
        let task = place.farm.running(&format!(
            "{WATCHES} & until [ -s watches ]; do sleep 0.01; done; {busy} chrt --idle --pid 0 $$; echo running; \
             while :; do :; done"
        ));
        let watcher = number(&place.node.folder.join("watches"));
        place.node.until("the watcher to wait", || {
            Seen::of(watcher).is_some_and(|one| one.state == 'S')
        });
        // Once: after a resume it is told of each child that goes on, and may be on its way.
        place.tell("pause");
        place.node.until("all to stand still", || place.is_still());
        place.resume(&[]);
        assert_eq!(text(place, "watched"), "");
        cancel(&place.farm, &task);
    });
}

#[test]
fn m4_nobody_of_hundreds_that_fork_all_the_time_gets_away() {
    if missing("perl") {
        return;
    }
    each_place(&[("grace", "10ms")], |place| {
        let task = place.farm.task(&[exec("perl", json!(["-e", STORM]))]);
        place.farm.says(&task, "> running");
        let still = place.pause();
        assert!(still.len() > 200, "{}", still.len());
        place.resume(&[]);
        let forks = || {
            place
                .tree()
                .iter()
                .any(|one| still.iter().all(|before| before.pid != one.pid))
        };
        place.node.until("them to go on", forks);
        cancel(&place.farm, &task);
    });
}

#[test]
fn m4_pauses_that_follow_each_other_leave_nobody_stopped() {
    if missing("setsid") {
        return;
    }
    each_place(&[], |place| {
        let script = "for i in {1..20}; do setsid sleep 1000 & (setsid sleep 1000 &); done; echo $$ > shell; \
                      echo running; while :; do (:); done";
        let task = place.farm.running(script);
        for _ in 0..100 {
            place.tell("pause");
            place.tell("resume");
        }
        place.resume(&[]);
        // Not what it has just forked.
        let shell = number(&place.node.folder.join("shell"));
        let ticks = || Seen::of(shell).map_or(0, |one| one.ticks);
        let before = ticks();
        let works = || ticks() > before;
        place.node.until("the shell to go on", works);
        assert!(place.tree().len() > 40);
        cancel(&place.farm, &task);
    });
}

#[test]
fn m4_who_left_the_group_of_a_program_stands_still_too() {
    each_place(&[], |place| {
        let Some(group) = &place.group else { return };
        let out = group.0.parent().unwrap().join("cgroup.procs");
        let script = format!("echo $BASHPID > {}; while :; do :; done", out.display());
        let task = place.farm.running(&format!("({script}) & echo running; wait"));
        let still = place.pause();
        let outside = still.iter().filter(|one| one.state == 'T').count();
        assert_eq!(outside, 1, "{still:?}");
        place.resume(&[]);
        cancel(&place.farm, &task);
    });
}

#[test]
fn m3_a_program_that_starts_while_its_machine_is_paused_stands_still_at_once() {
    each_place(&[], |place| {
        let sleep = CommandSpec::new("sleep", json!({ "duration_in_seconds": 1 }));
        let task = place.farm.task(&[sleep, bash("while :; do :; done")]);
        logged(&place.node, "running command sleep");
        place.tell("pause");
        place
            .node
            .until("the program to start", || !place.node.children().is_empty());
        place.stands_still();
        place.resume(&[]);
        cancel(&place.farm, &task);
    });
}
