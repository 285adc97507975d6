// SPDX-License-Identifier: GPL-3.0-or-later

//! A real Prometheus with the files of `contrib/prometheus`, which reads a real worker.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write as _;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;
use test_bed::{Farm, until};

use super::client::exchange;
use super::watched_node;

/// Files for people who have a Prometheus.
fn contributed(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("contrib/prometheus")
        .join(name)
}

fn read(name: &str) -> String {
    fs::read_to_string(contributed(name)).unwrap()
}

/// A port that is free just now.
fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// What `promtool` says; the test is skipped where there is none.
fn promtool(arguments: &[&str], input: &str) -> Option<Output> {
    if test_needs::missing("promtool") {
        return None;
    }
    let mut child = Command::new("promtool")
        .args(arguments)
        .current_dir(contributed(""))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    Some(child.wait_with_output().unwrap())
}

/// A Prometheus of the test's own, with the sample configuration but for its targets and times.
struct Prometheus {
    process: Child,
    port: u16,
    log: PathBuf,
}

impl Prometheus {
    fn start(folder: &Path, target: &str) -> Self {
        fs::create_dir(folder).unwrap();
        let sample = read("prometheus.yml").replace("15s", "200ms");
        assert!(sample.contains("          - node2.example:9464\n"));
        let sample = sample
            .replace("node1.example:9464", target)
            .replace("          - node2.example:9464\n", "");
        fs::write(folder.join("prometheus.yml"), sample).unwrap();
        let rules = "flamenco-worker.rules.yml";
        fs::copy(contributed(rules), folder.join(rules)).unwrap();
        // Its port may be another's by the time it listens there: then it ends.
        let log = || fs::read_to_string(folder.join("log")).unwrap_or_default();
        let started = || {
            let mut prometheus = Self::start_at(folder, free_port());
            let answers = || match prometheus.data("status/runtimeinfo") {
                Some(_) => Some(true),
                None => prometheus.process.try_wait().unwrap().map(|_| false),
            };
            until("Prometheus to answer, or to end", answers, log).then_some(prometheus)
        };
        until("a port for Prometheus", started, log)
    }

    fn start_at(folder: &Path, port: u16) -> Self {
        let log = folder.join("log");
        let process = Command::new("prometheus")
            .arg(format!("--config.file={}", folder.join("prometheus.yml").display()))
            .arg(format!("--storage.tsdb.path={}", folder.join("data").display()))
            .arg(format!("--web.listen-address=127.0.0.1:{port}"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(fs::File::create(&log).unwrap())
            .spawn()
            .unwrap();
        Self { process, port, log }
    }

    fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// The `data` of an answer of its API, if it has one.
    fn data(&self, path: &str) -> Option<Value> {
        let stream = TcpStream::connect(("127.0.0.1", self.port)).ok()?;
        let answer = exchange(stream, &format!("GET /api/v1/{path} HTTP/1.0\r\n\r\n"));
        let (_, body) = answer.split_once("\r\n\r\n")?;
        let mut answer: Value = serde_json::from_str(body).ok()?;
        (answer["status"] == "success").then(|| answer["data"].take())
    }

    /// The series that an expression has now; `None` where it is none.
    fn query(&self, expression: &str) -> Option<Vec<Value>> {
        let encoded: String = url::form_urlencoded::byte_serialize(expression.as_bytes()).collect();
        self.data(&format!("query?query={encoded}"))?["result"]
            .as_array()
            .cloned()
    }

    fn until<T>(&self, what: &str, fact: impl FnMut() -> Option<T>) -> T {
        until(what, fact, || self.log())
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

/// The expressions of the dashboard, as Grafana asks them of all workers.
fn dashboard_expressions() -> Vec<String> {
    fn collect(value: &Value, found: &mut Vec<String>) {
        match value {
            Value::Object(fields) => {
                if let Some(Value::String(expression)) = fields.get("expr") {
                    found.push(
                        expression
                            .replace("$__rate_interval", "1m")
                            .replace("$job", "flamenco-worker")
                            .replace("$instance", ".*"),
                    );
                }
                fields.values().for_each(|value| collect(value, found));
            }
            Value::Array(values) => values.iter().for_each(|value| collect(value, found)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
    let mut found = Vec::new();
    collect(
        &serde_json::from_str(&read("grafana-dashboard.json")).unwrap(),
        &mut found,
    );
    found
}

/// The names of metrics in a text.
fn metrics_in(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    words
        .filter(|word| word.starts_with("flamenco_worker_") || word.starts_with("process_"))
        .map(str::to_owned)
        .collect()
}

#[test]
fn a_real_prometheus_reads_a_worker_and_all_rules_and_panels_mean_something() {
    if test_needs::missing("prometheus") {
        return;
    }
    let farm = Farm::new();
    let mut node = farm.node("node");
    node.config.top.push("metrics = \"127.0.0.1:0\"".into());
    farm.start(&mut node);
    let address = until(
        "the worker's port",
        || {
            let log = node.log();
            let (_, told) = log.split_once("metrics are served at http://")?;
            told.split_once("/metrics").map(|(address, _)| address.to_owned())
        },
        || node.log(),
    );
    farm.completed(&farm.script("echo hello"));
    let prometheus = Prometheus::start(&farm.folder.path().join("prometheus"), &address);
    let has = |expression: &str, expected: &str| {
        prometheus.until(expression, || {
            let series = prometheus.query(expression)?;
            series.iter().any(|series| series["value"][1] == expected).then_some(())
        });
    };
    has("up{job=\"flamenco-worker\"}", "1");
    has("flamenco_worker_tasks_total{outcome=\"completed\"}", "1");
    has("flamenco_worker_between_tasks_seconds_count", "0");
    let rules = prometheus.until("every rule to have been evaluated", || {
        let data = prometheus.data("rules?type=alert")?;
        let groups = data["groups"].as_array()?;
        let rules: Vec<Value> = groups
            .iter()
            .flat_map(|group| group["rules"].as_array().cloned())
            .flatten()
            .collect();
        (!rules.is_empty() && rules.iter().all(|rule| rule["health"] == "ok")).then_some(rules)
    });
    assert!(rules.iter().all(|rule| rule["state"] == "inactive"), "{rules:#?}");
    let expressions = dashboard_expressions();
    assert!(expressions.len() > 30, "{}", expressions.len());
    for expression in &expressions {
        assert!(
            prometheus.query(expression).is_some(),
            "Prometheus does not understand {expression}"
        );
    }
    has("scrape_samples_scraped > bool 100", "1");
    farm.manager.stop();
    has("flamenco_worker_manager_up", "0");
    prometheus.until("the alert to be pending", || {
        let alerts = prometheus.data("alerts")?;
        let mut names = alerts["alerts"]
            .as_array()?
            .iter()
            .map(|alert| &alert["labels"]["alertname"]);
        names.any(|name| name == "FlamencoManagerUnreachable").then_some(())
    });
    farm.manager.start_again().unwrap();
    node.finish();
}

#[test]
fn promtool_finds_no_fault_in_a_scrape() {
    let farm = Farm::new();
    let (node, monitored) = watched_node(&farm);
    farm.completed(&farm.script("echo hello"));
    if let Some(checked) = promtool(&["check", "metrics"], &monitored.metrics()) {
        let said = String::from_utf8_lossy(&[checked.stdout, checked.stderr].concat()).into_owned();
        assert!(checked.status.success() && said.is_empty(), "{said}");
    }
    let told: BTreeSet<_> = metrics_in(&monitored.metrics());
    let panels = dashboard_expressions().join("\n");
    for wanted in metrics_in(&read("flamenco-worker.rules.yml")).union(&metrics_in(&panels)) {
        assert!(told.contains(wanted), "no worker has {wanted}");
    }
    node.finish();
}

#[test]
fn promtool_finds_that_each_alert_is_for_what_it_says() {
    for arguments in [
        ["check", "rules", "flamenco-worker.rules.yml"],
        ["test", "rules", "flamenco-worker.rules.test.yml"],
        ["check", "config", "prometheus.yml"],
    ] {
        let Some(checked) = promtool(&arguments, "") else {
            return;
        };
        let said = String::from_utf8_lossy(&[checked.stdout, checked.stderr].concat()).into_owned();
        assert!(checked.status.success(), "{arguments:?}: {said}");
    }
}

#[test]
fn the_dashboard_can_be_imported_as_it_is() {
    let dashboard: Value = serde_json::from_str(&read("grafana-dashboard.json")).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let mut ids = BTreeSet::new();
    let mut taken = BTreeSet::new();
    for panel in panels {
        let title = panel["title"].as_str().unwrap();
        assert!(ids.insert(panel["id"].as_u64().unwrap()), "{title}");
        let place = |name: &str| panel["gridPos"][name].as_u64().unwrap();
        assert!(place("x") + place("w") <= 24, "{title} is too wide");
        for x in place("x")..place("x") + place("w") {
            for y in place("y")..place("y") + place("h") {
                assert!(taken.insert((x, y)), "{title} lies on another panel");
            }
        }
        if panel["type"] != "row" {
            assert_eq!(panel["datasource"]["uid"], "${datasource}", "{title}");
            let targets = panel["targets"].as_array().unwrap();
            assert!(
                targets
                    .iter()
                    .all(|target| target["datasource"]["uid"] == "${datasource}"),
                "{title}"
            );
        }
    }
    let variables = dashboard["templating"]["list"].as_array().unwrap();
    let names: Vec<_> = variables
        .iter()
        .map(|variable| variable["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["datasource", "job", "instance"]);
}
