// SPDX-License-Identifier: GPL-3.0-or-later

//! Who pauses this worker by hand: at a socket of the home, one line each, and one in answer.
//!
//! ```text
//! "pause", "pause SECONDS", "resume" ─► PauseSwitch, home ─► "yes WHAT" or "no WHY"
//! ```

use std::convert::Infallible;
use std::io;
use std::time::Duration;

use jiff::Timestamp;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::sync::watch;
use tokio::time::timeout;
use tracing::{debug, info, warn};

use super::home_socket::HomeSocket;
use crate::chain::chain;
use crate::clock;
use crate::home::Home;
use crate::pause::{AskedPause, Pause, PausePolicy, PauseSwitch, time_of_day};
use crate::worker::Status;

/// Whoever connects has something to say. Another one waits for no longer than this.
const TO_SAY: Duration = Duration::from_millis(500);

/// The longest thing that can be said, in bytes.
const LONGEST: u64 = 100;

/// What it takes to be paused.
pub(super) struct Pausing<'a> {
    pub(super) home: &'a Home,
    pub(super) pauses: &'a PauseSwitch,
    pub(super) policy: PausePolicy,
    /// What the worker does.
    pub(super) status: watch::Receiver<Status>,
}

impl Pausing<'_> {
    /// Listens, and ends what has a time, for as long as it is polled.
    pub(super) async fn serve(self) -> Infallible {
        tokio::select! {
            never = self.listen() => never,
            never = self.expire() => never,
        }
    }

    async fn expire(&self) -> Infallible {
        loop {
            self.pauses.expired().await;
            info!("the time is over for which this worker was paused");
            self.remember(None);
        }
    }

    async fn listen(&self) -> Infallible {
        let bound = self.home.listen_for_pauses().await;
        let socket = HomeSocket::open(self.home, bound, "`flamenco-worker pause` does not reach this worker").await;
        loop {
            let stream = socket.accept().await;
            timeout(TO_SAY, self.hear(stream)).await.ok();
        }
    }

    async fn hear(&self, stream: UnixStream) -> io::Result<()> {
        let mut said = String::new();
        let mut stream = BufReader::new(stream.take(LONGEST));
        stream.read_line(&mut said).await?;
        let answer = match self.obey(said.trim()) {
            Ok(done) => format!("yes {done}\n"),
            Err(why) => format!("no {why}\n"),
        };
        stream.into_inner().into_inner().write_all(answer.as_bytes()).await
    }

    fn obey(&self, said: &str) -> Result<String, String> {
        let mut words = said.split_ascii_whitespace();
        match (words.next(), words.next().map(str::parse), words.next()) {
            (Some("pause"), None, None) => self.pause(None),
            (Some("pause"), Some(Ok(seconds)), None) => self.pause(Some(seconds)),
            (Some("resume"), None, None) => Ok(self.resume()),
            _ => Err("it does not understand that: is it of an earlier version?".to_owned()),
        }
    }

    fn pause(&self, seconds: Option<u64>) -> Result<String, String> {
        let since = clock::timestamp();
        let end = |seconds| since.checked_add(Duration::from_secs(seconds));
        let until = seconds.map(end).transpose();
        let until: Option<Timestamp> = until.map_err(|_| "so long nothing can be paused".to_owned())?;
        let asked = AskedPause { since, until };
        self.pauses.ask(asked);
        self.remember(Some(asked));
        let words = match until {
            Some(until) => format!("is paused until {}", time_of_day(until)),
            None => "is paused until it is resumed".to_owned(),
        };
        self.log(&words);
        Ok(format!("{words}{}", self.task()))
    }

    fn resume(&self) -> String {
        let was_asked = self.pauses.asked().is_some();
        let left = self.pauses.resume();
        self.remember(None);
        match (left, was_asked) {
            (Some(Pause { reason, .. }), _) => format!("still takes no task: {reason}"),
            (None, true) => {
                self.log("is resumed");
                "goes on".to_owned()
            }
            (None, false) => "was not paused".to_owned(),
        }
    }

    /// A task that stands still, goes on or goes back tells it, too.
    fn log(&self, what: &str) {
        let task_tells = self.policy != PausePolicy::Sleep && self.status.borrow().task().is_some();
        match task_tells {
            true => debug!("this worker {what}"),
            false => info!("this worker {what}"),
        }
    }

    /// What becomes of the task that runs, if one does.
    fn task(&self) -> &'static str {
        match (self.policy, self.status.borrow().task()) {
            (_, None) => "",
            (PausePolicy::Freeze, Some(_)) => "; its task stands still",
            (PausePolicy::Requeue, Some(_)) => "; its task goes back to the Manager",
            (PausePolicy::Sleep, Some(_)) => "; its task is finished first",
        }
    }

    fn remember(&self, pause: Option<AskedPause>) {
        if let Err(error) = self.home.remember_pause(pause) {
            warn!(
                error = chain(&error),
                "cannot note in the home that this worker is paused, or not any more: a restart would not know"
            );
        }
    }
}
