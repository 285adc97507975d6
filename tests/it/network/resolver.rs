// SPDX-License-Identifier: GPL-3.0-or-later

//! The Manager has a name, and the name has an address for a while.
//!
//! The worker runs with an `/etc/hosts` of its own (a mount namespace), which the test writes.

use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::process::Command;

use standin_manager::Options;

use super::relay::Relay;
use crate::harness::Farm;
use crate::machine::{missing, until};
use crate::means::not_root;

#[test]
fn c18_a_name_is_looked_up_anew_for_each_connection() {
    if not_root() | missing("unshare") {
        return;
    }
    let address = Ipv4Addr::new(127, 0, 0, 9);
    let farm = Farm::with(Options {
        address: IpAddr::V4(address),
        ..Options::default()
    });
    let port = farm.manager.port();
    let relay = Relay::start(&format!("127.0.0.8:{port}"), (address, port).into(), "");
    let mut node = farm.node("node");
    node.url = format!("http://manager.test:{port}/");
    node.set("ask", "300ms").set("answer", "300ms").set("connect", "300ms");
    let hosts = node.folder.join("hosts");
    let name = |address: &str| fs::write(&hosts, format!("{address} manager.test\n")).unwrap();
    fs::write(&hosts, "").unwrap();
    let worker = node.command();
    let script = r#"mount --bind "$1" /etc/hosts || exit 99; shift; exec "$@""#;
    let mut command = Command::new("unshare");
    command.args(["--mount", "bash", "-c", script, "bash"]).arg(&hosts);
    command.arg(worker.get_program()).args(worker.get_args());
    command.current_dir(&node.folder);
    command.envs(worker.get_envs().filter_map(|(name, value)| Some((name, value?))));
    node.start_with(&mut command);

    let says = |text: &str| {
        until(
            "the trouble to be told",
            || node.log().contains(text).then_some(()),
            || node.log(),
        )
    };
    says("failed to lookup address information");
    name("127.0.0.8");
    farm.awake();
    // The old address answers no more, and the name has moved on.
    relay.freeze();
    name("127.0.0.9");
    let task = farm.script("true");
    farm.completed(&task);
    assert_eq!(farm.manager.workers().len(), 1);
    node.finish();
}
