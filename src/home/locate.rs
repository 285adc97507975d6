// SPDX-License-Identifier: GPL-3.0-or-later

//! Where the home of a worker is.

use std::path::PathBuf;

use super::error::HomeError;
use crate::config::{Config, Environment};

/// Where the home is: `$FLAMENCO_HOME` or `home` of the configuration, `$STATE_DIRECTORY` (systemd's
/// `StateDirectory=`; of several the first), `$XDG_DATA_HOME/flamenco`, `~/.local/share/flamenco`. Without
/// the first two it is the Go worker's, so that a node can change over and back.
///
/// # Errors
/// [`HomeError::NoPlace`].
pub(crate) fn locate(config: &Config, environment: &Environment) -> Result<PathBuf, HomeError> {
    if let Some(home) = chosen(config, environment) {
        return Ok(home);
    }
    environment
        .xdg("XDG_DATA_HOME", ".local/share")
        .map(|data| data.join("flamenco"))
        .ok_or(HomeError::NoPlace)
}

/// The home that a setting names.
pub(super) fn chosen(config: &Config, environment: &Environment) -> Option<PathBuf> {
    if let Some(home) = &config.home {
        return Some(home.clone());
    }
    let state = environment.get("STATE_DIRECTORY")?.to_string_lossy();
    let first = state.split(':').find(|path| !path.is_empty())?;
    Some(environment.absolute(first))
}
