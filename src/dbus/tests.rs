// SPDX-License-Identifier: GPL-3.0-or-later

use std::process::{Command, Stdio};

use proptest::prelude::*;
use tempfile::TempDir;
use test_needs::missing;
use tokio::io::AsyncWriteExt as _;
use tokio::net::UnixListener;

use super::message::testing::message;
use super::*;

const SESSION: Object<'_> = Object {
    service: "org.freedesktop.login1",
    path: "/org/freedesktop/login1/session/_31",
    interface: "org.freedesktop.login1.Session",
};

/// A bus that says this, whatever it is asked.
async fn said_by_bus(words: &[u8]) -> BusError {
    let folder = TempDir::new().unwrap();
    let listener = UnixListener::bind(folder.path().join("bus")).unwrap();
    let bus = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.write_all(words).await.unwrap();
        // Open until the other side has gone.
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest).await.ok();
    };
    let address = format!("unix:path={}/bus", folder.path().display());
    tokio::join!(bus, Bus::connect(&address)).1.unwrap_err()
}

#[tokio::test]
async fn m11_a_bus_that_is_none_does_no_harm() {
    assert!(matches!(Bus::connect("tcp:host=x").await, Err(BusError::Address(_))));
    assert!(matches!(
        Bus::connect("unix:path=/nonexistent").await,
        Err(BusError::Connection(_))
    ));
    let refused = said_by_bus(b"REJECTED EXTERNAL\r\n").await;
    assert!(matches!(refused, BusError::Refused(_)), "{refused}");
    let endless = said_by_bus(&[b'x'; 4096]).await;
    assert!(matches!(endless, BusError::Malformed(_)), "{endless}");
    let mut huge = b"OK 1\r\n".to_vec();
    huge.extend(message(2, Some(1), None, None));
    huge[6 + 4..6 + 8].copy_from_slice(&u32::MAX.to_ne_bytes());
    let huge = said_by_bus(&huge).await;
    assert!(matches!(huge, BusError::Malformed(_)), "{huge}");
}

#[tokio::test(start_paused = true)]
async fn m11_a_bus_that_says_nothing_is_not_waited_for_long() {
    let silent = said_by_bus(b"OK 1\r\n").await;
    assert!(matches!(silent, BusError::Silence), "{silent}");
}

#[tokio::test]
async fn m11_a_property_is_read_and_a_signal_is_heard_in_between_or_later() {
    let peer = Peer::new();
    let asking = async {
        let mut bus = Bus::connect(&peer.address()).await.unwrap();
        bus.listen("type='signal'").await.unwrap();
        for value in [
            Value::Flag(true),
            Value::Flag(false),
            Value::Text("user".into()),
            Value::Named("c1".into(), "/x".into()),
        ] {
            peer.set("Property", value.clone());
            assert_eq!(bus.property(SESSION, "Property").await.unwrap(), value);
        }
        let missing = bus.property(SESSION, "Unknown").await.unwrap_err();
        assert_eq!(
            missing.to_string(),
            "in words (org.freedesktop.DBus.Error.UnknownObject)"
        );
        assert!(timeout(Duration::from_millis(20), bus.signal()).await.is_err());
        peer.signal();
        bus.signal().await.unwrap();
    };
    tokio::select! {
        () = asking => {}
        never = peer.serve() => match never {},
    }
}

#[expect(clippy::disallowed_methods, reason = "a real bus, for a test")]
#[tokio::test]
async fn m11_a_real_bus_understands_and_is_understood() {
    if missing("dbus-daemon") {
        return;
    }
    let folder = TempDir::new().unwrap();
    let address = format!("unix:path={}/bus", folder.path().display());
    let mut daemon = Command::new("dbus-daemon")
        .args(["--session", "--nofork", "--nopidfile", "--address", &address])
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut bus = loop {
        match Bus::connect(&address).await {
            Ok(bus) => break bus,
            Err(BusError::Connection(_)) => tokio::time::sleep(Duration::from_millis(5)).await,
            Err(other) => panic!("{other}"),
        }
    };
    let nobody = bus.property(SESSION, "IdleHint").await.unwrap_err();
    assert!(nobody.to_string().contains(".ServiceUnknown)") || nobody.to_string().contains(".NameHasNoOwner)"));
    // A list of texts.
    let list = bus.property(BUS, "Features").await.unwrap_err();
    assert!(matches!(list, BusError::Malformed(_)), "{list}");
    bus.listen("type='signal',sender='org.freedesktop.DBus',member='NameOwnerChanged'")
        .await
        .unwrap();
    bus.has_signalled = false;
    let _other = Bus::connect(&address).await.unwrap();
    bus.signal().await.unwrap();
    let wrong = bus.listen("no rule").await.unwrap_err();
    assert!(wrong.to_string().contains("MatchRuleInvalid"), "{wrong}");
    daemon.kill().unwrap();
    daemon.wait().unwrap();
    assert!(matches!(
        bus.signal().await.and(bus.signal().await),
        Err(BusError::Connection(_))
    ));
}

proptest! {
    /// Whatever comes is a message, or none: nothing panics, and nothing of that length is waited for.
    #[test]
    fn m11_any_bytes_are_a_message_or_none(
        bytes in prop::collection::vec(any::<u8>(), 0..200),
        at in 0..120_usize,
        by in any::<u8>(),
    ) {
        read(&bytes);
        let value = Value::Named("c1".into(), "/org/freedesktop/login1/session/c1".into());
        for mut whole in [message(2, Some(3), None, Some(&value)), message(3, Some(3), Some("a.b"), None)] {
            read(&whole);
            let place = at.min(whole.len() - 1);
            whole[place] = by;
            read(&whole);
            read(&whole[..place]);
        }
    }
}

fn read(bytes: &[u8]) {
    if let Some(Some(length)) = length(bytes) {
        assert!((16..=message::LONGEST).contains(&length));
    }
    if let Some(message) = Message::decode(bytes) {
        message.value();
        message.text();
    }
}
