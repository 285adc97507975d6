// SPDX-License-Identifier: GPL-3.0-or-later
//! A real Chromium without a screen, steered through Debian's `chromedriver`, for tests of the page and for its pictures.
//!
//! ```text
//! test -> Page --W3C WebDriver, JSON over HTTP--> chromedriver --> Chromium
//!          `- Browser: owns both processes and their profile; when it is dropped all three are gone
//! ```
//!
//! The client is a page of our own: WebDriver is one JSON request per step, and the crates for it bring a hundred others.

mod driver;
mod error;
mod http;
mod page;

pub use self::{
    driver::{Browser, PROGRAMS},
    error::Error,
    page::{Look, Page, Theme},
};
