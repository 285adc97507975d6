// SPDX-License-Identifier: GPL-3.0-or-later

//! Who has the Blender that is kept while no task has it, and sees it go when it was idle for long.
//!
//! ```text
//! render ── take (for this key) ──► Keeper ── it, if it is for that; any other ends
//!        ── keep ─────────────────►         ── idle for long, or the worker takes no task: it ends
//! ```

use std::convert::Infallible;
use std::future::pending;
use std::time::Duration;

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::oneshot;

use super::kept_blender::KeptBlender;
use super::key::Key;
use super::status::StatusBoard;
use crate::abort::{Abort, AbortReason};
use crate::process::Launcher;

/// Keeps it. Poll [`run`](Self::run) beside everything else.
#[derive(Debug)]
pub(crate) struct Keeper {
    messages: UnboundedReceiver<Message>,
    /// It may be without work for so long.
    idle: Duration,
    launcher: Launcher,
    board: StatusBoard,
}

/// What is asked of the keeper. Clones lead to the same one.
#[derive(Debug, Clone)]
pub(super) struct KeeperLink(UnboundedSender<Message>);

#[derive(Debug)]
enum Message {
    Take(Box<Key>, oneshot::Sender<KeptBlender>),
    Keep(Box<KeptBlender>),
    /// And tell when it is gone.
    LetGo(Unless, oneshot::Sender<()>),
}

/// The job whose Blender stays all the same, if any.
type Unless = Option<String>;

impl Keeper {
    pub(super) fn new(idle: Duration, launcher: Launcher, board: StatusBoard) -> (KeeperLink, Self) {
        let (link, messages) = unbounded_channel();
        let keeper = Self {
            messages,
            idle,
            launcher,
            board,
        };
        (KeeperLink(link), keeper)
    }

    /// Keeps it as long as this is polled.
    pub(crate) async fn run(mut self) -> Infallible {
        let mut kept: Option<KeptBlender> = None;
        loop {
            self.board.set_kept(kept.as_ref().map(KeptBlender::status));
            let message = match &mut kept {
                None => self.messages.recv().await,
                Some(blender) => tokio::select! {
                    biased;
                    message = self.messages.recv() => message,
                    () = blender.idle(self.idle) => Some(Message::LetGo(None, oneshot::channel().0)),
                },
            };
            let Some(message) = message else { return pending().await };
            kept = self.handle(message, kept).await;
        }
    }

    /// Does what is asked, and returns what is kept from now on.
    async fn handle(&self, message: Message, kept: Option<KeptBlender>) -> Option<KeptBlender> {
        match (message, kept) {
            (Message::Take(key, reply), Some(blender)) if blender.key == *key => {
                // A task that was stopped meanwhile does not wait for it any more, and then it ends.
                self.end(reply.send(blender).err()).await;
            }
            (Message::Keep(blender), before) => {
                self.end(before).await;
                return Some(*blender);
            }
            // What waits for the reply gets none, once the memory is free.
            (Message::Take(..), before) => self.end(before).await,
            (Message::LetGo(Some(job), _), Some(blender)) if blender.key.job == job => return Some(blender),
            (Message::LetGo(_, gone), before) => {
                self.end(before).await;
                gone.send(()).ok();
            }
        }
        None
    }

    async fn end(&self, blender: Option<KeptBlender>) {
        if let Some(blender) = blender {
            blender.end(&self.launcher).await;
        }
    }
}

impl KeeperLink {
    /// The Blender that is kept, if it is for this key. Any other has ended when this returns. `Err`: the task was stopped
    /// before; what is kept goes then.
    pub(super) async fn take(&self, key: &Key, abort: &mut Abort) -> Result<Option<KeptBlender>, AbortReason> {
        let (reply, mut taken) = oneshot::channel();
        self.0.send(Message::Take(Box::new(key.clone()), reply)).ok();
        let reason = tokio::select! {
            biased;
            reason = abort.raised() => reason,
            taken = &mut taken => return Ok(taken.ok()),
        };
        taken.close();
        if let Ok(blender) = taken.try_recv() {
            self.keep(blender);
        }
        Err(reason)
    }

    pub(super) fn keep(&self, blender: KeptBlender) {
        // Without a keeper it is dropped, and ends.
        self.0.send(Message::Keep(Box::new(blender))).ok();
    }

    /// What it has ends, unless it is for that job. What is returned is over when that is so.
    pub(super) fn let_go(&self, unless: Unless) -> impl Future<Output = ()> + use<> {
        let (gone, is_gone) = oneshot::channel();
        self.0.send(Message::LetGo(unless, gone)).ok();
        async { drop(is_gone.await) }
    }

    /// Has this one end, and waits for that unless the task is stopped.
    pub(super) async fn see_off(&self, blender: KeptBlender, abort: &mut Abort) {
        self.keep(blender);
        tokio::select! {
            _reason = abort.raised() => {}
            () = self.let_go(None) => {}
        }
    }
}
