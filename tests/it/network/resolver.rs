// SPDX-License-Identifier: GPL-3.0-or-later

//! The Manager has a name, and the name has an address for a while.
//!
//! The worker runs with an `/etc/hosts` of its own (a mount namespace), which the test writes.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddrV4, TcpStream};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use standin_manager::Options;
use tokio::net::{TcpListener, TcpSocket};
use tokio::runtime::Runtime;

use super::relay::Relay;
use crate::push::listens;
use test_bed::{Farm, Node};
use test_needs::{missing, not_root};

/// Starts the worker with these lines for its `/etc/hosts`, a file that can be written anew.
fn start_with_hosts(node: &mut Node, hosts: &Path) {
    let worker = node.command();
    let script = r#"mount --bind "$1" /etc/hosts || exit 99; shift; exec "$@""#;
    let mut command = Command::new("unshare");
    command.args(["--mount", "bash", "-c", script, "bash"]).arg(hosts);
    command.arg(worker.get_program()).args(worker.get_args());
    command.current_dir(&node.folder);
    command.envs(worker.get_envs().filter_map(|(name, value)| Some((name, value?))));
    node.start_with(&mut command);
}

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
    node.set("question_timeout", "300ms")
        .set("request_timeout", "300ms")
        .set("connect", "300ms");
    let hosts = node.folder.join("hosts");
    let name = |address: &str| fs::write(&hosts, format!("{address} manager.test\n")).unwrap();
    fs::write(&hosts, "").unwrap();
    start_with_hosts(&mut node, &hosts);

    let says = |text: &str| node.until("the trouble to be told", || node.log().contains(text));
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

/// An address where nobody answers, not even with a refusal: its queue of connections is full.
struct Dead {
    _listener: TcpListener,
    _runtime: Runtime,
    _waiting: Vec<TcpStream>,
}

impl Dead {
    fn at(address: SocketAddrV4) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .build()
            .unwrap();
        let listener = {
            let _inside = runtime.enter();
            let socket = TcpSocket::new_v4().unwrap();
            socket.bind(address.into()).unwrap();
            socket.listen(1).unwrap()
        };
        let connects = || TcpStream::connect_timeout(&address.into(), Duration::from_millis(300)).ok();
        Self {
            _listener: listener,
            _runtime: runtime,
            _waiting: std::iter::from_fn(connects).collect(),
        }
    }
}

#[test]
fn i16_with_one_of_the_managers_addresses_dead_it_is_asked_and_listened_to_at_the_other() {
    if not_root() | missing("unshare") {
        return;
    }
    let address = Ipv4Addr::new(127, 0, 0, 9);
    let farm = Farm::with(Options {
        address: IpAddr::V4(address),
        ..Options::default()
    });
    let port = farm.manager.port();
    let _dead = Dead::at(SocketAddrV4::new(Ipv4Addr::new(127, 0, 0, 7), port));
    let mut node = farm.node("node");
    node.url = format!("http://manager.test:{port}/");
    let hosts = node.folder.join("hosts");
    fs::write(&hosts, "127.0.0.7 manager.test\n127.0.0.9 manager.test\n").unwrap();
    start_with_hosts(&mut node, &hosts);
    listens(&farm, &["/jobs", "/workers"]);
    let task = farm.script("true");
    farm.completed(&task);
    node.finish();
}
