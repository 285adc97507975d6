// SPDX-License-Identifier: GPL-3.0-or-later

//! What systemd is told (sd_notify(3)): that we are up, what we do, that we live, that we are about to leave.
//!
//! ```text
//! Systemd ── READY, STATUS, RELOADING, STOPPING ──► NOTIFY_SOCKET, one datagram each
//!    └ Heartbeat ── WATCHDOG; EXTEND_TIMEOUT_USEC while we leave ──┘   only while the next one is waited for
//! ```
//!
//! The heartbeat has no timer of its own that could outlive what it stands for: it is due, and sent, in the wait in which
//! the state machine is also interrupted. Whatever keeps that from being interrupted keeps the heartbeat from being sent.
//!
//! Without systemd (no `NOTIFY_SOCKET`) all of this does nothing.

use std::cell::{Cell, RefCell};
use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::rc::Rc;
use std::time::Duration;

use nix::time::{ClockId, clock_gettime};
use tokio::time::{Instant, sleep_until};
use tracing::debug;

use crate::chain::chain;
use crate::printable;

/// How long a message may wait for systemd to read the ones before it. Several hundred have room, so we wait this long
/// only where systemd hangs, and then go on without the message.
const SEND_LIMIT: Duration = Duration::from_millis(100);

/// How often more time is asked for while we leave.
const EXTEND_EVERY: Duration = Duration::from_secs(5);

/// How much time is asked for, from then on: three requests may come late.
const EXTENSION: Duration = Duration::from_secs(20);

/// The longest status, in bytes. Systemd ignores messages of more than 4096, and a terminal shows far less.
const LONGEST_STATUS: usize = 1000;

/// The connection to systemd, if there is any. Clones share it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Systemd(Option<Rc<Notify>>);

#[derive(Debug)]
struct Notify {
    socket: UnixDatagram,
    address: SocketAddr,
    /// How long systemd waits for a heartbeat, where it does.
    watchdog: Option<Duration>,
    /// The watchdog is to run out.
    is_withheld: Cell<bool>,
    /// The last status that was sent.
    status: RefCell<String>,
}

/// The sign of life for the watchdog, which the state machine sends while it waits.
#[derive(Debug)]
pub(crate) struct Heartbeat {
    systemd: Systemd,
    last: Option<Instant>,
    is_leaving: bool,
}

impl Systemd {
    /// Connects as the environment says. A socket that cannot be used counts as none: systemd will say what it misses.
    pub(crate) fn from_environment<'a>(variable: impl Fn(&str) -> Option<&'a OsStr>) -> Self {
        let Some(name) = variable("NOTIFY_SOCKET") else {
            return Self(None);
        };
        let made = address(name).and_then(|address| Ok((address, socket()?)));
        let (address, socket) = match made {
            Ok(made) => made,
            Err(error) => {
                debug!(socket = %name.display(), error = chain(&error), "cannot talk to systemd");
                return Self(None);
            }
        };
        Self(Some(Rc::new(Notify {
            socket,
            address,
            watchdog: watchdog(variable),
            is_withheld: Cell::new(false),
            status: RefCell::default(),
        })))
    }

    /// Whether there is a systemd to talk to.
    pub(crate) fn listens(&self) -> bool {
        self.0.is_some()
    }

    /// Tells that we are up, or that a reload is over.
    pub(crate) fn ready(&self) {
        self.send("READY=1");
    }

    /// Tells that a reload is under way, until [`ready`](Self::ready).
    pub(crate) fn reloading(&self) {
        let now = clock_gettime(ClockId::CLOCK_MONOTONIC)
            .map(Duration::from)
            .unwrap_or_default();
        self.send(&format!("RELOADING=1\nMONOTONIC_USEC={}", now.as_micros()));
    }

    /// Tells what we do, in a line for `systemctl status`. A status that was sent last is not sent again.
    pub(crate) fn status(&self, line: &str) {
        let Some(notify) = &self.0 else { return };
        if notify.status.replace(line.to_owned()) != line {
            // A line end would begin another assignment.
            let line = printable::escape_line(line);
            let shown = &line[..line.floor_char_boundary(LONGEST_STATUS)];
            self.send(&format!("STATUS={shown}"));
        }
    }

    /// Lets the watchdog run out, as long as this was last called with `true`: no heartbeat is sent.
    pub(crate) fn withhold_heartbeat(&self, is_withheld: bool) {
        if let Some(notify) = &self.0
            && notify.is_withheld.replace(is_withheld) != is_withheld
        {
            debug!(in_doubt = is_withheld, "the sign of life for the watchdog");
        }
    }

    fn send(&self, message: &str) {
        let Some(notify) = &self.0 else { return };
        if let Err(error) = notify.socket.send_to_addr(message.as_bytes(), &notify.address) {
            debug!(error = chain(&error), message, "systemd was not told");
        }
    }
}

impl Heartbeat {
    /// Makes one that is due at once.
    pub(crate) fn new(systemd: Systemd) -> Self {
        Self {
            systemd,
            last: None,
            is_leaving: false,
        }
    }

    /// Waits until the next heartbeat is to be sent; for ever where systemd expects none. Cancel safe.
    pub(crate) async fn due(&self) {
        match (self.pause(), self.last) {
            (None, _) => std::future::pending().await,
            (Some(_), None) => {}
            (Some(pause), Some(last)) => sleep_until(last + pause).await,
        }
    }

    /// Sends a heartbeat and, while we leave, asks for more time.
    pub(crate) fn send(&mut self) {
        self.last = Some(Instant::now());
        let Some(notify) = &self.systemd.0 else { return };
        if notify.watchdog.is_some() && !notify.is_withheld.get() {
            self.systemd.send("WATCHDOG=1");
        }
        if self.is_leaving {
            self.systemd
                .send(&format!("EXTEND_TIMEOUT_USEC={}", EXTENSION.as_micros()));
        }
    }

    /// Asks for more time from now on, with each heartbeat: we were told to leave, and may take our time. What we take is
    /// bounded by our own limits.
    pub(crate) fn begin_leaving(&mut self) {
        if !std::mem::replace(&mut self.is_leaving, true) {
            self.send();
        }
    }

    /// Tells that we stop. Call it last: systemd passes on no signal from here on.
    pub(crate) fn stopping(&mut self) {
        self.systemd.send("STOPPING=1");
        self.begin_leaving();
    }

    fn pause(&self) -> Option<Duration> {
        let notify = self.systemd.0.as_ref()?;
        // Half of what systemd waits, as sd_watchdog_enabled(3) recommends.
        let watchdog = notify.watchdog.map(|limit| limit / 2);
        let extension = self.is_leaving.then_some(EXTEND_EVERY);
        watchdog.into_iter().chain(extension).min()
    }
}

/// The address of a socket: a path, or after an `@` a name in the abstract namespace.
fn address(name: &OsStr) -> io::Result<SocketAddr> {
    match name.as_bytes() {
        [b'@', name @ ..] => SocketAddr::from_abstract_name(name),
        [b'/', ..] => SocketAddr::from_pathname(name),
        _ => Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "neither a path nor an abstract name",
        )),
    }
}

fn socket() -> io::Result<UnixDatagram> {
    let socket = UnixDatagram::unbound()?;
    socket.set_write_timeout(Some(SEND_LIMIT))?;
    Ok(socket)
}

/// How long systemd waits for a heartbeat of this very process.
fn watchdog<'a>(variable: impl Fn(&str) -> Option<&'a OsStr>) -> Option<Duration> {
    let number = |name| variable(name).and_then(OsStr::to_str)?.parse::<u64>().ok();
    let ours = variable("WATCHDOG_PID").is_none() || number("WATCHDOG_PID") == Some(std::process::id().into());
    let limit = number("WATCHDOG_USEC").filter(|limit| ours && *limit > 0)?;
    Some(Duration::from_micros(limit))
}

#[cfg(test)]
mod tests;
