// SPDX-License-Identifier: GPL-3.0-or-later

use std::collections::{BTreeMap, BTreeSet};

use super::labels::LabelSet;
use super::*;

const QUIET: Gauges = Gauges {
    state: StateLabel::Awake,
    asleep: None,
    paused: false,
    running: false,
    steps: 0,
    steps_done: 0,
    since_last_answer: None,
    manager_answers: false,
    updates_waiting: 0,
    outcomes_waiting: 0,
    spool_bytes: 0,
    strays: 0,
};

/// The value of a line that begins like this.
fn value(text: &str, series: &str) -> f64 {
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {series} in {text}")).parse().unwrap()
}

/// The labels of every line, each with all its values.
fn label_values(text: &str) -> BTreeMap<String, BTreeSet<String>> {
    let mut found: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let Some((_, labels)) = line.split_once('{') else {
            continue;
        };
        let (labels, _) = labels.rsplit_once('}').unwrap();
        for label in labels.split(',') {
            let (name, value) = label.split_once('=').unwrap();
            found
                .entry(name.into())
                .or_default()
                .insert(value.trim_matches('"').into());
        }
    }
    found
}

/// Everything that can be counted, once.
fn count_all(metrics: &Metrics) {
    metrics.stood_still(Duration::from_millis(1500));
    for (endpoint, result) in <(ApiCall, RequestResult)>::all() {
        metrics.request(endpoint, result, Duration::from_millis(3));
    }
    for end in TaskEnd::all() {
        for exit in ExitKind::all() {
            metrics.task_handed_out();
            metrics.program_started();
            metrics.logged(1000);
            metrics.frame_done();
            metrics.picture_written();
            metrics.program_ended(&ProgramUse {
                exit,
                cpu: Duration::from_millis(1500),
                peak_memory: 3 << 30,
                ended: 2,
            });
            metrics.task_ended(end, Duration::from_secs(100));
        }
    }
    metrics.push_connected(true);
}

#[tokio::test]
async fn j19_no_label_has_a_value_that_is_not_in_the_list() {
    let metrics = Metrics::new("1.2.3").unwrap();
    let before = metrics.text(&QUIET).unwrap();
    count_all(&metrics);
    let mut texts = vec![before.clone()];
    for state in StateLabel::all() {
        for asleep in SleepCause::all().into_iter().map(Some).chain([None]) {
            texts.push(metrics.text(&Gauges { state, asleep, ..QUIET }).unwrap());
        }
    }
    let names = |text: &str| -> BTreeSet<String> {
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        lines.map(|line| line.rsplit_once(' ').unwrap().0.to_owned()).collect()
    };
    // Whatever happens: as many series as when nothing had happened.
    assert!(texts.iter().all(|text| names(text) == names(&before)));
    fn values<L: LabelSet>() -> (&'static str, Vec<&'static str>) {
        (L::names()[0], L::all().into_iter().flat_map(L::values).collect())
    }
    let known = [
        values::<ApiCall>(),
        values::<RequestResult>(),
        values::<TaskEnd>(),
        values::<ExitKind>(),
        values::<BlenderStart>(),
        values::<StateLabel>(),
        values::<SleepCause>(),
    ];
    let mut known: BTreeMap<String, BTreeSet<String>> = known
        .into_iter()
        .map(|(name, values)| (name.to_owned(), values.into_iter().map(str::to_owned).collect()))
        .collect();
    known.insert("version".into(), ["1.2.3".to_owned()].into());
    let mut found = label_values(&before);
    assert!(found.remove("le").is_some());
    assert_eq!(found, known);
    assert!(before.len() < 60_000, "a scrape has {} bytes", before.len());
}

/// What `count_all` and the gauges after it come down to.
const COUNTED: [(&str, f64); 32] = [
    ("manager_requests_total{endpoint=\"may_i_run\",result=\"4xx\"}", 1.0),
    ("manager_request_seconds_count{endpoint=\"fetch_task\"}", 5.0),
    (
        "manager_request_seconds_bucket{endpoint=\"fetch_task\",le=\"0.0025\"}",
        0.0,
    ),
    (
        "manager_request_seconds_bucket{endpoint=\"fetch_task\",le=\"0.005\"}",
        5.0,
    ),
    ("manager_up", 1.0),
    ("push_connected", 1.0),
    ("tasks_total{outcome=\"aborted\"}", 6.0),
    ("task_seconds_sum{outcome=\"failed\"}", 600.0),
    ("start_latency_seconds_count", 24.0),
    ("between_tasks_seconds_count", 23.0),
    ("programs_total{exit=\"guard_lost\"}", 4.0),
    ("program_cpu_seconds_total", 36.0),
    ("program_peak_memory_bytes_bucket{le=\"2147483648\"}", 0.0),
    ("program_peak_memory_bytes_bucket{le=\"4294967296\"}", 24.0),
    ("strays_ended_total", 48.0),
    ("log_bytes_total", 24_000.0),
    ("frames_total", 24.0),
    ("pictures_total", 24.0),
    ("state{state=\"asleep\"}", 1.0),
    ("state{state=\"awake\"}", 0.0),
    ("asleep{reason=\"unfit\"}", 1.0),
    ("asleep{reason=\"disk\"}", 0.0),
    ("running", 1.0),
    ("task_steps", 240.0),
    ("task_steps_done", 12.0),
    ("updates_waiting", 3.0),
    ("outcomes_waiting", 2.0),
    ("spool_bytes", 1_099_511_627_776.0),
    ("strays", 1.0),
    ("paused", 1.0),
    ("task_paused_seconds_total", 1.5),
    ("info{version=\"1\"}", 1.0),
];

#[tokio::test]
async fn what_happened_is_counted_where_it_belongs() {
    let metrics = Metrics::new("1").unwrap();
    count_all(&metrics);
    let text = metrics
        .text(&Gauges {
            state: StateLabel::Asleep,
            asleep: Some(SleepCause::Unfit),
            paused: true,
            running: true,
            steps: 240,
            steps_done: 12,
            since_last_answer: Some(Duration::from_secs(5)),
            manager_answers: true,
            updates_waiting: 3,
            outcomes_waiting: 2,
            spool_bytes: 1 << 40,
            strays: 1,
        })
        .unwrap();
    for (name, expected) in COUNTED {
        assert_eq!(value(&text, &format!("flamenco_worker_{name}")), expected, "{name}");
    }
    let ago = crate::clock::since_1970().as_secs_f64()
        - value(&text, "flamenco_worker_manager_last_answer_timestamp_seconds");
    assert!((4.0..60.0).contains(&ago), "{ago}");
    assert!(value(&text, "process_resident_memory_bytes") > 1e6);
    assert!(value(&text, "process_open_fds") > 2.0);
    assert!(value(&text, "process_cpu_seconds_total") > 0.0);
}

#[test]
fn every_family_has_help_and_the_one_name_of_its_kind() {
    let text = Metrics::new("1").unwrap().text(&QUIET).unwrap();
    let lines = |kind: &str| -> Vec<(String, String)> {
        let lines = text.lines().filter_map(|line| line.strip_prefix(kind));
        lines
            .map(|line| line.split_once(' ').unwrap())
            .map(|(name, rest)| (name.into(), rest.into()))
            .collect()
    };
    let (help, types) = (lines("# HELP "), lines("# TYPE "));
    assert_eq!(help.len(), types.len());
    for ((name, about), (_, kind)) in help.iter().zip(&types) {
        assert_eq!(name.ends_with("_total"), kind == "counter", "{name}");
        assert!(about.len() > 10 && !about.starts_with(' '), "{name}: {about:?}");
    }
}
