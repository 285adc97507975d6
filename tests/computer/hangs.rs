// SPDX-License-Identifier: GPL-3.0-or-later

//! A file system that stops answering: whoever writes to it cannot die.

use standin_manager::{TaskStatus, WorkerStatus};

use crate::computer::Files;
use crate::station::Station;

#[test]
fn a11_a_program_on_a_file_system_that_hangs_is_said_and_nothing_is_taken_until_it_is_gone() {
    let Some(mut station) = Station::new(
        Files::Ours,
        &[("grace", "200ms"), ("unkillable", "1s"), ("may_i_run", "500ms")],
    ) else {
        return;
    };
    let computer = &mut station.computer;
    computer.run("truncate -s 64M share.img && mkfs.ext4 -q share.img && mkdir share && mount -o loop share.img share");
    station.awake();
    let task = station
        .farm
        .script("echo running; until [ -e go ]; do sleep 0.1; done; echo x > share/x; sync");
    station.farm.says(&task, "> running");
    station.computer.run("fsfreeze -f share; touch go");
    // D, as in a render that writes to a file server that went away.
    station.until("ps -eo stat,args | grep '^D.*bash'");
    station
        .farm
        .manager
        .set_task_status(&task, TaskStatus::Canceled)
        .unwrap();
    station.farm.status(WorkerStatus::Asleep);
    let next = station.farm.script("true");
    station.until("grep 'no new task until they are gone' worker.log");
    assert_eq!(station.farm.manager.task(&next).unwrap().status, TaskStatus::Queued);
    station.computer.run("fsfreeze -u share");
    station.farm.completed(&next);
    assert_eq!(station.farm.outcomes(&task), [""; 0]);
    station.finish();
}
