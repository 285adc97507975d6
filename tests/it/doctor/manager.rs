// SPDX-License-Identifier: GPL-3.0-or-later

//! What the doctor says of a Manager, or of what is in its place.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use serde_json::json;
use standin_manager::{Endpoint, Fault, FaultKind};

use super::{Answer, node, retired};
use test_bed::Farm;

#[test]
fn a_manager_that_is_down_or_unheard_of_is_one_failure_among_other_answers() {
    let farm = Farm::new();
    let mut node = retired(&farm);
    farm.manager.stop();
    let answer = Answer::of(&node);
    assert_eq!((answer.code, answer.fails()), (1, vec!["manager.connection"]));
    answer.says("fail", "manager.connection", "Connection refused");
    answer.says("ok", "blender", "Blender 4.2.1");
    node.url = "http://no-such-manager.invalid:8080/".into();
    let answer = Answer::of(&node);
    assert_eq!(answer.fails(), ["manager.address"]);
    answer.says("fail", "manager.address", "getent hosts no-such-manager.invalid");
    node.finish();
}

#[test]
fn another_web_server_in_its_place_and_a_redirect_are_told_apart() {
    let farm = Farm::new();
    let node = node(&farm);
    let html = b"<html>Welcome to nginx!</html>".to_vec();
    let page = |code| FaultKind::Status {
        code,
        headers: vec![
            ("Content-Type".into(), "text/html".into()),
            ("Location".into(), "https://farm.example/flamenco/api/v3/version".into()),
        ],
        body: "<html>it is not here</html>".into(),
    };
    let welcome = FaultKind::Nonsense {
        body: html,
        content_type: "text/html".into(),
    };
    for (fault, part) in [
        (welcome, "Welcome to nginx"),
        (page(404), "answered 404 (<html>it is not here</html>)"),
        (page(401), "give them in the table [headers]"),
        (page(301), "set manager = \"https://farm.example/flamenco/\""),
        (FaultKind::Hang, "did not answer within 2s"),
    ] {
        farm.fault(Fault::at(Endpoint::Version, fault));
        let answer = Answer::of(&node);
        assert_eq!(answer.fails(), ["manager.answer"]);
        answer.says("fail", "manager.answer", part);
    }
    assert_eq!(farm.requests(Endpoint::Register).len(), 0);
}

#[test]
fn clocks_that_are_apart_are_warned_of_with_which_way() {
    let farm = Farm::new();
    let node = node(&farm);
    let now = jiff::Timestamp::now();
    for (hours, way) in [(1, "s behind the Manager's"), (-1, "s ahead of the Manager's")] {
        let theirs = now + jiff::SignedDuration::from_hours(hours);
        let date = theirs
            .to_zoned_datetime(jiff::tz::TimeZone::UTC)
            .strftime("%a, %d %b %Y %H:%M:%S GMT");
        let skewed = FaultKind::Status {
            code: 200,
            headers: vec![("Date".into(), date.to_string())],
            body: json!({"name": "m", "version": "3.9"}).to_string(),
        };
        farm.fault(Fault::at(Endpoint::Version, skewed));
        let answer = Answer::of(&node);
        answer.says("warn", "manager.clock", way);
        assert_eq!(answer.code, 0, "it is a warning");
    }
}

#[test]
fn a_worker_that_the_manager_does_not_accept_is_told_why() {
    let farm = Farm::new();
    let node = retired(&farm);
    let file = node.home().join("flamenco-worker-credentials.yaml");
    let own = fs::read_to_string(&file).unwrap();
    let secret = own.rsplit('"').nth(1).unwrap();
    fs::write(&file, own.replace(secret, &"0".repeat(64))).unwrap();
    Answer::of(&node).says("fail", "manager.credentials", "the secret is another one");
    fs::write(&file, own).unwrap();
    farm.manager.delete_worker(&farm.worker()).unwrap();
    Answer::of(&node).says("warn", "manager.credentials", "it was deleted there");
    fs::write(&file, "worker_id: \"a\"\n").unwrap();
    let answer = Answer::of(&node);
    answer.says("fail", "manager.credentials", "`worker_secret` is missing");
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    Answer::of(&node);
    let mode = fs::metadata(&file).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode, 0o644, "it only looks");
    node.finish();
}
