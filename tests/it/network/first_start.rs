// SPDX-License-Identifier: GPL-3.0-or-later

//! A first start with a URL that is not quite right: the worker says the same as `doctor`, and where a Manager is.

use std::net::IpAddr;

use standin_manager::{Endpoint, Fault, FaultKind, Options, Version};

use crate::doctor::Answer;
use test_bed::{Farm, logged};

use super::reach::Authority;

/// A Manager where Flamenco's is by default, at an address of this test's own.
fn usual(host: &str) -> Farm {
    let address: IpAddr = host.parse().unwrap();
    Farm::with(Options {
        address,
        port: 8080,
        ..Options::default()
    })
}

#[test]
fn c23_a_url_that_is_not_quite_right_is_answered_with_the_one_that_was_meant() {
    const HOST: &str = "127.14.6.1";
    let farm = usual(HOST);
    let right = format!("answers at http://{HOST}:8080/: set manager = \"http://{HOST}:8080/\"");
    // A host that trusts nobody does not try https.
    let authority = Authority::new(farm.folder.path());
    let cases = [
        (
            "port",
            format!("http://{HOST}/"),
            "manager.connection",
            "Connection refused",
        ),
        (
            "scheme",
            format!("https://{HOST}:8080/"),
            "manager.tls",
            "https is not spoken there",
        ),
        (
            "page",
            format!("http://{HOST}:8080/app/jobs"),
            "manager.answer",
            "the answer is not the Manager's",
        ),
    ];
    for (name, url, finding, seen) in cases {
        let mut node = farm.node(name);
        node.url = url;
        node.config.top.push(format!("tls.ca_file = {:?}", authority.file));
        node.start();
        logged(&node, &right);
        assert!(node.log().contains(seen), "{}", node.log());
        let answer = Answer::of(&node);
        answer.says("fail", finding, seen);
        answer.says("fail", finding, &right);
        node.finish();
    }
    assert_eq!(farm.manager.workers().len(), 0);
}

#[test]
fn c18_a_host_that_nobody_knows_is_named_at_the_first_start() {
    let (_farm, mut node) = Farm::with_node();
    node.url = "http://no-such-manager.invalid:8080/".into();
    node.start();
    logged(
        &node,
        "the name no-such-manager.invalid of the Manager cannot be resolved",
    );
    logged(&node, "getent hosts no-such-manager.invalid");
    assert!(!node.log().contains("error sending request"), "{}", node.log());
    node.finish();
}

#[test]
fn c19_a_manager_of_another_version_is_named_also_when_it_takes_no_registration() {
    let farm = Farm::with(Options {
        version: Version {
            short: "4.0".into(),
            long: "4.0".into(),
            git: "x".into(),
        },
        ..Options::default()
    });
    let unknown = FaultKind::Status {
        code: 404,
        headers: vec![("Content-Type".into(), "application/json".into())],
        body: r#"{"message":"no matching operation was found"}"#.into(),
    };
    farm.fault(Fault::at(Endpoint::Register, unknown).forever());
    let mut node = farm.node("node");
    node.start();
    logged(&node, "has version 4.0; this worker is made for version 3.x");
    node.finish();
}

#[test]
fn c1_the_usual_outage_after_a_first_answer_is_told_in_a_line() {
    let (farm, mut node) = Farm::with_awake_node();
    farm.manager.stop();
    logged(&node, "cannot reach the Manager: ");
    assert!(!node.log().contains("cannot be connected to"), "{}", node.log());
    // An FFmpeg that is not installed is another matter.
    let log = node.log().replace(" warn  no ffmpeg in ", "");
    assert_eq!(log.matches(" warn ").count(), 1, "{log}");
    node.kill();
}
