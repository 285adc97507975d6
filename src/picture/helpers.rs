// SPDX-License-Identifier: GPL-3.0-or-later

//! Threads that decompress blocks beside the one that reads and paints.

use std::io;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{Builder, available_parallelism};

/// More are of little use: what reads and paints is one.
const MOST: usize = 4;

/// Bytes. Decompression keeps its tables elsewhere.
const STACK: usize = 512 << 10;

type Job = Box<dyn FnOnce() + Send>;

/// The threads. They end with this, or with the process.
#[derive(Debug)]
pub struct Helpers {
    jobs: Sender<Job>,
    count: usize,
}

/// What a thread is at.
#[derive(Debug)]
pub(super) struct Work<T>(Receiver<T>);

impl Helpers {
    /// None: whoever gives work does it.
    pub fn none() -> Self {
        Self {
            jobs: channel().0,
            count: 0,
        }
    }

    /// Starts one for each processor, or as many as there can be. Each calls `begin` before all else, and all have when this
    /// returns.
    ///
    /// # Errors
    /// What `begin` says.
    pub fn start(begin: fn() -> io::Result<()>) -> io::Result<Self> {
        let (jobs, todo) = channel::<Job>();
        let todo = Arc::new(Mutex::new(todo));
        let (tell, told) = channel();
        let processors = available_parallelism().map_or(1, usize::from);
        let started = (0..processors.min(MOST)).map_while(|_| {
            let (todo, tell) = (Arc::clone(&todo), tell.clone());
            let help = move || {
                tell.send(begin()).ok();
                help(&todo);
            };
            Builder::new().stack_size(STACK).spawn(help).ok()
        });
        let count = started.count();
        told.iter().take(count).collect::<io::Result<()>>()?;
        Ok(Self { jobs, count })
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.count
    }

    /// Has one of them do this.
    pub(super) fn give<T: Send + 'static>(&self, job: impl FnOnce() -> T + Send + 'static) -> Work<T> {
        let (tell, told) = channel();
        let job = move || {
            // It may not be waited for any more.
            tell.send(job()).ok();
        };
        match self.count {
            0 => job(),
            // None of them ends before this.
            _ => self.jobs.send(Box::new(job)).unwrap_or_default(),
        }
        Work(told)
    }
}

fn help(todo: &Mutex<Receiver<Job>>) {
    loop {
        let job = todo.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(job) = job else { return };
        job();
    }
}

impl<T> Work<T> {
    /// Waits for what comes of it: `None` if the thread has panicked.
    pub(super) fn wait(self) -> Option<T> {
        self.0.recv().ok()
    }
}
