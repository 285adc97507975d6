// SPDX-License-Identifier: GPL-3.0-or-later
//! One request, one answer, one connection: all that WebDriver needs.

use std::{
    io::{self, BufRead, BufReader, Write},
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
        "{method} {path} HTTP/1.1\r\nHost: localhost:{port}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )?;
    body_of(BufReader::new(stream))
}

/// `chromedriver` keeps the connection open whatever it is told: the header says where the body ends.
fn body_of(mut stream: impl BufRead) -> io::Result<Vec<u8>> {
    let mut length = 0;
    let mut line = String::new();
    while stream.read_line(&mut line)? > 2 {
        if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            length = value.trim().parse().map_err(io::Error::other)?;
        }
        line.clear();
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body)?;
    Ok(body)
}
