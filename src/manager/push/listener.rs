// SPDX-License-Identifier: GPL-3.0-or-later

//! Keeps a connection open while the worker wants hints. It logs little, because the worker also works without hints, by
//! asking alone.

use std::convert::Infallible;
use std::mem::replace;
use std::time::Duration;

use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_tungstenite::tungstenite::Utf8Bytes;
use tracing::{debug, info};

use super::closing::{close_when_quiet, leave_and_close, send_packets};
use super::connection::{Connection, Endpoint, PushError};
use super::connection_state::ConnectionState;
use super::farm_load::FarmLoad;
use super::{EventFilter, HintSender, Interest, Link, ServerPacket};
use crate::chain::chain;
use crate::manager::{Backoff, HttpManager};
use crate::metrics::Metrics;
use crate::protocol::Handshake;
use crate::random::random;
use crate::timings::Timings;

/// The pause after the Manager has announced its end: the time to go down and come up again.
const SHUTDOWN_PAUSE: Duration = Duration::from_secs(2);
/// Up to this much is added to that pause at random.
const SHUTDOWN_SPREAD: Duration = Duration::from_secs(3);

/// So many failures in a row are logged, if the Manager answers other calls meanwhile. One or two are a restart of it.
const REPORTED_FAILURES: u32 = 3;

/// Brings the Manager's hints to the worker.
#[derive(Debug)]
pub(crate) struct PushListener {
    hints: HintSender,
    metrics: Metrics,
    timings: Timings,
    farm: FarmLoad,
    backoff: Backoff,
    /// A connection worked once: this Manager can be listened to from here.
    has_worked: bool,
    /// The log says that listening does not work.
    is_reported: bool,
    /// How many connections in a row failed although the Manager answered other calls.
    failures: u32,
}

/// How a connection ended.
#[derive(Debug)]
enum ConnectionEnd {
    /// The worker wants no more hints.
    NotWanted,
    /// The Manager closed it after it had announced its end.
    ManagerStopped,
    Failed(PushError),
}

/// What happens on a connection.
enum ConnectionEvent {
    InterestChanged,
    Timeout,
    Text(Result<Utf8Bytes, PushError>),
}

impl PushListener {
    /// A listener that sends its hints to `hints`.
    pub(crate) fn new(hints: HintSender, metrics: Metrics, timings: &Timings) -> Self {
        Self {
            hints,
            metrics,
            timings: timings.clone(),
            farm: FarmLoad::new(Instant::now()),
            backoff: Backoff::new(timings.backoff_min, timings.backoff_max),
            has_worked: false,
            is_reported: false,
            failures: 0,
        }
    }

    /// Listens whenever the worker wants hints. No failure here keeps the worker from its work.
    pub(crate) async fn run(mut self, manager: &HttpManager) -> Infallible {
        loop {
            if self.hints.interest() == Interest::Nothing {
                self.hints.interest_changed().await;
                continue;
            }
            let began = Instant::now();
            self.hints.set_link(Link::Connected);
            let end = self.listen(manager).await;
            self.metrics.push_connected(false);
            self.hints.set_link(Link::Down);
            if began.elapsed() >= self.timings.backoff_max {
                self.backoff = Backoff::new(self.timings.backoff_min, self.timings.backoff_max);
            }
            sleep(self.pause(&end, manager)).await;
        }
    }

    /// Makes one connection and uses it until nothing is left of it.
    async fn listen(&mut self, manager: &HttpManager) -> ConnectionEnd {
        let opening = open(manager, self.timings.push_answer);
        let (mut connection, handshake) = tokio::select! {
            opened = opening => match opened {
                Ok(opened) => opened,
                Err(error) => return ConnectionEnd::Failed(error),
            },
            () = unwanted_for(self.hints.clone(), self.timings.push_leave) => return ConnectionEnd::NotWanted,
        };
        let mut interests = self.hints.clone();
        let interest = interests.interest();
        if interest != Interest::Nothing && (!replace(&mut self.has_worked, true) || self.is_reported) {
            info!("listening to the Manager: what happens there is known here at once");
            self.is_reported = false;
        }
        self.failures = 0;
        self.metrics.push_connected(true);
        let filter = EventFilter::new(manager.worker_id(), interest);
        let mut state = ConnectionState::new(filter, &mut self.farm, &self.hints, &self.timings);
        state.open(&handshake);
        let end = use_connection(&mut state, &mut connection, &mut interests).await;
        if end.is_still_open() {
            leave_and_close(&mut state, connection, manager, &self.timings).await;
        }
        end
    }

    /// How long to wait before the next connection.
    fn pause(&mut self, end: &ConnectionEnd, manager: &HttpManager) -> Duration {
        match end {
            ConnectionEnd::NotWanted => Duration::ZERO,
            ConnectionEnd::ManagerStopped => SHUTDOWN_PAUSE + SHUTDOWN_SPREAD.mul_f64(random()),
            // A proxy whose Manager is away answers with a 5xx too.
            ConnectionEnd::Failed(error @ PushError::Refused(status)) if !self.has_worked || *status < 500 => {
                if replace(&mut self.is_reported, true) {
                    debug!(error = chain(error), "still no listening to the Manager");
                } else {
                    info!(
                        error = chain(error),
                        "cannot listen to the Manager, only ask it: something on the way does not let websockets through"
                    );
                }
                self.timings.push_refused.mul_f64(1.0 + random())
            }
            ConnectionEnd::Failed(error) => {
                let pause = self.backoff.pause(random());
                debug!(error = chain(error), ?pause, "not listening to the Manager");
                // With the Manager away, a failure says nothing about listening.
                self.failures += u32::from(manager.last_error().is_none());
                if self.failures == REPORTED_FAILURES && !replace(&mut self.is_reported, true) {
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

impl ConnectionEnd {
    /// Whether the other side has not closed the connection.
    fn is_still_open(&self) -> bool {
        match self {
            Self::NotWanted => true,
            Self::ManagerStopped => false,
            Self::Failed(error) => error.is_open(),
        }
    }
}

/// Sends and receives until there is a reason to end the connection.
async fn use_connection(
    state: &mut ConnectionState<'_>,
    connection: &mut Connection,
    interests: &mut HintSender,
) -> ConnectionEnd {
    loop {
        if let Err(error) = send_packets(state, connection).await {
            return ConnectionEnd::Failed(error);
        }
        // The interest may have gone also while the connection was opened: the worker's id may be about to change.
        if *state.interest() == Interest::Nothing {
            return ConnectionEnd::NotWanted;
        }
        let event = tokio::select! {
            biased;
            () = interests.interest_changed() => ConnectionEvent::InterestChanged,
            () = sleep_until(state.next_timeout()) => ConnectionEvent::Timeout,
            text = connection.next() => ConnectionEvent::Text(text),
        };
        match event {
            ConnectionEvent::InterestChanged => state.set_interest(interests.interest()),
            ConnectionEvent::Timeout if state.handle_timeout().is_err() => {
                return ConnectionEnd::Failed(PushError::Silent);
            }
            ConnectionEvent::Timeout => {}
            ConnectionEvent::Text(Ok(text)) => state.receive(&text),
            ConnectionEvent::Text(Err(_)) if state.manager_stops() => return ConnectionEnd::ManagerStopped,
            ConnectionEvent::Text(Err(error)) => return ConnectionEnd::Failed(error),
        }
    }
}

/// Waits until the worker has wanted no hints for `limit`. A connection that is still being opened then is dropped.
async fn unwanted_for(mut hints: HintSender, limit: Duration) {
    while hints.interest() != Interest::Nothing {
        hints.interest_changed().await;
    }
    sleep(limit).await;
}

/// Finds out whether hints could come: connects, receives the first packet, and closes. Connecting and receiving may each
/// take `limit`.
///
/// # Errors
/// Returns why no hints could come.
pub(crate) async fn test_connection(
    manager: &HttpManager,
    timings: &Timings,
    limit: Duration,
) -> Result<(), PushError> {
    let (connection, _handshake) = open(manager, limit).await?;
    close_when_quiet(connection, manager, timings.push_quiet, timings).await;
    Ok(())
}

async fn open(manager: &HttpManager, limit: Duration) -> Result<(Connection, Handshake), PushError> {
    let (url, options) = manager.place().ok_or(PushError::NotFound)?;
    let endpoint = Endpoint::new(url, options);
    let mut connection = endpoint.open(limit).await?;
    let handshake = timeout(limit, read_handshake(&mut connection))
        .await
        .map_err(|_| PushError::TimedOut(limit))??;
    Ok((connection, handshake))
}

/// Reads the first packet, which tells the Manager from any other server.
async fn read_handshake(connection: &mut Connection) -> Result<Handshake, PushError> {
    match ServerPacket::parse(&connection.next().await?) {
        ServerPacket::Open(handshake) => Ok(handshake),
        ServerPacket::Pong | ServerPacket::Event { .. } | ServerPacket::Acknowledged(_) | ServerPacket::Other => {
            Err(PushError::Stranger)
        }
    }
}
