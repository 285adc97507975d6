// SPDX-License-Identifier: GPL-3.0-or-later

//! A worker to which no Manager is named finds it, on networks of the test's own.

mod doctor;
mod networks;

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, TcpListener, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use nix::net::if_::if_nametoindex;
use nix::sys::signal::Signal;
use standin_manager::{Options, SsdpOptions, WorkerStatus};
use test_bed::{Farm, Node, logged};
use test_needs::{missing, not_root};

use self::networks::Host;
use crate::doctor::Answer;
use crate::notify::Ear;
use crate::push::listens;

/// Where Flamenco's Manager is by default.
const PORT: u16 = 8080;

/// A Manager on a host. It says that it has these addresses, and hears searches on these networks.
fn manager(host: &Host, addresses: &[&str], networks: &[&str]) -> Farm {
    let urls = addresses
        .iter()
        .map(|address| format!("http://{address}:{PORT}/"))
        .collect();
    let networks = networks.iter().map(|address| address.parse().unwrap()).collect();
    start(
        host,
        Ipv4Addr::UNSPECIFIED.into(),
        SsdpOptions {
            urls,
            networks,
            interfaces_v6: Vec::new(),
        },
    )
}

fn start(host: &Host, address: IpAddr, ssdp: SsdpOptions) -> Farm {
    host.run(move || {
        Farm::with(Options {
            address,
            port: PORT,
            ssdp: Some(ssdp),
            ..Options::default()
        })
    })
}

/// A node to which no Manager is named, not started yet.
fn searching(farm: &Farm, name: &str) -> Node {
    let mut node = farm.node(name);
    node.url = String::new();
    node
}

/// The head of the next request, in lower case. It is answered with 503.
fn one_request(listener: &TcpListener) -> String {
    let (mut stream, _) = listener.accept().unwrap();
    let mut buffer = [0; 2048];
    let mut request = String::new();
    while !request.contains("\r\n\r\n") {
        let length = stream.read(&mut buffer).unwrap();
        if length == 0 {
            // The call was given up before the request went out.
            assert_eq!(request, "");
            return one_request(listener);
        }
        request.push_str(std::str::from_utf8(&buffer[..length]).unwrap());
    }
    stream
        .write_all(b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n")
        .unwrap();
    request.to_lowercase()
}

fn is_skipped() -> bool {
    not_root() | missing("ip")
}

#[test]
fn j3_of_all_that_a_manager_names_the_first_that_answers_is_taken_and_nothing_of_this_machine() {
    if is_skipped() {
        return;
    }
    let (node_host, manager_host) = (Host::new(), Host::new());
    node_host.connect(&manager_host, [("w0", "10.7.1.9/24"), ("eth0", "10.7.1.1/24")]);
    // What a real one names: who is off, a network of containers, itself, its loopback.
    let named = ["10.7.1.77", "172.17.0.1", "10.7.1.1", "127.0.0.1"];
    let farm = manager(&manager_host, &named, &["10.7.1.1"]);
    // This machine has a Manager of its own at its loopback, which cannot be found.
    let own = node_host.run(|| {
        Farm::with(Options {
            port: PORT,
            ..Options::default()
        })
    });
    let found = node_host.find_manager();
    let node = node_host.start(searching(&farm, "node"));
    farm.awake();
    let task = farm.script("true");
    farm.completed(&task);
    assert!(
        node.log().contains("found the Manager http://10.7.1.1:8080/"),
        "{}",
        node.log()
    );
    assert_eq!(found.ended(), (0, "http://10.7.1.1:8080/\n".into(), String::new()));
    let (node, answer) = node_host.run(move || {
        let answer = Answer::of(&node);
        (node, answer)
    });
    answer.says("ok", "manager.search", "a search finds http://10.7.1.1:8080/");
    answer.says("ok", "manager.credentials", "the Manager accepts this worker");
    node.finish();
    assert_eq!(own.manager.requests().len(), 0);
}

#[test]
fn j5_a_manager_that_is_configured_is_waited_for_and_never_another_one_taken() {
    if is_skipped() {
        return;
    }
    let (node_host, manager_host) = (Host::new(), Host::new());
    node_host.connect(&manager_host, [("w0", "10.7.1.9/24"), ("eth0", "10.7.1.1/24")]);
    let farm = manager(&manager_host, &["10.7.1.1"], &["10.7.1.1"]);
    let mut node = farm.node("node");
    node.url = "http://10.7.1.1:8081/".into();
    let node = node_host.start(node);
    // As often as it may take to find the other one.
    for _ in 0..20 {
        let before = node.log().len();
        node.until("another try", || node.log().len() > before);
    }
    assert!(!node.log().contains("searching"), "{}", node.log());
    assert_eq!(farm.manager.workers().len(), 0);
    node.finish();
}

#[test]
fn j3_two_managers_are_refused_by_name_until_one_is_left() {
    if is_skipped() {
        return;
    }
    let (node_host, one, two) = (Host::new(), Host::new(), Host::new());
    node_host.connect(&one, [("w0", "10.7.1.9/24"), ("eth0", "10.7.1.1/24")]);
    node_host.connect(&two, [("w1", "10.7.2.9/24"), ("eth0", "10.7.2.1/24")]);
    // Both have networks of containers, and they are the same. With so many addresses each has named its first one soon.
    let named = |first| [first, "172.17.0.1", "172.18.0.1", "172.19.0.1", "172.20.0.1"];
    let farm = manager(&one, &named("10.7.1.1"), &["10.7.1.1"]);
    let other = manager(&two, &named("10.7.2.1"), &["10.7.2.1"]);
    let mut node = searching(&farm, "node");
    let ear = Ear::of(&mut node);
    // One after the other, as a Manager takes searches: two at once would each miss one.
    let found = node_host.find_manager();
    let (code, stdout, stderr) = found.ended();
    assert_eq!((code, stdout.as_str()), (69, ""), "{stderr}");
    let both = |text: &str| {
        ["http://10.7.1.1:8080/", "http://10.7.2.1:8080/"]
            .iter()
            .all(|url| text.contains(url))
    };
    assert!(both(&stderr), "{stderr}");
    let node = node_host.start(node);
    logged(&node, "several Managers answer, and which is meant cannot be told");
    assert!(both(ear.until("STATUS=waiting for one Manager only").last().unwrap()));
    assert_eq!(farm.manager.workers().len() + other.manager.workers().len(), 0);
    other.manager.stop();
    farm.awake();
    assert_eq!(
        node.log().matches("several Managers answer").count(),
        1,
        "{}",
        node.log()
    );
    node.finish();
}

#[test]
fn j2_a_worker_without_network_and_manager_lives_obeys_and_finds_it_when_it_comes() {
    if is_skipped() {
        return;
    }
    let (node_host, manager_host) = (Host::new(), Host::new());
    node_host.ip("link set lo down");
    let farm = Farm::new();
    let mut node = searching(&farm, "node");
    node.environment.push(("WATCHDOG_USEC".into(), "400000".into()));
    let ear = Ear::of(&mut node);
    let node = node_host.start(node);
    ear.until("READY=1");
    ear.until("STATUS=waiting for a Manager to answer on the networks of this machine");
    for _ in 0..3 {
        ear.until("WATCHDOG=1");
    }
    node.signal(Signal::SIGUSR1);
    logged(&node, "signal received: Sleep");
    node_host.connect(&manager_host, [("w0", "10.7.1.9/24"), ("eth0", "10.7.1.1/24")]);
    let late = manager(&manager_host, &["10.7.1.1"], &["10.7.1.1"]);
    late.status(WorkerStatus::Asleep);
    let searches = node.log().matches("searching the networks").count();
    assert_eq!(searches, 1, "{}", node.log());

    // Headers are for the Manager that is named with them, and not for whoever has answered the search.
    let mut node = node;
    node.config.top.push("manager = \"https://10.7.1.1/\"".into());
    node.config.top.push("headers.X-Token = \"s3cret\"".into());
    node.write_config();
    late.manager.stop();
    let heard = manager_host.run(|| TcpListener::bind(("0.0.0.0", PORT)).unwrap());
    node.signal(Signal::SIGHUP);
    // That one is taken leave of, before it goes over to the other.
    loop {
        let request = one_request(&heard);
        assert!(request.contains("\r\nhost: 10.7.1.1:8080\r\n"), "{request}");
        assert!(!request.contains("x-token"), "{request}");
        if request.starts_with("post /api/v3/worker/sign-off ") {
            break;
        }
    }
    drop(heard);
    logged(&node, "https://10.7.1.1/ cannot be connected to");
    node.finish();

    // Told to leave while it searches, it does so at once.
    let node = node_host.start(searching(&farm, "another"));
    logged(&node, "no Manager is configured: searching");
    // Named meanwhile, it is not searched any more.
    let mut node = node;
    node.config.top.push("manager = \"http://10.7.1.1:8081/\"".into());
    node.write_config();
    node.signal(Signal::SIGHUP);
    logged(&node, "http://10.7.1.1:8081/ cannot be connected to");
    let searches = node.log().matches("searching the networks").count();
    assert_eq!(searches, 1, "{}", node.log());
    node.finish();
}

#[test]
fn j4_a_link_local_address_is_found_with_its_interface_and_works_wherever_a_manager_is_named() {
    if is_skipped() {
        return;
    }
    let (node_host, manager_host) = (Host::new(), Host::new());
    node_host.connect(&manager_host, [("w0", "fe80::7:9/64"), ("eth0", "fe80::7:1/64")]);
    let interface = manager_host.run(|| if_nametoindex("eth0").unwrap());
    let farm = start(
        &manager_host,
        Ipv6Addr::UNSPECIFIED.into(),
        SsdpOptions {
            // As it is called there, which means nothing here.
            urls: vec![format!("http://[fe80::7:1%25eth0]:{PORT}/")],
            networks: Vec::new(),
            interfaces_v6: vec![interface],
        },
    );
    let url = "http://[fe80::7:1%w0]:8080/";
    assert_eq!(node_host.find_manager().ended(), (0, format!("{url}\n"), String::new()));

    let mut named = farm.node("named");
    named.url = String::new();
    named.config.top.push(format!("manager = {url:?}"));
    let named = node_host.start(named);
    farm.awake();
    listens(&farm, &["/jobs", "/workers"]);
    let task = farm.script("true");
    farm.completed(&task);
    named.finish();

    // The other side is not told the name of an interface here.
    let heard = manager_host.run(|| TcpListener::bind("[::]:9090").unwrap());
    let mut typed = farm.node("typed");
    typed.url = "[fe80::7:1%w0]:9090".into();
    let typed = node_host.start(typed);
    let request = one_request(&heard);
    assert!(request.contains("\r\nhost: [fe80::7:1]:9090\r\n"), "{request}");
    typed.finish();
}

#[test]
fn j6_a_search_in_vain_ends_with_69_and_says_where_and_what() {
    if is_skipped() {
        return;
    }
    let (node_host, manager_host, nowhere) = (Host::new(), Host::new(), Host::new());
    nowhere.ip("link set lo down");
    node_host.connect(&manager_host, [("w0", "10.7.1.9/24"), ("eth0", "10.7.1.1/24")]);
    // It can be found, and names a place where nobody is.
    let farm = manager(&manager_host, &["10.7.1.77"], &["10.7.1.1"]);
    let node = searching(&farm, "node");
    let answer = nowhere.run(move || Answer::of(&node));
    answer.says(
        "fail",
        "manager.search",
        "no Manager is configured, and nobody answers a search",
    );
    let in_vain = [node_host.find_manager(), nowhere.find_manager()];
    let said = in_vain.map(|finding| {
        let (code, stdout, stderr) = finding.ended();
        assert_eq!((code, stdout.as_str()), (69, ""), "{stderr}");
        stderr
    });
    assert!(
        said[0].contains("searched on ") && said[0].contains("w0 (10.7.1.9)"),
        "{}",
        said[0]
    );
    let answer = "answer: http://10.7.1.77:8080/, named by 10.7.1.1: cannot reach the Manager: ";
    assert!(said[0].contains(answer), "{}", said[0]);
    assert!(said[1].contains("nobody answered"), "{}", said[1]);
    assert!(said[1].contains("no network is up here"), "{}", said[1]);
}

/// Answers each search with forgeries for as long as somebody searches: of other devices, of places that are none, and of
/// more places than anybody would try.
fn flood(socket: &UdpSocket, ended: &AtomicBool) {
    let answer = |device: &str, location: &str| {
        format!("HTTP/1.1 200 OK\r\nUSN: uuid:{device}::urn:flamenco:manager:0\r\nLOCATION: {location}\r\n\r\n")
    };
    let device = "aa80bc5f-d0af-46b8-8630-23bd7e80ec4d";
    let mut forged = vec![
        answer("00000000-0000-0000-0000-000000000000", "http://10.7.2.1:1/"),
        answer(device, "file:///etc/passwd"),
        answer(device, "https://10.7.2.1:1/"),
        answer(device, "http://name:secret@10.7.2.1:1/"),
        answer(device, "http://[fe80::1%"),
        answer(device, &format!("http://{}/", "x".repeat(1500))),
        answer(device, "http://127.0.0.1:22/"),
        "\u{1b}[2J".repeat(300),
    ];
    forged.extend((1..3000).map(|port| answer(device, &format!("http://10.7.2.1:{port}/"))));
    let mut search = [0; 2048];
    while !ended.load(Ordering::Relaxed) {
        let Ok((_, from)) = socket.recv_from(&mut search) else {
            continue;
        };
        for _ in 0..5 {
            for answer in &forged {
                socket.send_to(answer.as_bytes(), from).ok();
            }
        }
    }
}

#[test]
fn j1_a_flood_of_forged_answers_keeps_nobody_from_the_manager_and_is_not_passed_on() {
    if is_skipped() {
        return;
    }
    let (node_host, forger, manager_host) = (Host::new(), Host::new(), Host::new());
    node_host.connect(&forger, [("w0", "10.7.2.9/24"), ("eth0", "10.7.2.1/24")]);
    node_host.connect(&manager_host, [("w1", "10.7.1.9/24"), ("eth0", "10.7.1.1/24")]);
    let socket = forger.run(|| {
        let socket = UdpSocket::bind("0.0.0.0:1900").unwrap();
        let (group, own) = (Ipv4Addr::new(239, 255, 255, 250), Ipv4Addr::new(10, 7, 2, 1));
        socket.join_multicast_v4(&group, &own).unwrap();
        socket
    });
    socket.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
    let ended = Arc::new(AtomicBool::new(false));
    let told = Arc::clone(&ended);
    let forging = std::thread::spawn(move || flood(&socket, &told));
    let farm = manager(&manager_host, &["10.7.1.1"], &["10.7.1.1"]);
    let node = node_host.start(searching(&farm, "node"));
    farm.awake();
    let log = node.log();
    let asked = log.matches("searching for a Manager networks").count();
    let tried = log.matches(" debug tried url=http://10.7.2.1").count();
    assert!((1..=64 * asked).contains(&tried), "{tried} in {asked} searches: {log}");
    assert!(!log.contains("secret"), "{log}");
    node.finish();
    ended.store(true, Ordering::Relaxed);
    forging.join().unwrap();
}
