// SPDX-License-Identifier: GPL-3.0-or-later

//! Work that may block, done beside the event loop. Work with files is the most of it: a file server that is gone does
//! not answer.

use std::future::pending;

use tokio::task::{JoinHandle, spawn_blocking};

/// Does `work` in a thread and waits for it.
pub(crate) async fn run_blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match spawn_blocking(work).await {
        Ok(done) => done,
        // The runtime ends, and this task with it.
        Err(_) => pending().await,
    }
}

/// Does `work` in a thread, and waits for it until `limit` is over. Returns `None` when that was too short. Late work goes on by
/// itself, and the end of the process does not wait for it.
pub(crate) async fn run_blocking_within<T: Send + 'static>(
    limit: impl Future<Output = ()>,
    work: impl FnOnce() -> T + Send + 'static,
) -> Option<T> {
    tokio::select! {
        biased;
        done = run_blocking(work) => Some(done),
        () = limit => None,
    }
}

/// Work that is tried again and again. What was late is waited for before it is done anew, so that it has one thread, however
/// long a file system hangs.
#[derive(Debug)]
pub(crate) struct RepeatedWork<T>(Option<JoinHandle<T>>);

impl<T: Send + 'static> RepeatedWork<T> {
    /// Not begun yet.
    pub(crate) fn new() -> Self {
        Self(None)
    }

    /// As [`run_blocking_within`], unless earlier work is late: then what comes of that is what comes of this. Cancel safe.
    pub(crate) async fn run_within(
        &mut self,
        limit: impl Future<Output = ()>,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Option<T> {
        let running = self.0.get_or_insert_with(|| spawn_blocking(work));
        let done = tokio::select! {
            biased;
            done = running => done.ok(),
            () = limit => return None,
        };
        self.0 = None;
        done
    }
}

#[cfg(test)]
mod tests {
    use std::future::ready;
    use std::sync::mpsc::channel;

    use super::*;

    #[tokio::test]
    async fn i29_what_is_late_goes_on_by_itself() {
        assert_eq!(run_blocking_within(pending(), || 1).await, Some(1));
        let (go, goes) = channel::<()>();
        let (tell, told) = channel();
        let late = run_blocking_within(ready(()), move || {
            goes.recv().ok();
            tell.send(2).ok()
        });
        assert_eq!(late.await, None);
        go.send(()).unwrap();
        assert_eq!(told.recv(), Ok(2));
    }

    #[tokio::test]
    async fn j21_what_is_late_is_waited_for_and_not_begun_again() {
        let mut work = RepeatedWork::new();
        let (go, goes) = channel::<()>();
        let late = work.run_within(ready(()), move || {
            goes.recv().ok();
            1
        });
        assert_eq!(late.await, None);
        assert_eq!(work.run_within(ready(()), || 2).await, None);
        go.send(()).unwrap();
        assert_eq!(work.run_within(pending(), || 3).await, Some(1));
        assert_eq!(work.run_within(pending(), || 4).await, Some(4));
    }

    #[tokio::test]
    async fn what_is_waited_for_without_a_limit_is_all_of_it() {
        assert_eq!(run_blocking(|| 1).await, 1);
    }
}
