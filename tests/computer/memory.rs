// SPDX-License-Identifier: GPL-3.0-or-later

//! Memory, counted and limited by the kernel's own controller.

use serde_json::json;

use crate::computer::Files;
use crate::station::Station;
use test_bed::exec;

/// Perl that fills so many megabytes, says so, and keeps them until there is a file `go`.
fn fill(megabytes: u32) -> String {
    format!(
        "my $x; $x .= q(x) x 1e6 for 1..{megabytes}; open(my $full, q(>), qq(full.$$)); \
         select(undef, undef, undef, 0.1) until -e q(go)"
    )
}

/// The peak of which the last usage line speaks, in MB.
fn peak(log: &str) -> f64 {
    let (_, peak) = log.rsplit_once("peak memory ").expect("a usage line");
    peak.split_once(" MB").unwrap().0.parse().unwrap()
}

#[test]
fn f4_a_limit_on_memory_is_the_programs_own_and_leaves_the_worker_alone() {
    let Some(mut station) = Station::new(Files::Ours, &[]) else {
        return;
    };
    station.computer.run(
        "printf '[node]\\nmemory = \"200MiB\"\\n' >> flamenco-worker.toml && \
         echo +memory > /sys/fs/cgroup/cgroup.subtree_control && mkdir /sys/fs/cgroup/farm",
    );
    station.worker("echo 0 > /sys/fs/cgroup/farm/cgroup.procs;");
    station.farm.awake();
    let task = station
        .farm
        .script("cd /sys/fs/cgroup$(sed -n s/^0:://p /proc/self/cgroup); cat memory.max memory.high ../memory.max");
    station.completed(&task);
    let log = station.farm.log(&task);
    let numbers: Vec<_> = log
        .lines()
        .filter_map(|line| line.split_once(" > "))
        .map(|(_, said)| said)
        .collect();
    assert_eq!(numbers, ["209715200", "205520896", "max"], "{log}");
    let task = station.farm.task(&[exec("perl", json!(["-e", fill(2000)]))]);
    station.farm.failed(&task);
    let log = station.farm.log(&task);
    assert!(log.contains("because the memory ran out"), "{log}");
    assert!((180.0..215.0).contains(&peak(&log)), "{log}");
    let task = station.farm.script("true");
    station.completed(&task);
    station.finish();
}

#[test]
fn f3_all_of_a_program_is_counted_together_and_its_want_of_memory_is_named() {
    let Some(mut station) = Station::new(Files::Ours, &[]) else {
        return;
    };
    station.computer.run(
        "echo +memory > /sys/fs/cgroup/cgroup.subtree_control && mkdir /sys/fs/cgroup/farm && \
         echo 400M > /sys/fs/cgroup/farm/memory.max",
    );
    station.worker("echo 0 > /sys/fs/cgroup/farm/cgroup.procs;");
    station.farm.awake();
    // None of the two takes as much as both.
    let both = format!(
        "perl -e '{0}' & perl -e '{0}' & until [ $(ls | grep -c ^full) = 2 ]; do sleep 0.1; done; touch go; wait",
        fill(80)
    );
    let task = station.farm.script(&both);
    station.completed(&task);
    let log = station.farm.log(&task);
    assert!((150.0..400.0).contains(&peak(&log)), "{log}");
    let task = station.farm.task(&[exec("perl", json!(["-e", fill(2000)]))]);
    station.farm.failed(&task);
    let log = station.farm.log(&task);
    assert!(
        log.contains("killed by SIGKILL (9), because the memory ran out (its peak was "),
        "{log}"
    );
    assert!((380.0..450.0).contains(&peak(&log)), "{log}");
    let task = station.farm.script("true");
    station.completed(&task);
    station.finish();
}
