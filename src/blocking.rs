// SPDX-License-Identifier: GPL-3.0-or-later

//! Work that may block (files, above all: a file server that is gone does not answer), done beside the event loop.

use tokio::task::spawn_blocking;

/// Does `work` in a thread. `None` when `limit` is over before, or the work has panicked; what is late goes on by itself,
/// and the end of the process does not wait for it.
pub async fn off_the_loop<T: Send + 'static>(
    limit: impl Future<Output = ()>,
    work: impl FnOnce() -> T + Send + 'static,
) -> Option<T> {
    tokio::select! {
        biased;
        done = spawn_blocking(work) => done.ok(),
        () = limit => None,
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};
    use std::sync::mpsc::channel;

    use super::*;

    #[tokio::test]
    async fn i29_what_is_late_goes_on_by_itself_and_a_panic_stays_there() {
        assert_eq!(off_the_loop(pending(), || 1).await, Some(1));
        let (go, goes) = channel::<()>();
        let (tell, told) = channel();
        let late = off_the_loop(ready(()), move || {
            goes.recv().ok();
            tell.send(2).ok()
        });
        assert_eq!(late.await, None);
        go.send(()).unwrap();
        assert_eq!(told.recv(), Ok(2));
        assert_eq!(off_the_loop(pending(), || assert_eq!(1, 2)).await, None);
    }
}
