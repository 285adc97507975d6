// SPDX-License-Identifier: GPL-3.0-or-later

//! Keeps a connection while the worker is interested, and says little about it: asking alone is always enough.

use std::convert::Infallible;
use std::time::Duration;

use tokio::time::{Instant, sleep, sleep_until, timeout};
use tracing::{debug, info};

use super::conversation::Conversation;
use super::crowd::Crowd;
use super::line::{Line, LineError, Socket};
use super::parting::{hang_up, part, say};
use super::{Ear, Interest, Link, Packet, Source};
use crate::chain::chain;
use crate::manager::{Backoff, HttpManager};
use crate::protocol::Handshake;
use crate::random::random;
use crate::timings::Timings;

/// After the Manager's goodbye: time to go down and come up again, plus as much as this at random.
const GOODBYE: Duration = Duration::from_secs(2);
const GOODBYE_SPREAD: Duration = Duration::from_secs(3);

/// So many failures in a row are told, if the Manager answers what it is asked meanwhile. One or two are a restart of it.
const FAILURES: u32 = 3;

/// Brings the Manager's hints to the worker.
#[derive(Debug)]
pub struct Listener {
    source: Source,
    timings: Timings,
    crowd: Crowd,
    backoff: Backoff,
    /// It worked once: this Manager can be listened to from here.
    worked: bool,
    /// It was said that it does not work.
    said: bool,
    /// So many times in a row it did not, although the Manager answered what was asked.
    failures: u32,
}

/// How a connection ended.
#[derive(Debug)]
enum End {
    /// The worker is not interested any more.
    NotWanted,
    /// After the Manager had said goodbye.
    Goodbye,
    Failed(LineError),
}

/// What happens on a connection.
enum Event {
    Interest,
    Due,
    Text(Result<tokio_tungstenite::tungstenite::Utf8Bytes, LineError>),
}

impl Listener {
    pub fn new(source: Source, timings: &Timings) -> Self {
        Self {
            source,
            timings: timings.clone(),
            crowd: Crowd::new(Instant::now()),
            backoff: Backoff::new(timings.backoff_min, timings.backoff_max),
            worked: false,
            said: false,
            failures: 0,
        }
    }

    /// Listens whenever the worker is interested. Nothing that happens here is more than a hint, or the lack of one.
    pub async fn run(mut self, manager: &HttpManager) -> Infallible {
        loop {
            if self.source.interest() == Interest::Nothing {
                self.source.interest_changed().await;
                continue;
            }
            let began = Instant::now();
            self.source.set_link(Link::Connected);
            let end = self.listen(manager).await;
            self.source.set_link(Link::Down);
            if began.elapsed() >= self.timings.backoff_max {
                self.backoff = Backoff::new(self.timings.backoff_min, self.timings.backoff_max);
            }
            sleep(self.pause(&end, manager)).await;
        }
    }

    /// One connection, from the first packet of TCP until nothing is left of it.
    async fn listen(&mut self, manager: &HttpManager) -> End {
        let patience = self.timings.push_answer;
        let opening = opened(manager, patience);
        let (mut socket, handshake) = tokio::select! {
            opened = opening => match opened {
                Ok(opened) => opened,
                Err(error) => return End::Failed(error),
            },
            () = not_wanted_for(self.source.clone(), self.timings.push_leave) => return End::NotWanted,
        };
        let mut interests = self.source.clone();
        let interest = interests.interest();
        if interest != Interest::Nothing && (!std::mem::replace(&mut self.worked, true) || self.said) {
            info!("listening to the Manager: what happens there is known here at once");
            self.said = false;
        }
        self.failures = 0;
        let ear = Ear::new(manager.worker_id(), interest);
        let mut talk = Conversation::new(ear, &mut self.crowd, &self.source, &self.timings);
        talk.open(&handshake);
        let end = converse(&mut talk, &mut socket, &mut interests).await;
        if end.is_ours() {
            part(&mut talk, socket, manager, &self.timings).await;
        }
        end
    }

    /// How long to wait before the next connection.
    fn pause(&mut self, end: &End, manager: &HttpManager) -> Duration {
        match end {
            End::NotWanted => Duration::ZERO,
            End::Goodbye => GOODBYE + GOODBYE_SPREAD.mul_f64(random()),
            // A proxy whose Manager is away says so with a 5xx, too.
            End::Failed(error @ LineError::Refused(status)) if !self.worked || *status < 500 => {
                if std::mem::replace(&mut self.said, true) {
                    debug!(error = chain(error), "still no listening to the Manager");
                } else {
                    info!(
                        error = chain(error),
                        "cannot listen to the Manager, only ask it: something on the way does not let websockets through"
                    );
                }
                self.timings.push_refused.mul_f64(1.0 + random())
            }
            End::Failed(error) => {
                let pause = self.backoff.pause(random());
                debug!(error = chain(error), ?pause, "not listening to the Manager");
                // With the Manager away there is nothing to tell apart.
                self.failures += u32::from(manager.trouble().is_none());
                if self.failures == FAILURES && !std::mem::replace(&mut self.said, true) {
                    info!(
                        error = chain(error),
                        "cannot listen to the Manager, only ask it: a click there is noticed some seconds later; will retry"
                    );
                }
                pause
            }
        }
    }
}

impl End {
    /// Whether the other side would keep the connection.
    fn is_ours(&self) -> bool {
        match self {
            Self::NotWanted => true,
            Self::Goodbye => false,
            Self::Failed(error) => error.is_open(),
        }
    }
}

/// Says and hears until there is a reason to end it.
async fn converse(talk: &mut Conversation<'_>, socket: &mut Socket, interests: &mut Source) -> End {
    loop {
        if let Err(error) = say(talk, socket).await {
            return End::Failed(error);
        }
        // Also while it was opened: who we are may be about to change.
        if *talk.interest() == Interest::Nothing {
            return End::NotWanted;
        }
        let event = tokio::select! {
            biased;
            () = interests.interest_changed() => Event::Interest,
            () = sleep_until(talk.due()) => Event::Due,
            text = socket.next() => Event::Text(text),
        };
        match event {
            Event::Interest => talk.care_for(interests.interest()),
            Event::Due if talk.act().is_err() => return End::Failed(LineError::Silent),
            Event::Due => {}
            Event::Text(Ok(text)) => talk.hear(&text),
            Event::Text(Err(_)) if talk.was_told_goodbye() => return End::Goodbye,
            Event::Text(Err(error)) => return End::Failed(error),
        }
    }
}

/// Until the worker has not been interested for so long: whoever still opens a connection then drops it.
async fn not_wanted_for(mut source: Source, patience: Duration) {
    while source.interest() != Interest::Nothing {
        source.interest_changed().await;
    }
    sleep(patience).await;
}

/// Connects, hears the first packet, and goes again: could hints come? Each of both may take as long as `patience`.
///
/// # Errors
/// Why they could not.
pub async fn knock(manager: &HttpManager, timings: &Timings, patience: Duration) -> Result<(), LineError> {
    let (socket, _handshake) = opened(manager, patience).await?;
    hang_up(socket, manager, timings.push_quiet, timings).await;
    Ok(())
}

async fn opened(manager: &HttpManager, patience: Duration) -> Result<(Socket, Handshake), LineError> {
    let mut socket = Line::new(manager.url(), manager.reach()).open(patience).await?;
    let handshake = timeout(patience, first(&mut socket))
        .await
        .map_err(|_| LineError::TimedOut(patience))??;
    Ok((socket, handshake))
}

/// The first packet, which tells the Manager from anybody else.
async fn first(socket: &mut Socket) -> Result<Handshake, LineError> {
    match Packet::parse(&socket.next().await?) {
        Packet::Open(handshake) => Ok(handshake),
        Packet::Pong | Packet::Event { .. } | Packet::Acknowledged(_) | Packet::Other => Err(LineError::Stranger),
    }
}
