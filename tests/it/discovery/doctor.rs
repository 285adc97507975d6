// SPDX-License-Identifier: GPL-3.0-or-later

//! What `doctor` finds where no Manager is named.

use std::net::{IpAddr, Ipv4Addr, TcpListener};

use standin_manager::SsdpOptions;

use super::networks::Host;
use super::{is_skipped, manager, searching, start};
use crate::doctor::Answer;

#[test]
fn j3_doctor_finds_the_one_manager_though_it_has_to_wait_for_another_one_that_never_answers() {
    if is_skipped() {
        return;
    }
    let (node_host, one, two) = (Host::new(), Host::new(), Host::new());
    node_host.connect(&one, [("w0", "10.7.1.9/24"), ("eth0", "10.7.1.1/24")]);
    node_host.connect(&two, [("w1", "10.7.2.9/24"), ("eth0", "10.7.2.1/24")]);
    let farm = manager(&one, &["10.7.1.1"], &["10.7.1.1"]);
    let silent = two.run(|| TcpListener::bind("10.7.2.1:9090").unwrap());
    let address = IpAddr::from([10, 7, 2, 1]);
    let ssdp = SsdpOptions {
        // Named so often it is named soon.
        urls: vec!["http://10.7.2.1:9090/".into(); 5],
        networks: vec![Ipv4Addr::new(10, 7, 2, 1)],
        interfaces_v6: Vec::new(),
    };
    let other = start(&two, address, ssdp);
    let node = searching(&farm, "node");
    let answer = node_host.run(move || Answer::of(&node));
    answer.says("ok", "manager.search", "a search finds http://10.7.1.1:8080/");
    // It was asked.
    silent.set_nonblocking(true).unwrap();
    assert!(silent.accept().is_ok());
    assert_eq!(other.manager.workers().len(), 0);
}
