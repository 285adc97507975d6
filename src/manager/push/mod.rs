// SPDX-License-Identifier: GPL-3.0-or-later

//! The Manager's hints. The Manager broadcasts what happens on the farm over its Socket.IO (Engine.IO 3, Socket.IO 2,
//! websocket only), so that a click takes effect at once. A hint is never a fact: hints arrive out of order, get lost, and
//! come from whatever answers at that address. A hint only makes the worker ask a question now that it would have asked
//! later anyway.
//!
//! ```text
//! worker ── Interest ──► HintSender ──► PushListener ──► Endpoint, Connection ──► websocket
//!   ▲                        ▲               └─► ConnectionState: ServerPacket ─► EventFilter ─► Hint
//!   │                        │                     Rooms ─► ClientPacket    FarmLoad, ProgressSchedule ─► delays
//!   └──── HintReceiver ──────┘◄─────────────────────┘
//! ```
//!
//! Hints do not queue up: however many arrive, all that is kept is "ask at this instant".
//!
//! Two mistakes here would harm the whole farm. The first is a packet that starts with `43`: four bytes of it end the
//! Manager. Everything that is sent is therefore a `ClientPacket`, and none of those starts so. The
//! second is to close a connection that is still in a room: see `closing`.

mod closing;
mod connection;
mod connection_state;
mod event_filter;
mod farm_load;
mod hint_channel;
mod interest;
mod listener;
mod packet;
mod progress;
mod rooms;

pub(crate) use closing::longest_close;
pub(crate) use connection::PushError;
pub(crate) use event_filter::EventFilter;
pub(crate) use hint_channel::{HintReceiver, HintSender, HintStopper, Link, PollInterval, hint_channel};
pub(crate) use interest::Interest;
pub(crate) use listener::{PushListener, test_connection};
pub(crate) use packet::ServerPacket;
