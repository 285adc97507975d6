// SPDX-License-Identifier: GPL-3.0-or-later

//! A computer is switched off by its own system, with a worker that has been reloaded.

use standin_manager::{TaskStatus, WorkerStatus};

use crate::computer::{Computer, Files};
use crate::station::PATIENCE;
use test_bed::Farm;
use test_needs::missing;

#[test]
fn e16_g7_a_host_that_is_switched_off_in_mid_task_after_a_reload_gives_it_back_and_signs_off_first() {
    if missing("systemctl") {
        return;
    }
    let Some(mut computer) = Computer::new(Files::Systemd) else {
        return;
    };
    computer.start();
    let farm = Farm {
        patience: PATIENCE,
        ..Farm::new()
    };
    let url = farm.manager.url();
    let port = url.trim_end_matches('/').rsplit_once(':').unwrap().1.to_owned();
    let units = concat!(env!("CARGO_MANIFEST_DIR"), "/packaging/systemd");
    computer.run(&format!(
        "systemd-sysusers {units}/sysusers.conf; cp {units}/flamenco-worker.service /run/systemd/system"
    ));
    computer.run("cp $(command -v flamenco-worker) /usr/bin; mkdir -p /etc/flamenco");
    computer.run(&format!(
        "echo -e 'manager = \"http://10.0.2.2:{port}/\"\\n[node]\\nmemory = \"50%\"' > /etc/flamenco/worker.toml"
    ));
    computer.run("systemctl daemon-reload && systemctl start flamenco-worker");
    farm.awake();
    let task = farm.running("echo running; sleep 1000");
    // Where memory is counted, the worker and what systemd starts to reload it are each in a group of their own.
    let limit = |computer: &mut Computer| {
        computer.run("cat /sys/fs/cgroup/system.slice/flamenco-worker.service/*.*/memory.max")
    };
    let before = limit(&mut computer);
    assert!(before.lines().any(|limit| limit != "max"), "{before}");
    computer.run("systemctl reload flamenco-worker");
    assert_eq!(limit(&mut computer), before);
    computer.power_off();
    assert_eq!(farm.manager.workers()[0].status, WorkerStatus::Offline);
    assert_eq!(farm.manager.task(&task).unwrap().status, TaskStatus::Queued);
    assert_eq!(farm.outcomes(&task), [""; 0]);
}
