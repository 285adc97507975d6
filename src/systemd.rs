// SPDX-License-Identifier: GPL-3.0-or-later

//! What systemd is told (sd_notify(3)): that we are up, what we do, that we live, that we are about to go.
//!
//! ```text
//! Systemd ── READY, STATUS, RELOADING, STOPPING ──► NOTIFY_SOCKET, one datagram each
//!    └ Beat ── WATCHDOG; once we leave EXTEND_TIMEOUT_USEC ──┘   only while somebody waits for the next one
//! ```
//!
//! The beat has no timer of its own that could outlive what it stands for: it is due, and told, in the wait in which
//! the state machine also hears orders. Whatever keeps it from hearing them keeps it from being told.
//!
//! Without systemd (no `NOTIFY_SOCKET`) all of this is silent.

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

use crate::printable;

/// How long a message may wait for systemd to read the ones before it. Several hundred have room, so this much is
/// waited for only where systemd hangs, and then we go on without it.
const PATIENCE: Duration = Duration::from_millis(100);

/// While we leave, more time is asked for this often ...
const EXTEND_EVERY: Duration = Duration::from_secs(5);

/// ... and so much of it, from then on: three may come late.
const EXTENSION: Duration = Duration::from_secs(20);

/// In bytes. Systemd passes over messages of more than 4096, and a terminal shows far less.
const LONGEST_STATUS: usize = 1000;

/// Systemd as it is reached from here. Clones are handles to the same.
#[derive(Debug, Clone, Default)]
pub struct Systemd(Option<Rc<Notify>>);

#[derive(Debug)]
struct Notify {
    socket: UnixDatagram,
    address: SocketAddr,
    /// How long it waits for a sign of life, where it does.
    watchdog: Option<Duration>,
    /// Somebody wants the watchdog to run out.
    in_doubt: Cell<bool>,
    /// The last status.
    status: RefCell<String>,
}

/// The sign of life, told at the turns of whoever decides.
#[derive(Debug)]
pub struct Beat {
    systemd: Systemd,
    last: Option<Instant>,
    leaving: bool,
}

impl Systemd {
    /// As the environment says. A socket that cannot be used counts as none: systemd will say what it misses.
    pub fn of<'a>(variable: impl Fn(&str) -> Option<&'a OsStr>) -> Self {
        let Some(name) = variable("NOTIFY_SOCKET") else {
            return Self(None);
        };
        let made = address(name).and_then(|address| Ok((address, socket()?)));
        let (address, socket) = match made {
            Ok(made) => made,
            Err(error) => {
                debug!(socket = %name.display(), %error, "cannot talk to systemd");
                return Self(None);
            }
        };
        Self(Some(Rc::new(Notify {
            socket,
            address,
            watchdog: watchdog(variable),
            in_doubt: Cell::new(false),
            status: RefCell::default(),
        })))
    }

    /// Whether anybody listens.
    pub fn listens(&self) -> bool {
        self.0.is_some()
    }

    /// We are up, or the configuration was read again.
    pub fn ready(&self) {
        self.tell("READY=1");
    }

    /// The configuration is being read again; [`ready`](Self::ready) ends it.
    pub fn reloading(&self) {
        let now = clock_gettime(ClockId::CLOCK_MONOTONIC)
            .map(Duration::from)
            .unwrap_or_default();
        self.tell(&format!("RELOADING=1\nMONOTONIC_USEC={}", now.as_micros()));
    }

    /// What we do, in a line for `systemctl status`. Told when it is not what was told last.
    pub fn status(&self, line: &str) {
        let Some(notify) = &self.0 else { return };
        if notify.status.replace(line.to_owned()) != line {
            // A line end would begin another assignment.
            let line = printable::line(line);
            let shown = &line[..line.floor_char_boundary(LONGEST_STATUS)];
            self.tell(&format!("STATUS={shown}"));
        }
    }

    /// Whether the watchdog is to run out: as long as this was last said with `true`, no sign of life is given.
    pub fn doubt(&self, in_doubt: bool) {
        if let Some(notify) = &self.0
            && notify.in_doubt.replace(in_doubt) != in_doubt
        {
            debug!(in_doubt, "the sign of life for the watchdog");
        }
    }

    fn tell(&self, message: &str) {
        let Some(notify) = &self.0 else { return };
        if let Err(error) = notify.socket.send_to_addr(message.as_bytes(), &notify.address) {
            debug!(%error, message, "systemd was not told");
        }
    }
}

impl Beat {
    pub fn new(systemd: Systemd) -> Self {
        Self {
            systemd,
            last: None,
            leaving: false,
        }
    }

    /// Returns when the next beat is to be told. Cancel safe.
    pub async fn due(&self) {
        match (self.pause(), self.last) {
            (None, _) => std::future::pending().await,
            (Some(_), None) => {}
            (Some(pause), Some(last)) => sleep_until(last + pause).await,
        }
    }

    pub fn tell(&mut self) {
        self.last = Some(Instant::now());
        let Some(notify) = &self.systemd.0 else { return };
        if notify.watchdog.is_some() && !notify.in_doubt.get() {
            self.systemd.tell("WATCHDOG=1");
        }
        if self.leaving {
            self.systemd
                .tell(&format!("EXTEND_TIMEOUT_USEC={}", EXTENSION.as_micros()));
        }
    }

    /// We were told to leave, and may take our time: from now on, beat by beat, more of it is asked for. What we take
    /// is bounded by our own limits.
    pub fn leaving(&mut self) {
        if !std::mem::replace(&mut self.leaving, true) {
            self.tell();
        }
    }

    /// Nothing is left but to say goodbye. Not to be said before: systemd passes on no signal from here on.
    pub fn stopping(&mut self) {
        self.systemd.tell("STOPPING=1");
        self.leaving();
    }

    fn pause(&self) -> Option<Duration> {
        let notify = self.systemd.0.as_ref()?;
        // Half of what it waits, as sd_watchdog_enabled(3) recommends.
        let watchdog = notify.watchdog.map(|limit| limit / 2);
        let extension = self.leaving.then_some(EXTEND_EVERY);
        watchdog.into_iter().chain(extension).min()
    }
}

/// A path, or after an `@` a name in the abstract namespace.
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
    socket.set_write_timeout(Some(PATIENCE))?;
    Ok(socket)
}

/// How long systemd waits for a sign of life of this very process.
fn watchdog<'a>(variable: impl Fn(&str) -> Option<&'a OsStr>) -> Option<Duration> {
    let number = |name| variable(name).and_then(OsStr::to_str)?.parse::<u64>().ok();
    let ours = variable("WATCHDOG_PID").is_none() || number("WATCHDOG_PID") == Some(std::process::id().into());
    let limit = number("WATCHDOG_USEC").filter(|limit| ours && *limit > 0)?;
    Some(Duration::from_micros(limit))
}

#[cfg(test)]
mod tests;
