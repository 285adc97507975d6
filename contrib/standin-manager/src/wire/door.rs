// SPDX-License-Identifier: GPL-3.0-or-later
//! The one-second rule: a fresh connection brings its whole request header in time or is closed without a word. On a
//! kept-alive connection the time starts with the first byte of the next request; between requests there is no limit.
//! (hyper's own header time-out also runs between requests, which the Manager's does not.)

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    time::{Instant, Sleep, sleep},
};

/// How far the request on a connection has come, as the service tells the door.
#[derive(Clone, Default)]
pub(crate) struct Progress(Arc<Told>);

#[derive(Default)]
struct Told {
    /// What arrives is body, not the next header.
    inside: AtomicBool,
    /// A header was complete since the door last looked: hyper need not read between that and the next request.
    header_done: AtomicBool,
}

impl Progress {
    pub(crate) fn header_is_complete(&self) {
        self.0.inside.store(true, Ordering::Relaxed);
        self.0.header_done.store(true, Ordering::Relaxed);
    }

    pub(crate) fn request_is_over(&self) {
        self.0.inside.store(false, Ordering::Relaxed);
    }
}

/// A connection that watches how long headers take.
pub(crate) struct Door {
    stream: TcpStream,
    progress: Progress,
    time: Duration,
    timer: Pin<Box<Sleep>>,
    /// A header is awaited and its time runs.
    running: bool,
}

impl Door {
    pub(crate) fn new(stream: TcpStream, time: Duration, progress: Progress) -> Self {
        Self {
            stream,
            progress,
            time,
            timer: Box::pin(sleep(time)),
            running: true,
        }
    }
}

impl AsyncRead for Door {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let door = self.get_mut();
        if door.progress.0.header_done.swap(false, Ordering::Relaxed) {
            door.running = false;
        }
        if door.running && door.timer.as_mut().poll_elapsed(cx) {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        let before = buf.filled().len();
        ready!(Pin::new(&mut door.stream).poll_read(cx, buf))?;
        let arrived = buf.filled().len() > before;
        if arrived && !door.running && !door.progress.0.inside.load(Ordering::Relaxed) {
            door.running = true;
            door.timer.as_mut().reset(Instant::now() + door.time);
        }
        Poll::Ready(Ok(()))
    }
}

trait PollElapsed {
    fn poll_elapsed(self, cx: &mut Context<'_>) -> bool;
}

impl PollElapsed for Pin<&mut Sleep> {
    fn poll_elapsed(self, cx: &mut Context<'_>) -> bool {
        std::future::Future::poll(self, cx).is_ready()
    }
}

impl AsyncWrite for Door {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}
