// SPDX-License-Identifier: GPL-3.0-or-later

//! Keeps a connection while the worker is interested, and says little about it: asking alone is always enough.

use std::convert::Infallible;
use std::time::Duration;

use tokio::time::{Instant, sleep, sleep_until, timeout};
use tracing::{debug, info};

use super::conversation::Conversation;
use super::crowd::Crowd;
use super::line::{LineError, Socket};
use super::{Ear, Interest, Packet, Source};
use crate::manager::{Backoff, HttpManager, chain, random};
use crate::protocol::Handshake;
use crate::timings::Timings;

/// After the Manager's goodbye: time to go down and come up again, plus as much as this at random.
const GOODBYE: Duration = Duration::from_secs(2);
const GOODBYE_SPREAD: Duration = Duration::from_secs(3);

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
            let end = self.listen(manager).await;
            self.source.set_listening(false);
            if began.elapsed() >= self.timings.backoff_max {
                self.backoff = Backoff::new(self.timings.backoff_min, self.timings.backoff_max);
            }
            sleep(self.pause(&end)).await;
        }
    }

    /// One connection, from the first packet of TCP to its end.
    async fn listen(&mut self, manager: &HttpManager) -> End {
        let patience = self.timings.push_answer;
        let (mut socket, handshake) = match opened(manager, patience).await {
            Ok(opened) => opened,
            Err(error) => return End::Failed(error),
        };
        let mut interests = self.source.clone();
        let interest = interests.interest();
        if interest == Interest::Nothing {
            // While it was opened; who we are may be about to change.
            return End::NotWanted;
        }
        if !std::mem::replace(&mut self.worked, true) || self.said {
            info!("listening to the Manager: what happens there is known here at once");
            self.said = false;
        }
        let ear = Ear::new(manager.worker_id(), interest);
        let mut talk = Conversation::new(ear, &mut self.crowd, &self.source, &self.timings);
        talk.open(&handshake);
        loop {
            for saying in talk.take_sayings() {
                if let Err(error) = socket.say(saying.to_string()).await {
                    return End::Failed(error);
                }
            }
            let event = tokio::select! {
                biased;
                () = interests.interest_changed() => Event::Interest,
                () = sleep_until(talk.due()) => Event::Due,
                text = socket.next() => Event::Text(text),
            };
            match event {
                Event::Interest if interests.interest() == Interest::Nothing => return End::NotWanted,
                Event::Interest => talk.care_for(interests.interest()),
                Event::Due if talk.act().is_err() => return End::Failed(LineError::Silent),
                Event::Due => {}
                Event::Text(Ok(text)) => talk.hear(&text),
                Event::Text(Err(_)) if talk.was_told_goodbye() => return End::Goodbye,
                Event::Text(Err(error)) => return End::Failed(error),
            }
        }
    }

    /// How long to wait before the next connection.
    fn pause(&mut self, end: &End) -> Duration {
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
                pause
            }
        }
    }
}

/// Connects, hears the first packet, and goes again without a word: could hints come? Each of both may take as long as
/// `patience`.
///
/// # Errors
/// Why they could not.
pub async fn knock(manager: &HttpManager, patience: Duration) -> Result<(), LineError> {
    opened(manager, patience).await.map(drop)
}

async fn opened(manager: &HttpManager, patience: Duration) -> Result<(Socket, Handshake), LineError> {
    let mut socket = manager.line().open(patience).await?;
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
