// SPDX-License-Identifier: GPL-3.0-or-later

//! The connections that are open. There are few, and the oldest has to go for a new one: whoever holds connections open keeps
//! nobody else from being answered, which takes a millisecond.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;

/// So many at a time: one scrape, some probes and a person, and room for as many again that hang.
const MOST: usize = 16;

type Exchange<'a> = Pin<Box<dyn Future<Output = ()> + 'a>>;

/// The connections that are open, oldest first.
#[derive(Default)]
pub(super) struct Connections<'a>(VecDeque<Exchange<'a>>);

impl<'a> Connections<'a> {
    /// One more, which is over when `exchange` is.
    pub(super) fn add(&mut self, exchange: impl Future<Output = ()> + 'a) {
        if self.0.len() == MOST {
            self.0.pop_front();
        }
        self.0.push_back(Box::pin(exchange));
    }

    /// Sees to all of them. Cancel safe.
    pub(super) async fn run(&mut self) -> Infallible {
        poll_fn(|context| {
            self.0
                .retain_mut(|exchange| exchange.as_mut().poll(context).is_pending());
            Poll::Pending
        })
        .await
    }
}

impl fmt::Debug for Connections<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Connections").field(&self.0.len()).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::future::{pending, ready};

    use futures_util::FutureExt;

    use super::*;

    #[test]
    fn the_oldest_goes_and_what_is_over_makes_room() {
        struct Open<'a>(&'a Cell<usize>, usize, &'a Cell<usize>);
        impl Drop for Open<'_> {
            fn drop(&mut self) {
                self.0.set(self.0.get() - 1);
                self.2.set(self.1);
            }
        }
        let (open, last_gone) = (Cell::new(0), Cell::new(usize::MAX));
        let mut connections = Connections::default();
        for number in 0..MOST + 3 {
            open.set(open.get() + 1);
            let one = Open(&open, number, &last_gone);
            connections.add(async move {
                let _one = one;
                pending().await
            });
        }
        assert_eq!((open.get(), last_gone.get()), (MOST, 2));
        connections.add(ready(()));
        assert!(connections.run().now_or_never().is_none());
        assert_eq!(connections.0.len(), MOST - 1);
    }
}
