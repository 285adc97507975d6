// SPDX-License-Identifier: GPL-3.0-or-later
//! The thread with the sockets: accepts, serves every connection, checks time-outs, until it is told to stop. All
//! connections are tasks it owns, so stopping drops them all.

use std::{
    io,
    net::SocketAddr,
    sync::{Arc, OnceLock},
    thread::JoinHandle,
    time::Duration,
};

use http_body_util::BodyExt;
use hyper::{Request, Response, body::Incoming, server::conn::http1, service::service_fn, upgrade::OnUpgrade};
use hyper_util::rt::TokioIo;
use tokio::{
    net::{TcpListener, TcpStream, UdpSocket},
    sync::oneshot,
    task::{JoinSet, yield_now},
    time::{Instant, Interval, MissedTickBehavior, interval_at, sleep},
};

use super::{
    Asked,
    answer::{Answer, HungUp, Payload},
    door::{Door, Progress},
    route::Call,
    schema,
    worker::claimed_worker,
};
use crate::{
    faults::FaultKind,
    options::Options,
    push::{Ended, talk},
    seen::{Outcome, Seen, SeenBody},
    shared::Shared,
    ssdp,
};

/// The Manager looks at the farm's status so long after its start, and then at this pace.
const STATUS_FIRST: Duration = Duration::from_secs(1);
const STATUS_EVERY: Duration = Duration::from_secs(30);

/// So often a request lets others go first while clients of the Socket.IO are behind.
const TURNS: usize = 16;
/// 101: the connection is a websocket from here on.
const SWITCHING: u16 = 101;

/// A running server. Dropping it stops it at once and waits for its thread.
pub(crate) struct Server {
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Listens before it returns: a client can connect at once.
    pub(crate) fn start(
        shared: &Arc<Shared>,
        address: SocketAddr,
        options: &Options,
    ) -> io::Result<(Self, SocketAddr)> {
        let listener = std::net::TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (listener, searches) = {
            let _inside = runtime.enter();
            let searches = options.ssdp.as_ref().map(|options| {
                let socket = UdpSocket::from_std(ssdp::listen(options)?)?;
                Ok::<_, io::Error>((socket, options.urls.clone()))
            });
            (TcpListener::from_std(listener)?, searches.transpose()?)
        };
        let (stop, stopped) = oneshot::channel();
        let (shared, options) = (Arc::clone(shared), options.clone());
        let thread = std::thread::Builder::new().name("standin".to_owned()).spawn(move || {
            runtime.block_on(async {
                tokio::select! {
                    () = run(&shared, &listener, &options, stopped) => {}
                    never = ssdp::answer(searches) => match never {},
                }
            });
        })?;
        Ok((
            Self {
                stop: Some(stop),
                thread: Some(thread),
            },
            address,
        ))
    }
}

impl Server {
    /// In order: clients of the Socket.IO are told first.
    pub(crate) fn stop(mut self) {
        if let Some(stop) = self.stop.take() {
            // It may be over.
            stop.send(()).ok();
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // Its panic was printed.
            thread.join().ok();
        }
    }
}

async fn run(shared: &Arc<Shared>, listener: &TcpListener, options: &Options, mut stopped: oneshot::Receiver<()>) {
    let mut connections = JoinSet::new();
    let mut checks = paced(options.first_timeout_check, options.timeout_check);
    let mut looks = paced(STATUS_FIRST, STATUS_EVERY);
    shared.change(|inner| inner.push.restarted());
    // `task_timeout: 0` turns the whole check off, worker time-outs included.
    let checking = !options.task_timeout.is_zero();
    loop {
        tokio::select! {
            orderly = &mut stopped => return if orderly.is_ok() { farewell(shared, options.push.farewell).await },
            accepted = listener.accept() => welcome(shared, options, accepted, &mut connections),
            _ = checks.tick(), if checking => shared.change(|inner| inner.farm.check_timeouts()),
            _ = looks.tick() => shared.change(|inner| inner.push.recheck(&inner.farm)),
            Some(ended) = connections.join_next() => if matches!(ended, Ok(Ended::WithManager)) { return },
        }
    }
}

/// The connections are still served meanwhile.
async fn farewell(shared: &Shared, pause: Duration) {
    for _ in 0..2 {
        if shared.change(|inner| {
            inner.push.shutting_down();
            inner.push.is_empty()
        }) {
            return;
        }
        sleep(pause).await;
    }
}

fn paced(first: Duration, every: Duration) -> Interval {
    let mut ticks = interval_at(Instant::now() + first, every.max(Duration::from_millis(1)));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}

fn welcome(
    shared: &Arc<Shared>,
    options: &Options,
    accepted: io::Result<(TcpStream, SocketAddr)>,
    connections: &mut JoinSet<Ended>,
) {
    // An accept can fail when the client has left already, or for want of file descriptors: the next may succeed.
    let Ok((stream, peer)) = accepted else { return };
    // Not worth a failure.
    stream.set_nodelay(true).ok();
    let progress = Progress::default();
    let door = Door::new(stream, options.header_time, progress.clone());
    let (shared, idle) = (Arc::clone(shared), options.push.idle_time);
    let number = shared.change(|inner| {
        inner.next_connection += 1;
        inner.next_connection - 1
    });
    connections.spawn(async move {
        let connection = Connection {
            shared,
            peer,
            number,
            progress,
            upgrade: OnceLock::new(),
        };
        let service = service_fn(|request| connection.serve(request));
        http1::Builder::new()
            .title_case_headers(true)
            .serve_connection(TokioIo::new(door), service)
            .with_upgrades()
            .await
            .ok();
        connection.after_http(idle).await
    });
}

struct Connection {
    shared: Arc<Shared>,
    peer: SocketAddr,
    number: u64,
    progress: Progress,
    upgrade: OnceLock<OnUpgrade>,
}

/// A request without an answer yet. If it is dropped, so was the request.
struct Open<'a> {
    shared: &'a Shared,
    number: u64,
    progress: &'a Progress,
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.progress.request_is_over();
        self.shared.finish(self.number, Outcome::Dropped);
    }
}

impl Connection {
    async fn serve(&self, mut request: Request<Incoming>) -> Result<Response<Payload>, HungUp> {
        self.progress.header_is_complete();
        let upgrade = hyper::upgrade::on(&mut request);
        let call = Call::parse(request.method().as_str(), request.uri().path());
        let number = self.note(&request, &call);
        let open = Open {
            shared: &self.shared,
            number,
            progress: &self.progress,
        };
        let (head, body) = request.into_parts();
        let body = body.collect().await.map_err(|_| HungUp)?.to_bytes();
        self.let_clients_read().await;
        let fault = self.shared.change(|inner| {
            if let Some(seen) = inner.request(number) {
                seen.body = seen_body(&body);
            }
            inner.faults.take(call.endpoint())
        });
        let asked = Asked {
            headers: &head.headers,
            body: &body,
            peer: self.peer.ip(),
        };
        let (answer, cut) = self.answer(&call, &asked, fault).await?;
        let status = answer.status;
        if status == SWITCHING {
            // One per connection.
            self.upgrade.set(upgrade).ok();
        }
        open.shared.finish(
            number,
            if cut.is_some() {
                Outcome::Cut(status)
            } else {
                Outcome::Answered(status)
            },
        );
        Ok(answer.response(cut))
    }

    /// Bounded, since one of them may not read at all.
    async fn let_clients_read(&self) {
        for _ in 0..TURNS {
            if !self.shared.look(|inner| inner.push.is_behind()) {
                return;
            }
            yield_now().await;
        }
    }

    fn note(&self, request: &Request<Incoming>, call: &Call) -> u64 {
        let received = self.shared.since_start();
        let credentials = request
            .headers()
            .get("authorization")
            .and_then(|value| value.to_str().ok());
        let path = request
            .uri()
            .path_and_query()
            .map_or_else(|| request.uri().path(), |path| path.as_str());
        self.shared.change(|inner| {
            let number = inner.next_request;
            inner.next_request += 1;
            inner.note(Seen {
                number,
                connection: self.number,
                received,
                finished: None,
                method: request.method().to_string(),
                path: path.to_owned(),
                endpoint: call.endpoint(),
                worker: claimed_worker(credentials),
                task: call.task().map(str::to_owned),
                body: SeenBody::Empty,
                outcome: Outcome::Pending,
            });
            number
        })
    }

    /// What the connection is for once HTTP is done with it.
    async fn after_http(self, idle: Duration) -> Ended {
        let Some(upgrade) = self.upgrade.into_inner() else {
            return Ended::Alone;
        };
        // What comes from here on is no header, so no time is set for it.
        self.progress.header_is_complete();
        match upgrade.await {
            Ok(upgraded) => talk(&self.shared, upgraded, self.peer, idle).await,
            Err(_) => Ended::Alone,
        }
    }

    async fn handle(&self, call: &Call, asked: &Asked<'_>) -> Answer {
        let (answer, hangs) = self.shared.change(|inner| {
            let answer = super::answer(&mut inner.farm, call, asked);
            (answer, inner.hangs())
        });
        if hangs {
            std::future::pending::<()>().await;
        }
        answer
    }

    /// The answer, and after how many bytes of its body it is cut.
    async fn answer(
        &self,
        call: &Call,
        asked: &Asked<'_>,
        fault: Option<FaultKind>,
    ) -> Result<(Answer, Option<usize>), HungUp> {
        let Some(fault) = fault else {
            return Ok((self.handle(call, asked).await, None));
        };
        let answer = match fault {
            FaultKind::Status { code, headers, body } => made_up(code, headers, body),
            FaultKind::Nonsense { body, content_type } => Answer::typed(200, &content_type, body),
            FaultKind::StatusAfter(code) => {
                self.handle(call, asked).await;
                Answer::error(code, "injected after handling")
            }
            FaultKind::Rewritten(rewrite) => {
                let mut answer = self.handle(call, asked).await;
                answer.body = rewrite(String::from_utf8_lossy(&answer.body).into_owned()).into_bytes();
                answer
            }
            FaultKind::Hang => std::future::pending().await,
            FaultKind::HangAfter => {
                self.handle(call, asked).await;
                std::future::pending().await
            }
            FaultKind::Delay(time) => {
                sleep(time).await;
                self.handle(call, asked).await
            }
            FaultKind::DelayAnswer(time) => {
                let answer = self.handle(call, asked).await;
                sleep(time).await;
                answer
            }
            FaultKind::DropAnswer => {
                self.handle(call, asked).await;
                return Err(HungUp);
            }
            FaultKind::CloseBefore => return Err(HungUp),
            FaultKind::CutBody(after) => return Ok((self.handle(call, asked).await, Some(after))),
        };
        Ok((answer, None))
    }
}

fn made_up(code: u16, headers: Vec<(String, String)>, body: String) -> Answer {
    let typed = body.is_empty()
        || headers
            .iter()
            .any(|(name, _)| name.eq_ignore_ascii_case("content-type"));
    let mut answer = if typed {
        Answer::empty(code)
    } else {
        Answer::typed(code, "application/json", Vec::new())
    };
    answer.headers.extend(headers);
    answer.body = body.into_bytes();
    answer
}

fn seen_body(body: &[u8]) -> SeenBody {
    if body.is_empty() {
        return SeenBody::Empty;
    }
    match schema::parse(body) {
        Ok(value) => SeenBody::Json(value),
        Err(_) => SeenBody::Bytes(body.len()),
    }
}
