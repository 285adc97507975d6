// SPDX-License-Identifier: GPL-3.0-or-later

//! The desktop's session, as logind has it: of whoever sits at seat0, while it is neither idle nor locked
//! (org.freedesktop.login1(5)).
//!
//! It is the desktop that tells logind when it is idle or locked. KDE never calls a session idle: there somebody is there until
//! the screen is locked. A login at a text console is nobody's here: of that logind tells no change, `terminal` does.

use std::convert::Infallible;
use std::fmt;
use std::time::Duration;

use tokio::time::{Instant, sleep, sleep_until};
use tracing::{debug, info, warn};

use super::signs::Signs;
use crate::chain::chain;
use crate::dbus::{Bus, BusError, Object, Value};

const SERVICE: &str = "org.freedesktop.login1";

const SEAT: Object<'_> = Object {
    service: SERVICE,
    path: "/org/freedesktop/login1/seat/seat0",
    interface: "org.freedesktop.login1.Seat",
};

/// What there is to hear: another session is the active one of its seat, a session is idle or locked, logind has come or gone.
const RULES: [&str; 3] = [
    "type='signal',sender='org.freedesktop.login1',interface='org.freedesktop.DBus.Properties',member='PropertiesChanged',\
     path='/org/freedesktop/login1/seat/seat0'",
    "type='signal',sender='org.freedesktop.login1',interface='org.freedesktop.DBus.Properties',member='PropertiesChanged',\
     arg0='org.freedesktop.login1.Session'",
    "type='signal',sender='org.freedesktop.DBus',interface='org.freedesktop.DBus',member='NameOwnerChanged',\
     arg0='org.freedesktop.login1'",
];

/// After a look no other for so long, however much changes.
const REST: Duration = Duration::from_millis(200);

/// Between two tries, where it cannot be had: it doubles up to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(300);

/// What sits at seat0.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum SeatState {
    /// No session that is shown there.
    Nobody,
    /// The login screen, a text console, or whatever else is no desktop of a user's.
    NoDesktop(String),
    /// A desktop that says of itself that nobody uses it.
    Idle,
    /// A desktop whose screen is locked.
    Locked,
    /// A desktop in use.
    InUse,
}

/// Tells whether the session is in use, by logind's signals.
pub(super) async fn watch(address: &str, signs: &Signs) -> Infallible {
    let mut pause = FIRST_PAUSE;
    let mut said = None;
    loop {
        let mut attended = Attended {
            signs,
            has_told: false,
            was_in_trouble: said.is_some(),
        };
        let Err(error) = attended.attend(address).await;
        signs.session_is_unknown();
        if attended.has_told {
            pause = FIRST_PAUSE;
            said = None;
        }
        let error = chain(&error);
        if said.as_ref() != Some(&error) {
            warn!("the desktop's session does not tell whether somebody is here: {error}; tried again by and by");
            said = Some(error);
        }
        sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// One connection to the bus.
struct Attended<'a> {
    signs: &'a Signs,
    /// Logind has answered.
    has_told: bool,
    /// It was said that it does not.
    was_in_trouble: bool,
}

impl Attended<'_> {
    async fn attend(&mut self, address: &str) -> Result<Infallible, BusError> {
        let mut bus = Bus::connect(address).await?;
        for rule in RULES {
            bus.listen(rule).await?;
        }
        loop {
            let looked = Instant::now();
            let seat = look(&mut bus).await?;
            if !std::mem::replace(&mut self.has_told, true) {
                match self.was_in_trouble {
                    true => info!("the desktop's session tells again whether somebody is here: {seat}"),
                    false => info!("the desktop's session tells whether somebody is here: {seat}"),
                }
            }
            debug!(%seat, "the session");
            self.signs.session(seat == SeatState::InUse);
            bus.signal().await?;
            sleep_until(looked + REST).await;
        }
    }
}

/// The state of the seat now, from a connection of its own.
///
/// # Errors
/// That of the bus, or logind's.
pub(crate) async fn look_once(address: &str) -> Result<SeatState, BusError> {
    look(&mut Bus::connect(address).await?).await
}

async fn look(bus: &mut Bus) -> Result<SeatState, BusError> {
    let Value::Named(session, path) = bus.property(SEAT, "ActiveSession").await? else {
        return Err(BusError::Malformed("a session of another type"));
    };
    if session.is_empty() {
        return Ok(SeatState::Nobody);
    }
    let session = Object {
        path: &path,
        interface: "org.freedesktop.login1.Session",
        ..SEAT
    };
    match desktop(bus, session).await {
        // It has ended meanwhile; that there is another one, or none, comes as a signal.
        Err(BusError::Answer { .. }) => Ok(SeatState::Nobody),
        seen => seen,
    }
}

async fn desktop(bus: &mut Bus, session: Object<'_>) -> Result<SeatState, BusError> {
    let class = bus.property(session, "Class").await?;
    let kind = bus.property(session, "Type").await?;
    let (Value::Text(class), Value::Text(kind)) = (class, kind) else {
        return Err(BusError::Malformed("a class or a type that is no text"));
    };
    // Since systemd 256 there are several of users ("user-light").
    if !class.starts_with("user") || kind == "tty" {
        return Ok(SeatState::NoDesktop(format!("{class}, {kind}")));
    }
    for (hint, state) in [("LockedHint", SeatState::Locked), ("IdleHint", SeatState::Idle)] {
        if bus.property(session, hint).await? == Value::Flag(true) {
            return Ok(state);
        }
    }
    Ok(SeatState::InUse)
}

impl fmt::Display for SeatState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nobody => f.write_str("nobody is logged in at seat0"),
            Self::NoDesktop(what) => write!(f, "no desktop of a user is shown at seat0 ({what})"),
            Self::Idle => f.write_str("the desktop at seat0 is idle"),
            Self::Locked => f.write_str("the desktop at seat0 is locked"),
            Self::InUse => f.write_str("the desktop at seat0 is in use"),
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::timeout;

    use super::*;
    use crate::dbus::Peer;
    use crate::pause::PresenceSource;

    /// A logind with a desktop in use.
    fn logind() -> Peer {
        let peer = Peer::new();
        let text = |text: &str| Value::Text(text.into());
        peer.set("ActiveSession", Value::Named("c1".into(), "/session/c1".into()));
        peer.set("Class", text("user"));
        peer.set("Type", text("wayland"));
        peer.set("LockedHint", Value::Flag(false));
        peer.set("IdleHint", Value::Flag(false));
        peer
    }

    #[tokio::test]
    async fn m11_the_seat_is_in_use_while_a_users_desktop_is_neither_idle_nor_locked() {
        let peer = logind();
        let asking = async {
            let look = async || look_once(&peer.address()).await.unwrap();
            assert_eq!(look().await, SeatState::InUse);
            peer.set("IdleHint", Value::Flag(true));
            assert_eq!(look().await, SeatState::Idle);
            peer.set("LockedHint", Value::Flag(true));
            assert_eq!(look().await, SeatState::Locked);
            peer.set("Type", Value::Text("tty".into()));
            assert_eq!(look().await, SeatState::NoDesktop("user, tty".into()));
            peer.set("Class", Value::Text("greeter".into()));
            peer.set("Type", Value::Text("x11".into()));
            assert_eq!(
                look().await.to_string(),
                "no desktop of a user is shown at seat0 (greeter, x11)"
            );
            // It ends between two questions.
            peer.set("Class", None);
            assert_eq!(look().await, SeatState::Nobody);
            peer.set("ActiveSession", Value::Named(String::new(), "/".into()));
            assert_eq!(look().await, SeatState::Nobody);
            peer.set("ActiveSession", None);
            assert!(look_once(&peer.address()).await.is_err());
        };
        tokio::select! {
            () = asking => {}
            never = peer.serve() => match never {},
        }
    }

    /// Waits until it is known, or not known any more, that the session is in use.
    async fn is_in_use(signs: &Signs, is_in_use: bool) {
        let mut seen = signs.watch();
        seen.wait_for(|seen| seen.in_session == is_in_use).await.unwrap();
    }

    #[tokio::test]
    async fn m11_m12_changes_are_heard_and_a_bus_that_goes_away_is_found_again() {
        let peer = logind();
        let address = peer.address();
        let signs = Signs::new(None, &[PresenceSource::Session]);
        let mut serving = Box::pin(peer.serve());
        let mut watching = Box::pin(watch(&address, &signs));
        macro_rules! until {
            ($fact:expr) => {
                tokio::select! {
                    () = $fact => {}
                    never = &mut serving => match never {},
                    never = &mut watching => match never {},
                }
            };
        }
        until!(is_in_use(&signs, true));
        peer.set("LockedHint", Value::Flag(true));
        peer.signal();
        until!(is_in_use(&signs, false));
        assert!(signs.now().last.is_none());
        let asked = peer.asked.get();
        until!(async { drop(timeout(Duration::from_millis(50), std::future::pending::<()>()).await) });
        assert_eq!(peer.asked.get(), asked);
        peer.set("LockedHint", Value::Flag(false));
        peer.signal();
        until!(is_in_use(&signs, true));
        // The bus ends: whoever was there was seen just now.
        let before = Instant::now();
        drop(serving);
        until_gone(&signs, &mut watching).await;
        assert!(signs.now().last.is_some_and(|last| last >= before));
        peer.begin();
        serving = Box::pin(peer.serve());
        until!(is_in_use(&signs, true));
    }

    async fn until_gone(signs: &Signs, watching: &mut (impl Future<Output = Infallible> + Unpin)) {
        tokio::select! {
            () = is_in_use(signs, false) => {}
            never = watching => match never {},
        }
    }
}
