// SPDX-License-Identifier: GPL-3.0-or-later
//! A client of a few lines that sees every byte, and a farm with one awake worker.

use std::{
    io::{Read, Write},
    net::TcpStream,
    time::Duration,
};

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};
use standin_manager::{CommandSpec, JobSpec, Options, StandIn, TaskSpec};

/// Nothing here takes that long unless it is broken.
pub(crate) const LONG: Duration = Duration::from_secs(20);

pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Reply {
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    pub(crate) fn message(&self) -> String {
        self.json()["message"].as_str().unwrap().to_owned()
    }
}

pub(crate) fn connect(port: u16) -> TcpStream {
    let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(LONG)).unwrap();
    stream
}

/// Everything until the connection ends, however it ends.
pub(crate) fn until_end(stream: &mut TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut piece = [0; 65536];
    loop {
        match stream.read(&mut piece) {
            Ok(0) => return bytes,
            Ok(count) => bytes.extend_from_slice(&piece[..count]),
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => panic!("the connection stays open"),
            Err(_) => return bytes,
        }
    }
}

/// One request on a connection of its own; the bytes that came back.
pub(crate) fn exchange(port: u16, request: &[u8]) -> Vec<u8> {
    let mut stream = connect(port);
    stream.write_all(request).unwrap();
    until_end(&mut stream)
}

pub(crate) fn parse(bytes: &[u8]) -> Reply {
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n").unwrap();
    let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    let mut body = bytes[end + 4..].to_vec();
    if head.to_lowercase().contains("transfer-encoding: chunked") {
        body = unchunked(&body);
    }
    Reply { status, head, body }
}

fn unchunked(mut bytes: &[u8]) -> Vec<u8> {
    let mut whole = Vec::new();
    loop {
        let line = bytes.iter().position(|byte| *byte == b'\r').unwrap();
        let length = usize::from_str_radix(std::str::from_utf8(&bytes[..line]).unwrap(), 16).unwrap();
        if length == 0 {
            return whole;
        }
        whole.extend_from_slice(&bytes[line + 2..line + 2 + length]);
        bytes = &bytes[line + 4 + length..];
    }
}

/// Somebody who calls: a worker with credentials, or anybody without.
#[derive(Clone)]
pub(crate) struct Caller {
    pub(crate) port: u16,
    pub(crate) id: String,
    pub(crate) credentials: Option<String>,
}

impl Caller {
    pub(crate) fn anybody(standin: &StandIn) -> Self {
        Self {
            port: standin.port(),
            id: String::new(),
            credentials: None,
        }
    }

    pub(crate) fn registered(standin: &StandIn, name: &str) -> Self {
        let wish = json!({"name": name, "secret": "s", "platform": "linux", "supported_task_types": ["misc"]});
        let reply = Self::anybody(standin).post("register-worker", &wish);
        let id = reply.json()["uuid"].as_str().unwrap().to_owned();
        Self {
            credentials: Some(format!("{id}:s")),
            id,
            port: standin.port(),
        }
    }

    /// Registered, signed on, awake.
    pub(crate) fn awake(standin: &StandIn, name: &str) -> Self {
        let worker = Self::registered(standin, name);
        worker.sign_on(name);
        worker.changed("awake");
        worker
    }

    pub(crate) fn sign_on(&self, name: &str) -> String {
        let wish = json!({"name": name, "supported_task_types": ["misc"], "software_version": "1"});
        self.post("sign-on", &wish).json()["status_requested"]
            .as_str()
            .unwrap()
            .to_owned()
    }

    pub(crate) fn changed(&self, status: &str) {
        assert_eq!(self.post("state-changed", &json!({"status": status})).status, 204);
    }

    pub(crate) fn head(&self, method: &str, path: &str) -> String {
        let credentials = self.credentials.as_ref().map(|pair| STANDARD.encode(pair));
        let auth = credentials
            .map(|coded| format!("Authorization: Basic {coded}\r\n"))
            .unwrap_or_default();
        format!("{method} {path} HTTP/1.1\r\nHost: standin\r\nConnection: close\r\n{auth}")
    }

    pub(crate) fn send(&self, method: &str, path: &str, content_type: &str, body: &[u8]) -> Reply {
        let head = self.head(method, path);
        let more = format!("Content-Type: {content_type}\r\nContent-Length: {}\r\n\r\n", body.len());
        parse(&exchange(self.port, &[head.as_bytes(), more.as_bytes(), body].concat()))
    }

    /// Without a body, below `/api/v3/worker/`.
    pub(crate) fn call(&self, method: &str, path: &str) -> Reply {
        self.api(method, &format!("worker/{path}"))
    }

    /// Without a body, below `/api/v3/`.
    pub(crate) fn api(&self, method: &str, path: &str) -> Reply {
        let request = self.head(method, &format!("/api/v3/{path}")) + "\r\n";
        parse(&exchange(self.port, request.as_bytes()))
    }

    pub(crate) fn post(&self, path: &str, body: &Value) -> Reply {
        self.post_api(&format!("worker/{path}"), body)
    }

    pub(crate) fn post_api(&self, path: &str, body: &Value) -> Reply {
        self.send(
            "POST",
            &format!("/api/v3/{path}"),
            "application/json",
            body.to_string().as_bytes(),
        )
    }

    pub(crate) fn fetch(&self) -> Reply {
        self.call("POST", "task")
    }

    /// The id of the task it got.
    pub(crate) fn got(&self) -> String {
        let reply = self.fetch();
        assert_eq!(reply.status, 200, "{}", reply.text());
        reply.json()["uuid"].as_str().unwrap().to_owned()
    }

    pub(crate) fn update(&self, task: &str, body: &Value) -> Reply {
        self.post(&format!("task/{task}"), body)
    }

    pub(crate) fn reports(&self, task: &str, status: &str) {
        assert_eq!(self.update(task, &json!({"taskStatus": status})).status, 204);
    }

    pub(crate) fn may_i_run(&self, task: &str) -> Value {
        self.call("GET", &format!("task/{task}/may-i-run")).json()
    }
}

pub(crate) fn standin() -> StandIn {
    StandIn::start(Options::default()).unwrap()
}

pub(crate) fn echo(name: &str) -> TaskSpec {
    TaskSpec::new(name).command(CommandSpec::new("echo", json!({"message": "x"})).steps(5))
}

/// A job of so many equal tasks; its id and theirs.
pub(crate) fn job(standin: &StandIn, tasks: usize) -> (String, Vec<String>) {
    let spec = (0..tasks).fold(JobSpec::new("job"), |spec, at| spec.task(echo(&format!("t{at}"))));
    let job = standin.submit(spec).unwrap();
    let ids = standin.tasks(&job).into_iter().map(|task| task.id).collect();
    (job, ids)
}
