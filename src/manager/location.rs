// SPDX-License-Identifier: GPL-3.0-or-later

//! Where the Manager is and how it is called: known from the start, or once it has been found.

use std::cell::RefCell;
use std::rc::Rc;

use reqwest::Client;
use tokio::sync::watch;
use url::Url;

use super::client::{ClientError, ConnectionOptions, client};
use super::dial::request_url;
use crate::manager_url::ManagerUrl;
use crate::timings::Timings;

/// A Manager whose place is known, with the client for it.
#[derive(Debug)]
pub(super) struct KnownManager {
    /// Its URL.
    pub(super) url: ManagerUrl,
    /// The options of new connections.
    pub(super) options: ConnectionOptions,
    /// Ends in `/`, so that paths are joined below a prefix. `client` is asked for this one.
    pub(super) base: Url,
    /// The client.
    pub(super) client: Client,
}

/// The place of the Manager, or the search for it.
#[derive(Debug)]
pub(super) struct ManagerLocation {
    place: RefCell<Option<Rc<KnownManager>>>,
    /// What the search has come to, while there is no place.
    search: RefCell<String>,
    is_known: watch::Sender<bool>,
}

impl KnownManager {
    /// # Errors
    /// Fails if the HTTP client cannot be made.
    pub(super) fn new(url: ManagerUrl, options: ConnectionOptions, timings: &Timings) -> Result<Self, ClientError> {
        Ok(Self {
            client: client(&url, &options, timings)?,
            base: request_url(&url),
            url,
            options,
        })
    }
}

impl ManagerLocation {
    /// A known place, or none.
    pub(super) fn new(place: Option<KnownManager>) -> Self {
        Self {
            is_known: watch::Sender::new(place.is_some()),
            place: RefCell::new(place.map(Rc::new)),
            search: RefCell::default(),
        }
    }

    /// The place, if it is known.
    pub(super) fn place(&self) -> Option<Rc<KnownManager>> {
        self.place.borrow().clone()
    }

    /// Moves the Manager, or makes it known.
    pub(super) fn set(&self, place: KnownManager) {
        *self.place.borrow_mut() = Some(Rc::new(place));
        self.is_known.send_replace(true);
    }

    /// Waits until the place is known. Cancel safe.
    pub(super) async fn known(&self) {
        // The other end is ours.
        self.is_known.subscribe().wait_for(|known| *known).await.ok();
    }

    /// What the search has come to; `None` once the place is known.
    pub(super) fn search(&self) -> Option<String> {
        (!*self.is_known.borrow()).then(|| self.search.borrow().clone())
    }

    /// Says what the search has come to.
    pub(super) fn set_search(&self, text: String) {
        *self.search.borrow_mut() = text;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn j2_once_it_is_known_there_is_no_search() {
        let known = |url: &str| {
            let url = ManagerUrl::parse(url).unwrap();
            KnownManager::new(url, ConnectionOptions::default(), &Timings::default()).unwrap()
        };
        let location = ManagerLocation::new(None);
        location.set_search("one to answer".into());
        assert_eq!(location.search().as_deref(), Some("one to answer"));
        location.set(known("http://found/"));
        assert_eq!(location.place().unwrap().url.to_string(), "http://found/");
        assert_eq!(location.search(), None);
    }
}
