// SPDX-License-Identifier: GPL-3.0-or-later

//! Where the Manager is, at a start and after a reload.

use serde::{Deserialize, Serialize};
use tracing::info;

use super::{failure, unusable};
use crate::config::Config;
use crate::departure::Departure;
use crate::manager::HttpManager;
use crate::manager_url::ManagerUrl;
use crate::setup::connection_options;

/// Where the Manager of a worker is, as it travels.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct HandedManager {
    url: String,
    /// It was found, not configured.
    is_found: bool,
}

impl HandedManager {
    /// `None` while one is searched for.
    pub(super) fn of(manager: &HttpManager, config: &Config) -> Option<Self> {
        let (url, _) = manager.place()?;
        Some(Self {
            is_found: config.manager.as_ref() != Some(&url),
            url: url.to_string(),
        })
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

/// The Manager that a worker had before it was reloaded: for as long as its task runs, and for good if it was found.
///
/// # Errors
/// As [`manager`].
pub(super) fn same_manager(handed: &HandedManager, config: &Config) -> Result<HttpManager, Departure> {
    let url = ManagerUrl::parse(&handed.url).map_err(unusable)?;
    let options = connection_options(&url, (!handed.is_found).then_some(&url), config).map_err(unusable)?;
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
