// SPDX-License-Identifier: GPL-3.0-or-later
//! One request, one answer, one connection: all that WebDriver needs.

use std::{
    io::{self, Read, Write},
    net::{Ipv4Addr, TcpStream},
    time::Duration,
};

use serde_json::Value;

use crate::error::Error;

/// Longer than anything the page is asked to do; a browser that hangs fails the test instead of stopping it.
const PATIENCE: Duration = Duration::from_mins(1);

/// The `value` of the answer. A refusal names `path` as its step.
pub(crate) fn call(port: u16, method: &str, path: &str, body: &Value) -> Result<Value, Error> {
    let answer = exchange(port, method, path, &body.to_string()).map_err(Error::Talk)?;
    let mut answer: Value = serde_json::from_slice(&answer).map_err(|why| Error::Talk(why.into()))?;
    let value = answer["value"].take();
    match value["error"].as_str() {
        None => Ok(value),
        Some(error) => Err(Error::Refused {
            step: path.to_owned(),
            error: error.to_owned(),
            message: value["message"].as_str().unwrap_or_default().to_owned(),
        }),
    }
}

fn exchange(port: u16, method: &str, path: &str, body: &str) -> io::Result<Vec<u8>> {
    let body = if method == "POST" { body } else { "" };
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nHost: localhost:{port}\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n");
    let end = end.ok_or(io::ErrorKind::UnexpectedEof)?;
    Ok(answer.split_off(end + 4))
}
