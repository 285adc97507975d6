// SPDX-License-Identifier: GPL-3.0-or-later

//! A reload: this process becomes the program at its path, which reads the configuration anew, and the render goes on.
//!
//! ```text
//! SIGHUP, `reload` ─► is there a successor that can take over? ─no─► said; nothing has changed
//!                                        └─yes─► hints given up ─► the worker hands over ─► exec
//! ```
//!
//! Nothing is changed in place, so there is no table of what may be. Who asks while this is under way gets the same answer:
//! the successor reads what is there then.

use std::cell::{Cell, RefCell};
use std::convert::Infallible;
use std::future::pending;
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream as StdUnixStream;
use std::rc::Rc;
use std::time::Duration;

use tokio::net::UnixStream;
use tokio::sync::Notify;
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};
use tracing::{debug, error, info};

use super::home_socket::HomeSocket;
use super::process::Process;
use super::successor;
use crate::chain::chain;
use crate::cli::VERSION;
use crate::handover::HandedFd;
use crate::home::Home;
use crate::manager::push::{HintStopper, longest_close};
use crate::process::Launcher;
use crate::signals::Order;
use crate::worker::{State, Status};

/// What cannot be handed over is waited for, and may take hours. To systemd that is no reload for longer than this: its
/// `systemctl reload` would wait as long, and with it an upgrade of the package.
const LONGEST_RELOAD: Duration = Duration::from_secs(5);

/// A worker that can hand over begins to within this time: it has nothing to wait for.
const SOON: Duration = Duration::from_millis(100);

/// So often the Manager is asked about the task while hints are given up. That takes two quiet moments of 50 ms and some
/// milliseconds, and the exec 20 more: with one question in the middle, nothing is heard later than this plus its answer.
const UNHEARD: Duration = Duration::from_millis(60);

/// For so long an answer of the successor holds. A reload takes a fifth of that unless something is waited for.
const LONGEST_ANSWER: Duration = Duration::from_secs(1);

/// So many may wait for an answer; others are sent away.
const MOST_ASKERS: usize = 64;

/// What those are told who wait.
const AGREED: &[u8] = b"agreed\n";

/// What a reload needs.
#[derive(Debug)]
pub(super) struct Reload<'a> {
    pub(super) process: &'a Process<'a>,
    pub(super) home: &'a Home,
    pub(super) launcher: Launcher,
    pub(super) hints: HintStopper,
    /// The worker.
    pub(super) tell: UnboundedSender<Order>,
    /// What it does.
    pub(super) status: watch::Receiver<Status>,
    pub(super) askers: Askers,
}

/// Who waits to hear what became of a reload. Clones are the same.
#[derive(Debug, Clone, Default)]
pub(super) struct Askers {
    waiting: Rc<RefCell<Vec<StdUnixStream>>>,
    /// Since when it is to be done: who asks after that is told at once.
    agreed: Rc<Cell<Option<Instant>>>,
}

impl Reload<'_> {
    /// Sees to it each time that it is `wished`, or asked for at the socket.
    pub(super) async fn serve(self, wished: &Notify) -> Infallible {
        let asked = Notify::new();
        let (home, askers) = (self.home, self.askers.clone());
        let listening = listen(home, &askers, &asked);
        let reloading = async {
            loop {
                tokio::select! {
                    () = wished.notified() => {}
                    () = asked.notified() => {}
                }
                self.reload().await;
            }
        };
        tokio::select! {
            never = reloading => never,
            never = listening => never,
        }
    }

    /// Returns where nothing came of it. Else this is dropped.
    async fn reload(&self) {
        self.process.systemd.reloading();
        let asked = successor::ask(self.process, self.home, &self.launcher).await;
        if let Err(why) = asked {
            error!("no reload, everything stays as it was: {why}");
            self.askers.answer(Some(&why));
            return self.process.systemd.ready();
        }
        info!("reloading: {} takes over", self.process.program.display());
        self.askers.say_agreed();
        tokio::select! {
            never = ask_about_task(&self.hints, &self.status) => match never {},
            () = self.tell_worker() => {}
        }
        // What cannot be handed over may take long. The worker gives up the hints itself, then.
        if !matches!(self.status.borrow().state(), State::HandingOver(_)) {
            self.hints.listen_again();
        }
        sleep(LONGEST_RELOAD).await;
        self.process.systemd.ready();
        pending().await
    }

    /// Has the worker hand over, and gives it the time that it takes. Hints are given up before, while all goes on: it finds
    /// nothing left to wait for.
    async fn tell_worker(&self) {
        let limit = longest_close(&self.process.config.timings);
        timeout(limit, self.hints.stop_listening()).await.ok();
        // It listens as long as this runs.
        self.tell.send(Order::HandOver).ok();
        sleep(SOON).await;
    }
}

/// Has the worker ask now and then whether its task may go on, as no hint would tell it that it may not. One without a task
/// would fetch instead, which is broadcast, and that is not to meet a connection on its way out: see `push::closing`.
async fn ask_about_task(hints: &HintStopper, status: &watch::Receiver<Status>) -> Infallible {
    loop {
        sleep(UNHEARD).await;
        if status.borrow().task().is_some() {
            hints.ask_now();
        }
    }
}

async fn listen(home: &Home, askers: &Askers, asked: &Notify) -> Infallible {
    let bound = home.listen_for_reload().await;
    let socket = HomeSocket::open(home, bound, "only SIGHUP reloads this worker").await;
    loop {
        match askers.add(socket.accept().await) {
            Ok(()) => asked.notify_one(),
            Err(error) => debug!(error = chain(&error), "somebody has asked for a reload, and has gone"),
        }
    }
}

impl Askers {
    fn add(&self, stream: UnixStream) -> io::Result<()> {
        let mut stream = stream.into_std()?;
        if self.agreed.get().is_some() {
            stream.write_all(AGREED)?;
        }
        let mut all = self.waiting.borrow_mut();
        if all.len() < MOST_ASKERS {
            all.push(stream);
        }
        Ok(())
    }

    /// Tells all who wait, and who come later, that it will be done.
    fn say_agreed(&self) {
        self.agreed.set(Some(Instant::now()));
        for mut asker in self.waiting.borrow().iter() {
            asker.write_all(AGREED).ok();
        }
    }

    /// Whether so much time has gone by that the successor has to be asked another time: it may have been replaced, and so
    /// may its configuration.
    pub(super) fn agreed_long_ago(&self) -> bool {
        self.agreed
            .get()
            .is_some_and(|agreed| agreed.elapsed() > LONGEST_ANSWER)
    }

    /// Tells all who wait that the reload is done, or why it is not.
    pub(super) fn answer(&self, refused: Option<&str>) {
        let said = match refused {
            Some(why) => format!("no {why}\n"),
            None => format!("yes {VERSION}\n"),
        };
        for mut asker in self.waiting.take() {
            // It does not wait, and one who has gone already is nobody's trouble.
            asker.write_all(said.as_bytes()).ok();
        }
    }

    /// Those who wait, as they travel.
    pub(super) fn hand_over(&self) -> Vec<HandedFd> {
        self.waiting
            .take()
            .into_iter()
            .map(|asker| OwnedFd::from(asker).into())
            .collect()
    }

    /// Those who have waited for what this process was before.
    pub(super) fn take_over(handed: Vec<HandedFd>) -> Self {
        let askers = handed.into_iter().filter_map(|asker| asker.into_owned().ok());
        Self {
            waiting: Rc::new(RefCell::new(askers.map(StdUnixStream::from).collect())),
            agreed: Rc::default(),
        }
    }
}
