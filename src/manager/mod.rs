// SPDX-License-Identifier: GPL-3.0-or-later

//! The Manager as the worker sees it.
//!
//! ```text
//! worker ── sign on, state, fetch, may-i-run ──┬──► trait Manager ──► http ──► the network
//! spool, report ── task updates, pictures ─────┘         (fakes in tests)
//! ```
//!
//! Each operation answers with a type that has every real answer. Whatever else comes back, from the network, a proxy or a
//! Manager in trouble, is a [`ManagerError`], and never the Manager's decision.

mod api;
mod api_request;
mod backoff;
mod broadcast_tracker;
mod client;
mod contact_monitor;
mod dial;
mod error;
mod http;
mod location;
mod probe;
pub(crate) mod push;
mod response;
mod suggestion;
mod tls;

pub(crate) use api::{Assignment, Delivery, Manager, ManagerInfo, Picture, PictureAnswer, Verdict};
pub(crate) use backoff::Backoff;
pub(crate) use client::ConnectionOptions;
pub(crate) use error::ManagerError;
pub(crate) use http::HttpManager;
pub(crate) use probe::{Diagnosis, ProbeStep, VersionError, ask_version, describe_manager, probe, version_problem};
pub(crate) use tls::{ClientIdentity, TlsError, TlsFiles, tls_config};
