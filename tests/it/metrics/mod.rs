// SPDX-License-Identifier: GPL-3.0-or-later

//! What a Prometheus and the probe of a container are told.

mod client;
mod prometheus;

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixListener;
use std::thread;
use std::time::{SystemTime, UNIX_EPOCH};

use nix::sys::signal::Signal;
use serde_json::json;
use standin_manager::{CommandSpec, Endpoint, JobSpec, TaskSpec, When, WorkerStatus};
use test_bed::{Farm, Node, bash, cancel, open_files};

pub(crate) use self::client::{Monitored, value};

use self::client::exchange;
use crate::clocks::Clock;

/// A node that answers at a socket, awake.
fn watched_node(farm: &Farm) -> (Node, Monitored) {
    let mut node = farm.node("node");
    let monitored = Monitored::at_socket(&mut node);
    farm.start(&mut node);
    (node, monitored)
}

#[test]
fn a_scrape_tells_what_became_of_each_task() {
    let farm = Farm::new();
    let (mut node, monitored) = watched_node(&farm);
    monitored.until(&node, "flamenco_worker_push_connected", |connected| connected == 1.0);
    farm.completed(&farm.script("echo hello"));
    farm.failed(&farm.script("exit 3"));
    let aborted = farm.running("echo running; sleep 1000");
    monitored.until(&node, "flamenco_worker_running", |running| running == 1.0);
    cancel(&farm, &aborted);
    monitored.until(&node, "flamenco_worker_tasks_total{outcome=\"aborted\"}", |count| {
        count == 1.0
    });
    farm.completed(&farm.task(&[CommandSpec::new("echo", json!({"message": "no program"}))]));
    farm.completed(&farm.script("sleep 1000 & exit 0"));
    // The Manager may know of it first.
    monitored.until(&node, "flamenco_worker_tasks_total{outcome=\"completed\"}", |count| {
        count == 3.0
    });
    monitored.until(&node, "flamenco_worker_updates_waiting", |waiting| waiting == 0.0);
    let text = monitored.metrics();
    for (series, expected) in [
        ("tasks_total{outcome=\"completed\"}", 3.0),
        ("tasks_total{outcome=\"failed\"}", 1.0),
        ("tasks_total{outcome=\"requeued\"}", 0.0),
        ("task_seconds_count{outcome=\"completed\"}", 3.0),
        ("programs_total{exit=\"success\"}", 2.0),
        ("programs_total{exit=\"code\"}", 1.0),
        ("programs_total{exit=\"aborted\"}", 1.0),
        ("start_latency_seconds_count", 4.0),
        ("strays_ended_total", 1.0),
        ("state{state=\"awake\"}", 1.0),
        ("running", 0.0),
        ("manager_up", 1.0),
        ("outcomes_waiting", 0.0),
        ("manager_requests_total{endpoint=\"sign_on\",result=\"2xx\"}", 1.0),
        ("manager_requests_total{endpoint=\"register\",result=\"2xx\"}", 1.0),
    ] {
        assert_eq!(
            client::value(&text, &format!("flamenco_worker_{series}")),
            Some(expected),
            "{series}\n{text}"
        );
    }
    for series in [
        "log_bytes_total",
        "program_cpu_seconds_total",
        "manager_last_answer_timestamp_seconds",
    ] {
        assert!(
            client::value(&text, &format!("flamenco_worker_{series}")) > Some(0.0),
            "{series}"
        );
    }
    assert_eq!(node.stop(), 0);
    // Its own doing, and gone with it.
    assert!(!monitored.socket().exists());
    node.nothing_left();
}

#[test]
fn one_task_after_another_is_a_pause_and_a_wait_for_work_is_none() {
    let farm = Farm::new();
    let mut node = farm.node("node");
    let monitored = Monitored::at_socket(&mut node);
    let job = |name: &str| {
        let tasks = (0..3).map(|number| TaskSpec::new(&format!("task {number}")));
        tasks.fold(JobSpec::new(name), |job, task| job.task(task.command(bash("true"))))
    };
    let first = farm.job(job("first"));
    farm.start(&mut node);
    for task in &first {
        farm.completed(task);
    }
    monitored.until(&node, "flamenco_worker_between_tasks_seconds_count", |count| {
        count == 2.0
    });
    // It has asked in vain since.
    farm.asked(Endpoint::FetchTask, farm.requests(Endpoint::FetchTask).len() + 2);
    for task in &farm.job(job("second")) {
        farm.completed(task);
    }
    monitored.until(&node, "flamenco_worker_between_tasks_seconds_count", |count| {
        count == 4.0
    });
    node.finish();
}

#[test]
fn j19_no_name_of_a_job_a_task_a_user_or_a_file_is_told() {
    let farm = Farm::new();
    let (node, monitored) = watched_node(&farm);
    farm.completed(&farm.script("echo hello"));
    farm.failed(&farm.script("/nowhere/at/all"));
    monitored.until(&node, "flamenco_worker_updates_waiting", |waiting| waiting == 0.0);
    let text = monitored.metrics();
    let id = farm.worker();
    let folder = node.folder.to_string_lossy().into_owned();
    for secret in ["job", "node", "hello", "nowhere", "127.0.0.1", &id, &folder] {
        let told = text
            .lines()
            .filter(|line| !line.starts_with('#'))
            .any(|line| line.contains(secret));
        assert!(!told, "{secret:?} is told: {text}");
    }
    node.finish();
}

#[test]
fn j20_whoever_is_slow_wrong_or_many_costs_the_worker_nothing() {
    let farm = Farm::new();
    let (node, monitored) = watched_node(&farm);
    let task = farm.running("echo running; until [ -e go ]; do sleep 0.02; done");
    // More than it takes at a time, and all of them hang.
    let hanging: Vec<_> = (0..40).map(|_| monitored.connect()).collect();
    for (number, mut stream) in hanging.iter().enumerate() {
        stream
            .write_all(&b"GET /metrics HTTP/1.1\r\nX: "[..number.min(26)])
            .ok();
    }
    let endless = {
        let mut stream = monitored.connect();
        thread::spawn(move || while stream.write_all(&[b'x'; 4096]).is_ok() {})
    };
    assert!(monitored.get("/metrics").starts_with("HTTP/1.1 200 OK\r\n"));
    endless.join().unwrap();
    for (request, status) in [
        ("POST /metrics HTTP/1.1\r\nContent-Length: 1000000\r\n\r\nx", "405"),
        ("GET /../../etc/passwd HTTP/1.1\r\n\r\n", "404"),
        ("\u{16}\u{3}\u{1}\u{2}\r\n\r\n", "400"),
        ("GET /metrics HTTP/9.9\r\n\r\n", "400"),
    ] {
        let answer = exchange(monitored.connect(), request);
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")),
            "{request:?}: {answer}"
        );
    }
    // Two in one connection: the second is not answered.
    let twice = exchange(
        monitored.connect(),
        "GET /livez HTTP/1.1\r\n\r\nGET /livez HTTP/1.1\r\n\r\n",
    );
    assert_eq!(twice.matches("HTTP/1.1").count(), 1, "{twice}");
    std::fs::write(node.folder.join("go"), "").unwrap();
    farm.completed(&task);
    drop(hanging);
    node.finish();
}

#[test]
fn j21_a_port_or_socket_in_use_is_said_and_taken_when_it_is_free() {
    let farm = Farm::new();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut node = farm.node("node");
    let address = taken.local_addr().unwrap();
    node.config.top.push(format!("metrics = \"{address}\""));
    farm.start(&mut node);
    node.until("the port to be missed", || {
        node.log().contains(&format!(
            "metrics are not served: cannot listen on {address}: Address already in use"
        ))
    });
    farm.completed(&farm.script("echo hello"));
    drop(taken);
    node.until("the port to be taken", || node.log().contains("metrics are served at"));
    let answer = exchange(TcpStream::connect(address).unwrap(), "GET /metrics HTTP/1.1\r\n\r\n");
    assert!(
        answer.contains("flamenco_worker_tasks_total{outcome=\"completed\"} 1\n"),
        "{answer}"
    );
    // Said once, however often it was tried.
    assert_eq!(
        node.log().matches("metrics are not served").count(),
        1,
        "{}",
        node.log()
    );
    node.finish();
}

#[test]
fn j21_a_socket_that_a_killed_worker_left_is_taken_over() {
    let farm = Farm::new();
    let (mut node, monitored) = watched_node(&farm);
    assert!(monitored.get("/livez").starts_with("HTTP/1.1 200 "));
    let mode = std::fs::metadata(monitored.socket()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o660);
    node.kill();
    assert!(monitored.socket().exists());
    node.start();
    node.until("an answer", || monitored.try_get("/livez").is_some());
    assert_eq!(node.stop(), 0);
    // Somebody else's is left alone.
    let other = UnixListener::bind(monitored.socket()).unwrap();
    node.start();
    node.until("the socket to be missed", || {
        node.log().contains("another process listens there")
    });
    assert_eq!(node.stop(), 0);
    assert!(monitored.socket().exists());
    drop(other);
    node.nothing_left();
}

#[test]
fn health_says_why_a_worker_cannot_work_and_liveness_does_not_mind() {
    let farm = Farm::new();
    let mut node = farm.node("node");
    let monitored = Monitored::at_socket(&mut node);
    node.set("contact_gap", "100ms");
    node.config.top.push("[node]\nwritable = [\"/proc\"]".into());
    farm.manager.stop();
    node.start();
    monitored.until_answer(
        &node,
        "/healthz",
        "503 Service Unavailable",
        "no answer from http://127.0.0.1",
    );
    assert!(monitored.get("/livez").starts_with("HTTP/1.1 200 OK\r\n"));
    farm.manager.start_again().unwrap();
    farm.awake();
    monitored.until_answer(&node, "/healthz", "200 OK", "ok: idle, no task yet");
    farm.ask(WorkerStatus::Asleep, When::Now);
    farm.status(WorkerStatus::Asleep);
    // As somebody wishes; but it could not be woken.
    monitored.until_answer(&node, "/healthz", "200 OK", "ok: asleep: asked by the Manager");
    farm.manager.stop();
    monitored.until_answer(&node, "/healthz", "503 Service Unavailable", "no answer from http://");
    farm.manager.start_again().unwrap();
    monitored.until_answer(&node, "/healthz", "200 OK", "ok: asleep: asked by the Manager");
    monitored.until(&node, "flamenco_worker_asleep{reason=\"manager\"}", |asleep| {
        asleep == 1.0
    });
    farm.ask(WorkerStatus::Awake, When::Now);
    farm.awake();
    // The node lacks what tasks need.
    farm.script("echo hello");
    monitored.until_answer(&node, "/healthz", "503 Service Unavailable", "asleep: ");
    monitored.until(&node, "flamenco_worker_asleep{reason=\"unfit\"}", |asleep| {
        asleep == 1.0
    });
    monitored.until(&node, "flamenco_worker_tasks_total{outcome=\"requeued\"}", |count| {
        count > 0.0
    });
    assert!(monitored.get("/livez").starts_with("HTTP/1.1 200 OK\r\n"));
    node.finish();
}

#[test]
fn a_task_that_runs_keeps_a_container_from_being_restarted() {
    let farm = Farm::new();
    let mut node = farm.node("node");
    let monitored = Monitored::at_socket(&mut node);
    node.set("contact_gap", "100ms").set("watchdog_contact", "100ms");
    farm.start(&mut node);
    farm.running("echo running; until [ -e go ]; do sleep 0.02; done");
    farm.manager.stop();
    monitored.until(&node, "flamenco_worker_manager_up", |up| up == 0.0);
    // For longer than either limit.
    let last_answer = "flamenco_worker_manager_last_answer_timestamp_seconds";
    monitored.until(&node, last_answer, |last| {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        now.as_secs_f64() - last > 0.2
    });
    for page in ["/healthz", "/livez"] {
        let answer = monitored.get(page);
        assert!(
            answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.contains("no answer from"),
            "{answer}"
        );
    }
    std::fs::write(node.folder.join("go"), "").unwrap();
    monitored.until_answer(
        &node,
        "/livez",
        "503 Service Unavailable",
        "longer than 100ms (watchdog_contact)",
    );
    monitored.until(&node, "flamenco_worker_outcomes_waiting", |waiting| waiting == 1.0);
    monitored.until(&node, "flamenco_worker_spool_bytes", |bytes| bytes > 0.0);
    farm.manager.start_again().unwrap();
    monitored.until_answer(&node, "/livez", "200 OK", "ok: ");
    node.finish();
}

#[test]
fn j22_a_clock_beyond_any_calendar_does_not_end_the_worker_when_it_is_asked() {
    let farm = Farm::new();
    let mut node = farm.node("node");
    let monitored = Monitored::at_socket(&mut node);
    let Some(clock) = Clock::of(&mut node) else { return };
    farm.start(&mut node);
    for seconds in [-86_400, 253_402_300_800, 8_000_000_000_000] {
        clock.show(seconds);
        assert!(
            monitored.get("/metrics").starts_with("HTTP/1.1 200 OK\r\n"),
            "{seconds}: {}",
            node.log()
        );
    }
    clock.set("+0");
    node.finish();
}

#[test]
fn nothing_listens_unless_it_is_asked_for() {
    let farm = Farm::new();
    let node = farm.awake_node();
    let inodes: Vec<_> = open_files(node.pid())
        .into_iter()
        .filter_map(|target| Some(target.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.to_owned()))
        .collect();
    // State 0A: it listens (proc_net(5)).
    for table in ["tcp", "tcp6"] {
        let text = std::fs::read_to_string(format!("/proc/{}/net/{table}", node.pid())).unwrap_or_default();
        let listening = text
            .lines()
            .map(|line| line.split_ascii_whitespace().collect::<Vec<_>>());
        for line in listening.filter(|fields| fields.get(3) == Some(&"0A")) {
            assert!(!inodes.iter().any(|inode| inode == line[9]), "{line:?}");
        }
    }
    node.finish();
}

#[test]
fn a_reload_moves_it_and_a_wrong_address_has_its_place() {
    let farm = Farm::new();
    let (mut node, _monitored) = watched_node(&farm);
    node.config.top = vec!["metrics = \"127.0.0.1:0\"".into()];
    node.write_config();
    node.signal(Signal::SIGHUP);
    node.until("the new address", || {
        node.log().contains("metrics are served at http://127.0.0.1:")
    });
    node.config.top = vec!["metrics = \":9464\"".into()];
    node.write_config();
    node.signal(Signal::SIGHUP);
    node.until("the mistake to be named", || {
        let log = node.log();
        log.contains("flamenco-worker.toml:1:11") && log.contains("\"127.0.0.1:9464\" is for this machine alone")
    });
    assert_eq!(node.stop(), 0);
    node.start();
    assert_eq!(node.ended(), 78);
    node.nothing_left();
}

#[test]
fn many_scrapes_leave_nothing_open() {
    let farm = Farm::new();
    let (node, monitored) = watched_node(&farm);
    let open = |text: &str| client::value(text, "process_open_fds").unwrap();
    let before = open(&monitored.metrics());
    for _ in 0..100 {
        assert!(monitored.get("/metrics").len() < 300_000);
    }
    monitored.until(&node, "process_open_fds", |open| open <= before + 5.0);
    let mut rest = String::new();
    let mut stream = monitored.connect();
    stream.write_all(b"HEAD /metrics HTTP/1.1\r\n\r\n").unwrap();
    stream.read_to_string(&mut rest).unwrap();
    assert!(rest.ends_with("\r\n\r\n"), "{rest}");
    node.finish();
}
