// SPDX-License-Identifier: GPL-3.0-or-later

//! Keyboards, mice, tablets and the like, as the kernel has them: `/dev/input/event*`, which the group `input` may read.
//!
//! ```text
//! event* ── devices ──╮                 a sign: nothing is waited for during REST, however fast a mouse is
//! inotify ── folder ──┴─► one epoll ─► AsyncFd
//! ```
//!
//! What a device says is thrown away unseen: only that it says something counts. All of them wait in one epoll, which the event
//! loop does not look at for a while after a sign. In the event loop's own each report of a mouse would wake us, a thousand times
//! a second, also where nobody reads it.

mod capabilities;
mod devices;
mod folder;

use std::convert::Infallible;
use std::io;
use std::os::fd::AsFd as _;
use std::path::Path;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollTimeout};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::time::sleep;
use tracing::{debug, info, warn};

use self::devices::Devices;
use self::folder::FolderWatch;
use super::signs::Signs;
use crate::blocking::run_blocking;
use crate::chain::chain;
use crate::pause::PresenceSource;

pub(crate) use self::devices::{Survey, survey};

/// Where the devices are.
pub(crate) const FOLDER: &str = "/dev/input";

/// After a sign no other is looked for during this time, or during half of what is idle.
const REST: Duration = Duration::from_secs(1);

/// Where the kernel tells nothing of new devices, or has no descriptor for us: when to look again.
const LOOK_AGAIN: Duration = Duration::from_secs(60);

/// So many of what is ready are taken at once.
const READY: usize = 32;

/// Tells of each use of a device in `folder`, of those that are there and those that come.
pub(super) async fn watch(folder: &Path, idle: Duration, signs: &Signs) -> Infallible {
    let mut said = false;
    loop {
        let error = match Input::new(folder, REST.min(idle / 2)) {
            Ok(mut input) => match input.run(signs).await {
                Err(error) => error,
            },
            Err(error) => error,
        };
        // Out of descriptors, or of memory.
        match std::mem::replace(&mut said, true) {
            false => warn!(error = chain(&error), "input devices cannot be watched; tried again"),
            true => debug!(error = chain(&error), "input devices cannot be watched"),
        }
        sleep(LOOK_AGAIN).await;
    }
}

/// The devices that are watched.
#[derive(Debug)]
struct Input<'a> {
    epoll: Epoll,
    folder: &'a Path,
    rest: Duration,
    devices: Devices,
    changes: Option<FolderWatch>,
    /// What was said of what is there.
    said: bool,
}

/// What was ready.
#[derive(Debug, Default, PartialEq, Eq)]
struct Heard {
    /// A device has said something.
    sign: bool,
    /// A device has hung up: it is gone, or to be opened anew.
    hang_up: bool,
    /// Devices have come or gone.
    change: bool,
}

impl<'a> Input<'a> {
    fn new(folder: &'a Path, rest: Duration) -> io::Result<Self> {
        Ok(Self {
            epoll: Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?,
            folder,
            rest,
            devices: Devices::default(),
            changes: None,
            said: false,
        })
    }

    async fn run(&mut self, signs: &Signs) -> io::Result<Infallible> {
        loop {
            self.look().await;
            let mut heard = Heard::default();
            while !heard.change && !heard.hang_up {
                tokio::select! {
                    ready = self.ready() => ready?,
                    () = sleep(LOOK_AGAIN), if self.changes.is_none() => break,
                }
                heard = self.hear()?;
                if heard.sign {
                    signs.seen(PresenceSource::Input);
                }
                if heard.sign || heard.hang_up {
                    sleep(self.rest).await;
                }
            }
        }
    }

    /// Takes up what is there, and lets go of what is not.
    async fn look(&mut self) {
        // First: what comes later is told.
        self.changes = FolderWatch::new(self.folder, &self.epoll)
            .inspect_err(|error| debug!(%error, "changes of devices are not told"))
            .ok();
        let (folder, known) = (self.folder.to_owned(), self.devices.known());
        let survey = run_blocking(move || survey(&folder, &known)).await;
        if !std::mem::replace(&mut self.said, true) {
            say(&survey);
        }
        self.devices.take_up(survey, &self.epoll);
    }

    /// Waits until something is ready. The event loop has it only for so long.
    #[expect(unsafe_code, reason = "tokio has no safe way to wait for a descriptor")]
    async fn ready(&self) -> io::Result<()> {
        let epoll = self.epoll.0.as_fd();
        // SAFETY: the descriptor is borrowed, so that it stays open and what it is, for longer than this lasts.
        let waiting = unsafe { AsyncFd::register_with_interest(epoll, Interest::READABLE)? };
        waiting.readable().await.map(drop)
    }

    /// Takes what is ready, without a wait.
    fn hear(&mut self) -> io::Result<Heard> {
        let mut events = [EpollEvent::empty(); READY];
        let count = match self.epoll.wait(&mut events, EpollTimeout::ZERO) {
            Err(Errno::EINTR) => 0,
            count => count?,
        };
        let mut heard = Heard::default();
        for event in &events[..count] {
            let of_folder = self.changes.as_ref().is_some_and(|changes| changes.is(event.data()));
            match of_folder {
                true => heard.change |= self.changes.as_ref().is_some_and(FolderWatch::has_changed),
                false => {
                    let drained = self.devices.drain(event.data(), &self.epoll);
                    heard.sign |= drained.said_something;
                    heard.hang_up |= drained.has_gone;
                }
            }
        }
        Ok(heard)
    }
}

/// Says what there is to watch, once.
fn say(survey: &Survey) {
    let names = survey.names();
    debug!(devices = ?names, left_out = ?survey.left_out, "input devices");
    match (names.len(), survey.denied.first()) {
        (0, None) => info!("no input device is here to tell whether somebody is; waiting for one"),
        (count, None) => info!(devices = count, "input devices tell whether somebody is here"),
        (count, Some((name, error))) => warn!(
            readable = count,
            denied = survey.denied.len(),
            "not all input devices tell whether somebody is here ({name}: {error}): the group input may read them, \
             SupplementaryGroups=input in the unit; then start the worker anew"
        ),
    }
}

#[cfg(test)]
mod tests;
