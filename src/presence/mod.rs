// SPDX-License-Identifier: GPL-3.0-or-later

//! Whether somebody is at this machine: beside the worker, in its event loop, and with a look of once a second at most.
//!
//! ```text
//! /dev/input ─────── input ────╮ a sign of somebody
//! /dev/pts, /dev/tty ─ terminal ─┼─► Signs ─► Presence ─► PauseSwitch
//! logind ─ D-Bus ──── session ──╯ in use, or not    after `idle` without a sign: nobody
//! ```
//!
//! A source that cannot be had is said once, and tried again. What a source sees is that somebody does something, never what.

pub(crate) mod input;
pub(crate) mod session;
mod signs;
pub(crate) mod terminal;

use std::convert::Infallible;
use std::future::pending;
use std::path::Path;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};
use tracing::info;

use self::signs::Signs;
use crate::pause::{PauseSwitch, PresenceSource};

pub(crate) use self::signs::HandedPresence;

/// Watches for somebody at this machine for as long as it is polled.
#[derive(Debug)]
pub(crate) struct Presence {
    sources: Vec<PresenceSource>,
    idle: Duration,
    signs: Signs,
    switch: PauseSwitch,
    /// Of the system's bus.
    bus: String,
}

/// Tells what a successor has to know of who was seen.
#[derive(Debug, Clone)]
pub(crate) struct SeenHere(Signs);

impl Presence {
    /// Watches by `sources`; somebody was there until `idle` after the last sign. The switch knows at once what was `handed`
    /// over. The bus that is asked has an address as in `DBUS_SYSTEM_BUS_ADDRESS`.
    pub(crate) fn new(
        (sources, idle): (&[PresenceSource], Duration),
        bus: String,
        handed: Option<&HandedPresence>,
        switch: PauseSwitch,
    ) -> Self {
        let presence = Self {
            sources: sources.to_vec(),
            idle,
            signs: Signs::new(handed, sources),
            switch,
            bus,
        };
        // A successor says nothing of what its predecessor has said.
        presence.signs.was_here(presence.is_here_until().0);
        presence.tell();
        presence
    }

    /// For whoever hands over.
    pub(crate) fn seen_here(&self) -> SeenHere {
        SeenHere(self.signs.clone())
    }

    /// Watches, and tells the switch.
    pub(crate) async fn run(self) -> Infallible {
        tokio::select! {
            never = self.input() => never,
            never = self.terminal() => never,
            never = self.session() => never,
            never = self.decide() => never,
        }
    }

    async fn input(&self) -> Infallible {
        match self.sources.contains(&PresenceSource::Input) {
            true => input::watch(Path::new(input::FOLDER), self.idle, &self.signs).await,
            false => pending().await,
        }
    }

    async fn terminal(&self) -> Infallible {
        match self.sources.contains(&PresenceSource::Terminal) {
            true => terminal::watch(Path::new(terminal::FOLDER), self.idle, &self.signs).await,
            false => pending().await,
        }
    }

    async fn session(&self) -> Infallible {
        match self.sources.contains(&PresenceSource::Session) {
            true => session::watch(&self.bus, &self.signs).await,
            false => pending().await,
        }
    }

    async fn decide(&self) -> Infallible {
        let mut signs = self.signs.watch();
        loop {
            signs.mark_unchanged();
            match self.tell() {
                Some(until) => {
                    tokio::select! {
                        // The sender is ours.
                        _ = signs.changed() => {}
                        () = sleep_until(until) => {}
                    }
                }
                None => drop(signs.changed().await),
            }
        }
    }

    /// Tells the switch what holds now. Returns until when that is so, where nothing else comes.
    fn tell(&self) -> Option<Instant> {
        let (is_here, until) = self.is_here_until();
        if self.signs.was_here(is_here) != is_here {
            match is_here {
                true => info!(source = self.signs.now().source(), "somebody is at this machine"),
                false => info!("nobody is at this machine any more"),
            }
        }
        self.switch.somebody(is_here);
        until
    }

    /// Whether somebody is there, and until when at least that is so.
    fn is_here_until(&self) -> (bool, Option<Instant>) {
        let seen = self.signs.now();
        let until = seen
            .last
            .map(|last| last + self.idle)
            .filter(|until| *until > Instant::now());
        match seen.in_session {
            true => (true, None),
            false => (until.is_some(), until),
        }
    }
}

impl SeenHere {
    /// For a successor of this process.
    pub(crate) fn hand_over(&self) -> HandedPresence {
        self.0.hand_over()
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::{advance, timeout};

    use super::*;

    const IDLE: Duration = Duration::from_secs(600);

    const SECOND: Duration = Duration::from_secs(1);

    fn presence(sources: &[PresenceSource], handed: Option<&HandedPresence>) -> Presence {
        Presence::new((sources, IDLE), String::new(), handed, PauseSwitch::default())
    }

    /// Whether it takes somebody to be there, when it has run for a moment.
    async fn is_here(presence: &Presence) -> bool {
        timeout(Duration::from_millis(1), presence.decide()).await.unwrap_err();
        presence.switch.watch().now().is_some()
    }

    #[tokio::test(start_paused = true)]
    async fn m10_somebody_is_there_from_the_first_sign_until_idle_after_the_last() {
        let presence = presence(&PresenceSource::ALL.map(|(_, source)| source), None);
        assert!(!is_here(&presence).await);
        presence.signs.seen(PresenceSource::Input);
        assert!(is_here(&presence).await);
        advance(IDLE - SECOND).await;
        assert!(is_here(&presence).await);
        // Older than what is known.
        presence.signs.seen_at(PresenceSource::Terminal, Instant::now() - IDLE);
        assert!(is_here(&presence).await);
        presence
            .signs
            .seen_at(PresenceSource::Terminal, Instant::now() - SECOND);
        timeout(IDLE - SECOND * 2, presence.decide()).await.unwrap_err();
        assert!(presence.switch.watch().now().is_some());
        timeout(SECOND * 2, presence.decide()).await.unwrap_err();
        assert_eq!(presence.switch.watch().now(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn m11_a_session_counts_as_long_as_it_is_used_and_its_end_ends_nothing_else() {
        let presence = presence(&PresenceSource::ALL.map(|(_, source)| source), None);
        presence.signs.session(true);
        advance(IDLE * 3).await;
        assert!(is_here(&presence).await);
        presence.signs.session(false);
        assert!(!is_here(&presence).await);
        presence.signs.session(true);
        presence.signs.seen(PresenceSource::Input);
        presence.signs.session(false);
        assert!(is_here(&presence).await);
        advance(IDLE).await;
        assert!(!is_here(&presence).await);
        // One that cannot be asked any more: who was there has gone by and by.
        presence.signs.session(true);
        presence.signs.session_is_unknown();
        assert!(is_here(&presence).await);
        presence.signs.session_is_unknown();
        advance(IDLE).await;
        assert!(!is_here(&presence).await);
    }

    #[tokio::test(start_paused = true)]
    async fn m12_a_successor_knows_at_once_who_is_there_and_goes_on_counting() {
        let all = PresenceSource::ALL.map(|(_, source)| source);
        let before = presence(&all, None);
        before.signs.seen(PresenceSource::Input);
        advance(SECOND * 400).await;
        let text = serde_json::to_string(&before.seen_here().hand_over()).unwrap();
        let handed: HandedPresence = serde_json::from_str(&text).unwrap();
        let after = presence(&all, Some(&handed));
        assert!(after.switch.watch().now().is_some());
        advance(SECOND * 199).await;
        assert!(is_here(&after).await);
        advance(SECOND).await;
        assert!(!is_here(&after).await);
        // What is not asked any more tells nothing.
        before.signs.session(true);
        let handed = before.seen_here().hand_over();
        for (sources, is_here) in [(&all[2..], true), (&all[..1], false), (&[], false)] {
            let after = presence(sources, Some(&handed));
            assert_eq!(after.switch.watch().now().is_some(), is_here, "{sources:?}");
        }
        let nothing: HandedPresence = serde_json::from_str("{}").unwrap();
        assert!(!is_here(&presence(&all, Some(&nothing))).await);
    }
}
