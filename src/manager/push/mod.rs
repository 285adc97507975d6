// SPDX-License-Identifier: GPL-3.0-or-later

//! The Manager's hints: what it broadcasts over its Socket.IO (Engine.IO 3, Socket.IO 2, websocket only), so that a click is
//! an act at once. They are hints, never facts: unordered, lossy, of anybody who answers there. All they bring about is
//! that a question which would have been asked anyway is asked now.
//!
//! ```text
//! worker ── Interest ──► Source ──► Listener ──► Line ──► websocket
//!   ▲                      ▲           └─► Conversation: Packet ─► Ear ─► hint, Rooms ─► subscriptions, Crowd ─► waits
//!   └─ Hints (a level) ────┘◄──────────────────────┘
//! ```
//!
//! A hint is a level, not a queue: however many come, "ask at this instant" is all that is kept.
//!
//! Two things would harm the whole farm. A packet that starts with `43`, of which four bytes end the Manager: all that is
//! said is a [`Saying`](rooms::Saying), and none of those is one. And a connection that is closed in a room: see
//! [`parting`].

mod conversation;
mod crowd;
mod ear;
mod hints;
mod line;
mod listener;
mod packet;
mod parting;
mod rooms;
mod steps;

pub use ear::{Ear, Heard};
pub use hints::{Hints, Link, Pause, Source, hints};
pub use line::{Line, LineError};
pub use listener::{Listener, knock};
pub use packet::Packet;
pub(crate) use parting::longest as longest_parting;

/// What the worker wants to hear of. Each includes what concerns the worker itself.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Interest {
    /// Nothing, not even a connection: before the sign-on, and when leaving.
    #[default]
    Nothing,
    /// Asleep: the worker alone.
    Wishes,
    /// Idle: new work too.
    Work,
    /// Running: what may end the task. Both are UUIDs.
    Task { job: String, task: String },
}
