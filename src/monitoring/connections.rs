// SPDX-License-Identifier: GPL-3.0-or-later

//! The connections that are open. There are few, and the oldest has to go for a new one: whoever holds connections open keeps
//! nobody else from being answered, which takes a millisecond. In that millisecond the event loop does nothing else, so each of
//! its turns has one answer.

use std::cell::Cell;
use std::collections::VecDeque;
use std::convert::Infallible;
use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;

/// So many at a time: one scrape, some probes and a person, and room for as many again that hang.
const MOST: usize = 16;

type Exchange<'a> = Pin<Box<dyn Future<Output = ()> + 'a>>;

/// Whether an answer was made in this turn of the event loop.
#[derive(Debug, Default)]
pub(super) struct Turn(Cell<bool>);

/// The connections that are open, oldest first.
pub(super) struct Connections<'a> {
    open: VecDeque<Exchange<'a>>,
    turn: &'a Turn,
}

impl Turn {
    /// Waits for a turn in which no answer was made yet, and has that of this turn. Cancel safe.
    pub(super) async fn take(&self) {
        poll_fn(|context| match self.0.replace(true) {
            false => Poll::Ready(()),
            true => {
                context.waker().wake_by_ref();
                Poll::Pending
            }
        })
        .await;
    }
}

impl<'a> Connections<'a> {
    /// None yet. Those that come take their turns at `turn`.
    pub(super) fn new(turn: &'a Turn) -> Self {
        Self {
            open: VecDeque::new(),
            turn,
        }
    }

    /// One more, which is over when `exchange` is.
    pub(super) fn add(&mut self, exchange: impl Future<Output = ()> + 'a) {
        if self.open.len() == MOST {
            self.open.pop_front();
        }
        self.open.push_back(Box::pin(exchange));
    }

    /// Sees to all of them. Cancel safe.
    pub(super) async fn run(&mut self) -> Infallible {
        poll_fn(|context| {
            self.turn.0.set(false);
            self.open
                .retain_mut(|exchange| exchange.as_mut().poll(context).is_pending());
            Poll::Pending
        })
        .await
    }
}

impl fmt::Debug for Connections<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Connections").field(&self.open.len()).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use futures_util::FutureExt;
    use tokio::io::{AsyncWriteExt, duplex};

    use super::super::HttpAnswer;
    use super::super::exchange::exchange;
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
        let turn = Turn::default();
        let mut connections = Connections::new(&turn);
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
        assert_eq!(connections.open.len(), MOST - 1);
    }

    #[tokio::test]
    async fn j20_each_turn_of_the_event_loop_has_one_answer_however_many_ask() {
        let (turn, answered) = (Turn::default(), Cell::new(0));
        let mut connections = Connections::new(&turn);
        let mut clients = Vec::new();
        for _ in 0..MOST {
            let (mut client, server) = duplex(1024);
            client.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
            clients.push(client);
            connections.add(exchange(server, &turn, |_| {
                answered.set(answered.get() + 1);
                HttpAnswer::text("200 OK", "")
            }));
        }
        for number in 1..=MOST {
            assert!(connections.run().now_or_never().is_none());
            assert_eq!(answered.get(), number);
        }
    }
}
