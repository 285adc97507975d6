// SPDX-License-Identifier: GPL-3.0-or-later
//! How a stand-in is set up. The defaults are the real Manager's.

use std::{path::PathBuf, time::Duration};

use crate::spec::Sample;
use crate::ssdp::SsdpOptions;

/// Settings of one stand-in.
#[derive(Clone, Debug)]
pub struct Options {
    /// 0 asks for a free port on 127.0.0.1.
    pub port: u16,
    /// The address to listen on.
    pub address: std::net::IpAddr,
    /// Where task logs and pictures go; `None` makes a temporary directory that is removed with the stand-in.
    pub storage: Option<PathBuf>,
    /// A worker unseen for longer goes to `error`. Real default: 1 minute.
    pub worker_timeout: Duration,
    /// An active task untouched for longer fails. Real default: 10 minutes. Zero turns all time-outs off, as in the real one.
    pub task_timeout: Duration,
    /// Time between two checks. Real value: 1 minute.
    pub timeout_check: Duration,
    /// Time from the start to the first check. Real value: 5 minutes.
    pub first_timeout_check: Duration,
    /// A fresh connection must deliver its whole request header within this time. Real value: 1 second.
    pub header_time: Duration,
    /// How long one uploaded picture keeps the Manager busy: with one in work and three waiting, the next is refused.
    pub picture_time: Duration,
    pub variables: Vec<Variable>,
    /// Jobs the page offers to submit; none, and the page offers nothing.
    pub samples: Vec<Sample>,
    /// `manager_name` of its configuration.
    pub name: String,
    pub version: Version,
    pub push: PushOptions,
    /// How it can be found; `None`: not at all, `autodiscoverable: false` in the real one.
    pub ssdp: Option<SsdpOptions>,
    /// A worker that signed on more often than this without a sign-off in between does not get back the task it has: it is
    /// failed softly, and the fetch answered with 400. `None`: as in the releases so far. Managers to come: 3.
    pub unclean_sign_ons: Option<u32>,
    /// So many requests are remembered; then the oldest quarter of them is forgotten at once.
    pub requests_kept: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            port: 0,
            address: std::net::Ipv4Addr::LOCALHOST.into(),
            storage: None,
            worker_timeout: Duration::from_mins(1),
            task_timeout: Duration::from_mins(10),
            timeout_check: Duration::from_mins(1),
            first_timeout_check: Duration::from_mins(5),
            header_time: Duration::from_secs(1),
            picture_time: Duration::from_millis(100),
            variables: vec![
                Variable::new("blender", "linux", "blender"),
                Variable::new("blenderArgs", "all", "-b -y"),
            ],
            samples: Vec::new(),
            name: "Stand-in".to_owned(),
            version: Version::default(),
            push: PushOptions::default(),
            ssdp: None,
            unclean_sign_ons: None,
            requests_kept: 100_000,
        }
    }
}

/// How the Socket.IO at `/socket.io/` behaves.
#[derive(Clone, Debug)]
pub struct PushOptions {
    /// Of the disorder of events and of their loss: the same seed gives the same.
    pub seed: u64,
    /// A client that sends no data message for so long is dropped; websocket pings do not count. Real value: 1 minute.
    pub idle_time: Duration,
    /// Share of events lost, drawn per event and client: 0 to 1. Can be changed later with
    /// [`StandIn::lose_events`](crate::StandIn::lose_events).
    pub lost: f64,
    /// What is answered instead of an upgrade, as by a proxy that knows of none.
    pub refused: Option<PushRefusal>,
    /// A client that ends its connection while it is in a room that it could have left makes everything hang that is
    /// broadcast, until the next start. In the real one this takes a broadcast in the same instant.
    pub wedges: bool,
    /// Pings are answered. In the real one always.
    pub answers_pings: bool,
    /// Subscriptions are acknowledged. In the real one always.
    pub acknowledges: bool,
    /// On an orderly stop with clients: from the first `manager-shutdown` to the second, and from that to the end of their
    /// connections. Real value: half a second.
    pub farewell: Duration,
}

impl Default for PushOptions {
    fn default() -> Self {
        Self {
            seed: 0,
            idle_time: Duration::from_mins(1),
            lost: 0.0,
            refused: None,
            wedges: false,
            answers_pings: true,
            acknowledges: true,
            farewell: Duration::from_millis(500),
        }
    }
}

/// An answer in place of an upgrade.
#[derive(Clone, Debug)]
pub struct PushRefusal {
    pub status: u16,
    /// Sent as `text/html`.
    pub body: String,
}

/// What a `{name}` in a command's parameters becomes on one platform, or on `all` of them.
#[derive(Clone, Debug)]
pub struct Variable {
    pub name: String,
    pub platform: String,
    pub value: String,
}

impl Variable {
    #[must_use]
    pub fn new(name: &str, platform: &str, value: &str) -> Self {
        Self {
            name: name.to_owned(),
            platform: platform.to_owned(),
            value: value.to_owned(),
        }
    }
}

/// What `GET /api/v3/version` says.
#[derive(Clone, Debug)]
pub struct Version {
    pub short: String,
    pub long: String,
    pub git: String,
}

impl Default for Version {
    /// The version whose answers were measured.
    fn default() -> Self {
        Self {
            short: "3.9-beta1".to_owned(),
            long: "3.9-beta1 (cf286e71)".to_owned(),
            git: "cf286e71".to_owned(),
        }
    }
}
