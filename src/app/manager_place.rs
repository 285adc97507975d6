// SPDX-License-Identifier: GPL-3.0-or-later

//! Where the Manager is, at a start and after a reload.

use std::fmt;

use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use serde::{Deserialize, Serialize};
use tracing::info;

use super::{failure, unusable};
use crate::config::Config;
use crate::departure::Departure;
use crate::manager::HttpManager;
use crate::manager_url::ManagerUrl;
use crate::setup::connection_options;

/// Where the Manager of a worker is, as it travels.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct HandedManager {
    url: String,
    /// It was found, not configured.
    is_found: bool,
    /// What it is sent, which may be secret and is for this one alone.
    #[serde(default)]
    headers: Vec<(String, Vec<u8>)>,
}

impl fmt::Debug for HandedManager {
    /// Without the headers: this may reach a log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HandedManager")
            .field("url", &self.url)
            .finish_non_exhaustive()
    }
}

impl HandedManager {
    /// `None` while one is searched for.
    pub(super) fn of(manager: &HttpManager, config: &Config) -> Option<Self> {
        let (url, options) = manager.place()?;
        let headers = options.headers.iter();
        Some(Self {
            is_found: config.manager.as_ref() != Some(&url),
            url: url.to_string(),
            headers: headers
                .map(|(name, value)| (name.to_string(), value.as_bytes().to_vec()))
                .collect(),
        })
    }

    fn headers(&self) -> HeaderMap {
        let known = self.headers.iter().filter_map(|(name, value)| {
            let mut value = HeaderValue::from_bytes(value).ok()?;
            value.set_sensitive(true);
            Some((HeaderName::from_bytes(name.as_bytes()).ok()?, value))
        });
        known.collect()
    }

    /// Whether the configuration names another one now.
    pub(super) fn has_moved(&self, config: &Config) -> bool {
        match &config.manager {
            Some(configured) => configured.to_string() != self.url,
            None => !self.is_found,
        }
    }
}

/// The Manager of the configuration, or one that has to be found.
///
/// # Errors
/// How the process is to end. Why is logged.
pub(super) fn manager(config: &Config) -> Result<HttpManager, Departure> {
    let Some(url) = &config.manager else {
        return Ok(HttpManager::not_found_yet(&config.timings));
    };
    info!(manager = %url, name = config.worker_name, "using Manager");
    let options = connection_options(url, Some(url), config).map_err(unusable)?;
    HttpManager::new(url.clone(), options, &config.timings).map_err(failure("prepare HTTP"))
}

/// The Manager that a worker had before it was reloaded: for as long as its task runs, and for good if it was found. Headers of
/// the configuration are for the one that it names.
///
/// # Errors
/// As [`manager`].
pub(super) fn same_manager(handed: &HandedManager, config: &Config) -> Result<HttpManager, Departure> {
    let url = ManagerUrl::parse(&handed.url).map_err(unusable)?;
    let mut options = connection_options(&url, config.manager.as_ref(), config).map_err(unusable)?;
    if config.manager.as_ref() != Some(&url) {
        options.headers = handed.headers();
    }
    HttpManager::new(url, options, &config.timings).map_err(failure("prepare HTTP"))
}

/// The Manager of the configuration, for when the worker is to sign on there.
///
/// # Errors
/// As [`manager`].
pub(super) fn move_to_configured(manager: &HttpManager, config: &Config) -> Result<(), Departure> {
    let Some(url) = &config.manager else { return Ok(()) };
    let options = connection_options(url, Some(url), config).map_err(unusable)?;
    let noted = manager.set_next_place(url.clone(), options);
    noted.map_err(failure("prepare HTTP"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::Arguments;
    use crate::config::Environment;

    fn config(url: &str, token: &'static str) -> Config {
        let loaded = Config::load(&Arguments::default(), &Environment::default());
        let (mut config, _) = loaded.unwrap();
        config.manager = Some(ManagerUrl::parse(url).unwrap());
        config.headers.insert("x-token", HeaderValue::from_static(token));
        config
    }

    fn token(manager: &HttpManager) -> HeaderValue {
        manager.place().unwrap().1.headers["x-token"].clone()
    }

    #[test]
    fn l6_each_manager_gets_the_headers_that_were_configured_with_it() {
        let (old, new) = (config("http://old/", "one"), config("http://new/", "two"));
        let handed = HandedManager::of(&manager(&old).unwrap(), &old).unwrap();
        let text = serde_json::to_string(&handed).unwrap();
        let handed: HandedManager = serde_json::from_str(&text).unwrap();
        assert!(handed.has_moved(&new) && !handed.has_moved(&old));
        let kept = same_manager(&handed, &new).unwrap();
        assert_eq!(token(&kept), "one");
        // Reloaded once more before it has gone over.
        let again = HandedManager::of(&kept, &new).unwrap();
        assert_eq!(token(&same_manager(&again, &new).unwrap()), "one");
        assert_eq!(
            token(&same_manager(&handed, &config("http://old/", "three")).unwrap()),
            "three"
        );
        assert!(!format!("{handed:?}").contains("x-token"));
    }
}
