// SPDX-License-Identifier: GPL-3.0-or-later

//! The service of the package: started, told things by the Manager, stopped, killed.

use std::fs;

use standin_manager::{Options, WorkerStatus};

use crate::booted::Machine;

#[test]
fn a_machine_is_booted_reaches_its_manager_and_is_gone_afterwards() {
    let Some(machine) = Machine::boot() else { return };
    let farm = machine.farm(Options::default());
    machine.copy(env!("CARGO_BIN_EXE_flamenco-worker"), "/usr/bin/flamenco-worker");
    machine.shared("/shared");
    let unit = format!(
        "[Service]\nEnvironment=FLAMENCO_HOME=/shared/home\nExecStart=/usr/bin/flamenco-worker -manager {}\n",
        farm.manager.url()
    );
    machine.write("/etc/systemd/system/worker.service", &unit);
    machine.ok(&["systemctl", "start", "worker"]);
    farm.status(WorkerStatus::Awake);
    machine.ok(&["systemctl", "stop", "worker"]);
    farm.status(WorkerStatus::Offline);
    machine.becomes("worker", "ActiveState", "inactive");
    assert_eq!(machine.property("worker", "Result"), "success");
    assert!(machine.journal("worker").contains("flamenco-worker ends"));
    let init = machine.path("");
    drop(machine);
    assert!(fs::metadata(init).is_err(), "the box is still there");
}
