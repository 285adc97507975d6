// SPDX-License-Identifier: GPL-3.0-or-later
//! What the page is served with: its own files, task logs, pictures, samples.

use serde_json::json;
use standin_manager::{JobSpec, Options, Sample, StandIn};

use crate::client::{Caller, Reply, echo, exchange, job, parse, standin};

fn get(caller: &Caller, path: &str, more: &str) -> Reply {
    let request = caller.head("GET", path) + more + "\r\n";
    parse(&exchange(caller.port, request.as_bytes()))
}

/// A task with a log of ten bytes more or less; where that log is, and its task.
fn logged(standin: &StandIn, worker: &Caller) -> (String, String) {
    job(standin, 1);
    let task = worker.got();
    assert_eq!(worker.update(&task, &json!({"log": "0123456789"})).status, 204);
    let info = Caller::anybody(standin).api("GET", &format!("tasks/{task}/log")).json();
    (info["url"].as_str().unwrap().to_owned(), task)
}

#[test]
fn every_view_is_the_one_document_under_a_strict_policy() {
    let standin = standin();
    let anybody = Caller::anybody(&standin);
    for path in ["/", "/app/workers", "/app/jobs", "/app/jobs/some-job/some-task"] {
        let page = get(&anybody, path, "");
        assert_eq!(page.status, 200, "{path}");
        assert!(page.text().starts_with("<!doctype html>"));
        let head = page.head.to_lowercase();
        for part in [
            "cache-control: no-cache",
            "default-src 'none'",
            "content-type: text/html; charset=utf-8",
        ] {
            assert!(head.contains(part), "{path}: {part}");
        }
    }
    for path in [
        "/app",
        "/app/assets/",
        "/app/assets/../page.rs",
        "/app/assets/index.html",
        "/index.html",
    ] {
        assert_eq!(get(&anybody, path, "").status, 404, "{path}");
    }
}

#[test]
fn whatever_the_page_asks_for_is_there() {
    let standin = standin();
    let anybody = Caller::anybody(&standin);
    let mut waiting = vec!["/".to_owned()];
    let mut seen = Vec::new();
    while let Some(path) = waiting.pop() {
        let reply = get(&anybody, &path, "");
        assert_eq!(reply.status, 200, "{path}");
        let text = reply.text().replace("from \"./", "\"/app/assets/");
        let named = text.split('"').filter(|word| word.starts_with("/app/assets/"));
        for asset in named.map(str::to_owned) {
            if !seen.contains(&asset) {
                seen.push(asset.clone());
                waiting.push(asset);
            }
        }
    }
    assert!(seen.len() > 15, "{seen:?}");
}

#[test]
fn a_log_is_found_and_fetched_by_ranges() {
    let standin = standin();
    let worker = Caller::awake(&standin, "w");
    let (url, task) = logged(&standin, &worker);
    let anybody = Caller::anybody(&standin);
    let info = anybody.api("GET", &format!("tasks/{task}/log")).json();
    let log = standin.task_log(&task);
    assert_eq!(
        (info["size"].as_u64(), &info["task_id"]),
        (Some(log.len() as u64), &json!(task))
    );
    let whole = get(&anybody, &url, "");
    assert_eq!((whole.status, whole.text()), (200, log.as_str()));
    let head = whole.head.to_lowercase();
    assert!(head.contains("accept-ranges: bytes") && head.contains("content-type: text/plain"));
    let from = log.len() - 11;
    let part = get(&anybody, &url, &format!("Range: bytes={from}-{}\r\n", from + 3));
    assert_eq!((part.status, part.text()), (206, "0123"));
    let range = format!("content-range: bytes {from}-{}/{}", from + 3, log.len());
    assert!(part.head.to_lowercase().contains(&range), "{}", part.head);
    let rest = get(&anybody, &url, &format!("Range: bytes={}-\r\n", from + 8));
    assert_eq!((rest.status, rest.text()), (206, "89\n"));
    let beyond = get(&anybody, &url, &format!("Range: bytes={}-\r\n", log.len()));
    assert_eq!(beyond.status, 416);
    assert!(
        beyond
            .head
            .to_lowercase()
            .contains(&format!("content-range: bytes */{}", log.len()))
    );
}

#[test]
fn a_task_without_a_log_and_a_job_without_a_picture_have_none() {
    let standin = standin();
    let anybody = Caller::anybody(&standin);
    let (id, tasks) = job(&standin, 1);
    assert_eq!(anybody.api("GET", &format!("tasks/{}/log", tasks[0])).status, 204);
    assert_eq!(anybody.api("GET", &format!("jobs/{id}/last-rendered")).status, 204);
    assert_eq!(anybody.api("GET", "tasks/x/log").message(), "bad task ID");
    assert_eq!(
        anybody.api("GET", "jobs/x/last-rendered").message(),
        "job ID should be a UUID"
    );
    assert_eq!(anybody.api("GET", &format!("tasks/{id}/log")).message(), "no such task");
}

#[test]
fn the_last_picture_is_served_in_every_size() {
    let standin = standin();
    let worker = Caller::registered(&standin, "w");
    let (id, tasks) = job(&standin, 1);
    let path = format!("/api/v3/worker/task/{}/output-produced", tasks[0]);
    for picture in [b"old", b"new"] {
        assert_eq!(worker.send("POST", &path, "image/jpeg", picture).status, 202);
    }
    let anybody = Caller::anybody(&standin);
    let info = anybody.api("GET", &format!("jobs/{id}/last-rendered")).json();
    let suffixes = info["suffixes"].as_array().unwrap();
    assert_eq!(suffixes.len(), 3);
    for suffix in suffixes {
        let path = format!("{}/{}", info["base"].as_str().unwrap(), suffix.as_str().unwrap());
        let picture = get(&anybody, &path, "");
        assert_eq!((picture.status, picture.body.as_slice()), (200, b"new".as_slice()));
        assert!(picture.head.to_lowercase().contains("content-type: image/jpeg"));
    }
}

#[test]
fn no_path_leads_out_of_the_storage() {
    let standin = standin();
    let worker = Caller::awake(&standin, "w");
    let (url, _) = logged(&standin, &worker);
    std::os::unix::fs::symlink("/etc", standin.storage().join("link")).unwrap();
    std::fs::write(standin.storage().join(".hidden"), "x").unwrap();
    let anybody = Caller::anybody(&standin);
    let folder = url.rsplit_once('/').unwrap().0;
    for path in [
        "/job-files/../../etc/passwd",
        "/job-files/..%2f..%2fetc/passwd",
        "/job-files/%2e%2e/%2e%2e/etc/passwd",
        "/job-files//etc/passwd",
        "/job-files/link/passwd",
        "/job-files/.hidden",
        "/job-files/",
        "/job-files/.",
        "/job-files/a\\..\\b",
        folder,
        &format!("{folder}/"),
        &format!("{url}/"),
        &format!("{folder}/./{}", url.rsplit_once('/').unwrap().1),
    ] {
        let status = get(&anybody, path, "").status;
        assert!(status == 404 || status == 400, "{path}: {status}");
    }
    assert_eq!(get(&anybody, &url, "").status, 200);
}

#[test]
fn samples_are_named_and_submitted_as_often_as_asked() {
    let sample = Sample {
        name: "short".to_owned(),
        about: "A short one".to_owned(),
        job: JobSpec::new("a job").task(echo("t")),
    };
    let standin = StandIn::start(Options {
        samples: vec![sample],
        ..Options::default()
    })
    .unwrap();
    let anybody = Caller::anybody(&standin);
    assert_eq!(
        get(&anybody, "/standin/samples", "").json(),
        json!([{"about": "A short one", "name": "short"}])
    );
    for _ in 0..2 {
        let made = anybody.send("POST", "/standin/samples/short", "application/json", b"");
        assert_eq!((made.status, &made.json()["name"]), (200, &json!("a job")));
    }
    assert_eq!(standin.look(|farm| farm.jobs().count()), 2);
    assert_eq!(
        anybody
            .send("POST", "/standin/samples/other", "application/json", b"")
            .status,
        404
    );
}
