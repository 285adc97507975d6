// SPDX-License-Identifier: GPL-3.0-or-later
//! Registration and credentials.

use serde_json::json;

use crate::client::{Caller, standin};

const NO_SUCH: &str = "security requirements failed: authorization failed: no such worker known";
const NO_HEADER: &str = "security requirements failed: authorization failed: no auth header found";

#[test]
fn registering_twice_makes_two_workers_without_a_status() {
    let standin = standin();
    let wish = json!({"name": "a<b", "secret": "", "platform": "linux", "supported_task_types": ["Misc", "a,b"]});
    let first = Caller::anybody(&standin).post("register-worker", &wish);
    let second = Caller::anybody(&standin).post("register-worker", &wish);
    assert_ne!(first.json()["uuid"], second.json()["uuid"]);
    let id = first.json()["uuid"].as_str().unwrap().to_owned();
    let expected = format!(
        "{{\"address\":\"127.0.0.1\",\"name\":\"a\\u003cb\",\"platform\":\"linux\",\"software\":\"\",\"status\":\"\",\"supported_task_types\":[\"Misc\",\"a\",\"b\"],\"uuid\":\"{id}\"}}\n"
    );
    assert_eq!(first.text(), expected);
    assert_eq!(standin.workers().len(), 2);
}

#[test]
fn a_secret_over_72_bytes_is_refused() {
    let standin = standin();
    let with = |length: usize| {
        let wish = json!({"name": "a", "secret": "x".repeat(length), "platform": "linux", "supported_task_types": []});
        Caller::anybody(&standin).post("register-worker", &wish)
    };
    assert_eq!(with(72).status, 200);
    let refused = with(73);
    assert_eq!(
        (refused.status, refused.text()),
        (400, "{\"code\":400,\"message\":\"error hashing password\"}\n")
    );
}

#[test]
fn bodies_that_do_not_fit_the_schema_are_named() {
    let standin = standin();
    let anybody = Caller::anybody(&standin);
    let schema = "request body has an error: doesn't match schema #/components/schemas/WorkerRegistration: ";
    for (body, why) in [
        (
            r#"{"secret":"s"}"#,
            r#"Error at "/platform": property "platform" is missing"#,
        ),
        (r#"{"secret":1}"#, r#"Error at "/secret": value must be a string"#),
        (r#"{"name":null}"#, r#"Error at "/name": Value is not nullable"#),
        (
            r#"{"supported_task_types":"x"}"#,
            r#"Error at "/supported_task_types": value must be an array"#,
        ),
        (
            r#"{"supported_task_types":["a",1]}"#,
            r#"Error at "/supported_task_types/1": value must be a string"#,
        ),
        ("[]", "value must be an object"),
        ("null", "Value is not nullable"),
    ] {
        let reply = anybody.send(
            "POST",
            "/api/v3/worker/register-worker",
            "application/json",
            body.as_bytes(),
        );
        assert_eq!(
            (reply.status, reply.message()),
            (400, format!("{schema}{why}")),
            "{body}"
        );
        assert!(reply.json().get("code").is_none());
    }
}

#[test]
fn the_content_type_must_be_json_and_a_body_must_be_there() {
    let standin = standin();
    let anybody = Caller::anybody(&standin);
    let message = |content_type, body: &[u8]| {
        let reply = anybody.send("POST", "/api/v3/worker/register-worker", content_type, body);
        (reply.status, reply.message())
    };
    let prefix = "request body has an error: ";
    let unexpected = format!("{prefix}header Content-Type has unexpected value \"text/plain\"");
    assert_eq!(message("text/plain", b"{}"), (400, unexpected));
    assert_eq!(
        message("text/plain", b""),
        (400, format!("{prefix}value is required but missing"))
    );
    let (status, text) = message("application/json; charset=utf-8", b"{");
    assert_eq!(
        (status, text),
        (400, format!("{prefix}failed to decode request body: unexpected EOF"))
    );
}

#[test]
fn wrong_credentials_are_403_before_anything_else_is_looked_at() {
    let standin = standin();
    let worker = Caller::registered(&standin, "w");
    let with = |credentials: &str| Caller {
        credentials: Some(credentials.to_owned()),
        ..worker.clone()
    };
    for (caller, why) in [
        (with(&format!("{}:wrong", worker.id)), NO_SUCH),
        (with("nobody:s"), NO_SUCH),
        (with("no colon"), NO_HEADER),
        (Caller::anybody(&standin), NO_HEADER),
    ] {
        let reply = caller.post("state-changed", &json!({"status": "nonsense"}));
        assert_eq!((reply.status, reply.message().as_str()), (403, why));
        assert!(!reply.head.to_lowercase().contains("www-authenticate"));
    }
}

#[test]
fn a_deleted_worker_gets_403_on_everything() {
    let standin = standin();
    let worker = Caller::awake(&standin, "w");
    standin.delete_worker(&worker.id).unwrap();
    for (method, path) in [
        ("POST", "sign-off"),
        ("GET", "state"),
        ("POST", "task"),
        ("GET", "task/x/may-i-run"),
    ] {
        let reply = worker.call(method, path);
        assert_eq!((reply.status, reply.message().as_str()), (403, NO_SUCH), "{path}");
    }
}
