// SPDX-License-Identifier: GPL-3.0-or-later

use std::collections::BTreeMap;
use std::ffi::OsString;

use tempfile::TempDir;

use super::*;

/// A real socket, as systemd has one, and the environment that names it.
struct Listener {
    socket: UnixDatagram,
    environment: BTreeMap<&'static str, OsString>,
    _folder: TempDir,
}

impl Listener {
    fn new(variables: &[(&'static str, &str)]) -> Self {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("notify");
        let mut environment: BTreeMap<_, OsString> = variables
            .iter()
            .map(|(name, value)| (*name, OsString::from(value)))
            .collect();
        environment.insert("NOTIFY_SOCKET", path.clone().into());
        let socket = UnixDatagram::bind(path).unwrap();
        socket.set_nonblocking(true).unwrap();
        Self {
            socket,
            environment,
            _folder: folder,
        }
    }

    fn systemd(&self) -> Systemd {
        Systemd::from_environment(|name| self.environment.get(name).map(OsString::as_os_str))
    }

    /// What came since the last look.
    fn heard(&self) -> Vec<String> {
        let mut buffer = [0; 4096];
        let next = || {
            let length = self.socket.recv(&mut buffer).ok()?;
            Some(String::from_utf8_lossy(&buffer[..length]).into_owned())
        };
        std::iter::from_fn(next).collect()
    }
}

/// A second, as a watchdog's limit.
const SECOND: (&str, &str) = ("WATCHDOG_USEC", "1000000");

/// Sends heartbeats for so many seconds, and waits for nothing else.
async fn turns(heartbeat: &mut Heartbeat, seconds: u64) {
    let end = Instant::now() + Duration::from_secs(seconds);
    loop {
        tokio::select! {
            biased;
            () = sleep_until(end) => return,
            () = heartbeat.due() => heartbeat.send(),
        }
    }
}

#[test]
fn messages_arrive_at_a_path_and_at_an_abstract_name() {
    let listener = Listener::new(&[]);
    let systemd = listener.systemd();
    systemd.ready();
    systemd.status("idle");
    systemd.status("idle");
    systemd.status("one\nREADY=0");
    assert_eq!(listener.heard(), ["READY=1", "STATUS=idle", "STATUS=one\\nREADY=0"]);

    let name = format!("flamenco-test-{}", std::process::id());
    let socket = UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
    let name = OsString::from(format!("@{name}"));
    Systemd::from_environment(|variable| (variable == "NOTIFY_SOCKET").then_some(name.as_os_str())).reloading();
    let mut buffer = [0; 99];
    let length = socket.recv(&mut buffer).unwrap();
    assert!(buffer[..length].starts_with(b"RELOADING=1\nMONOTONIC_USEC="));
}

#[test]
fn without_a_socket_or_with_a_wrong_one_nothing_happens() {
    for name in ["", "relative", "/nonexistent/notify", "@nobody-listens-here"] {
        let name = OsString::from(name);
        let systemd = Systemd::from_environment(|variable| (variable == "NOTIFY_SOCKET").then_some(name.as_os_str()));
        systemd.ready();
        systemd.status("idle");
    }
    assert!(!Systemd::default().listens());
}

#[test]
fn a_systemd_that_hangs_holds_up_nothing_for_long() {
    let listener = Listener::new(&[]);
    let systemd = listener.systemd();
    let begun = Instant::now();
    // Its queue has room for `net.unix.max_dgram_qlen` messages, 10 at least.
    while begun.elapsed() < SEND_LIMIT {
        systemd.ready();
    }
    assert!(begun.elapsed() < SEND_LIMIT * 5, "{:?}", begun.elapsed());
}

#[test]
fn a_watchdog_is_ours_or_nobodys() {
    let own = std::process::id().to_string();
    let limit = |variables: &[(&'static str, &str)]| {
        let listener = Listener::new(variables);
        listener.systemd().0.and_then(|notify| notify.watchdog)
    };
    assert_eq!(limit(&[SECOND]), Some(Duration::from_secs(1)));
    assert_eq!(limit(&[SECOND, ("WATCHDOG_PID", &own)]), Some(Duration::from_secs(1)));
    assert_eq!(limit(&[SECOND, ("WATCHDOG_PID", "1")]), None);
    assert_eq!(limit(&[SECOND, ("WATCHDOG_PID", "x")]), None);
    assert_eq!(limit(&[("WATCHDOG_USEC", "0")]), None);
    assert_eq!(limit(&[]), None);
}

#[tokio::test(start_paused = true)]
async fn e13_a_sign_of_life_is_given_twice_per_limit_at_our_turns_and_never_else() {
    let listener = Listener::new(&[SECOND]);
    let mut heartbeat = Heartbeat::new(listener.systemd());
    turns(&mut heartbeat, 3).await;
    assert_eq!(listener.heard(), ["WATCHDOG=1"; 6]);
    // The state machine is busy elsewhere: time alone sends nothing.
    tokio::time::advance(Duration::from_secs(9)).await;
    assert!(listener.heard().is_empty());
    turns(&mut heartbeat, 1).await;
    assert_eq!(listener.heard(), ["WATCHDOG=1"; 2]);
}

#[tokio::test(start_paused = true)]
async fn e13_no_sign_of_life_is_given_while_in_doubt() {
    let listener = Listener::new(&[SECOND]);
    let mut heartbeat = Heartbeat::new(listener.systemd());
    heartbeat.systemd.withhold_heartbeat(true);
    turns(&mut heartbeat, 3).await;
    assert!(listener.heard().is_empty());
    heartbeat.systemd.withhold_heartbeat(false);
    turns(&mut heartbeat, 1).await;
    assert_eq!(listener.heard().first().map(String::as_str), Some("WATCHDOG=1"));
}

#[tokio::test(start_paused = true)]
async fn e5_whoever_leaves_asks_for_more_time_until_it_is_gone() {
    let listener = Listener::new(&[]);
    let mut heartbeat = Heartbeat::new(listener.systemd());
    turns(&mut heartbeat, 60).await;
    assert!(listener.heard().is_empty(), "nothing to say");
    heartbeat.begin_leaving();
    heartbeat.begin_leaving();
    turns(&mut heartbeat, 11).await;
    assert_eq!(listener.heard(), ["EXTEND_TIMEOUT_USEC=20000000"; 3]);
    heartbeat.stopping();
    assert_eq!(listener.heard(), ["STOPPING=1"]);
}
