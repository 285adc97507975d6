// SPDX-License-Identifier: GPL-3.0-or-later

//! Whether the configuration can be used.

use super::CheckContext;
use super::finding::Finding;
use crate::chain::chain;
use crate::cli::Arguments;
use crate::config::{Config, ConfigError, Environment, Warning};
use crate::home::{self, SearchError};

const NAME: &str = "configuration";

/// Reads the configuration: what the checks start from, and the findings about it.
pub(super) fn read(arguments: &Arguments, environment: &Environment) -> (CheckContext, Vec<Finding>) {
    let (config, warnings, wrong) = Config::load_what_is_valid(arguments, environment);
    let mut found = vec![whole(&config, wrong.as_ref())];
    found.extend(warnings.iter().map(warning));
    let home = home::search(&config, environment)
        .map_err(|error| found.push(nowhere(&error)))
        .ok();
    (CheckContext::new(config, environment.clone(), home), found)
}

fn nowhere(error: &SearchError) -> Finding {
    Finding::fail(
        "home",
        chain(error),
        "set FLAMENCO_HOME, or `home` in the configuration, to a directory of this worker's own",
    )
}

fn whole(config: &Config, wrong: Option<&ConfigError>) -> Finding {
    if let Some(ConfigError { problems }) = wrong {
        let said: Vec<_> = problems.iter().map(|problem| format!("{problem:#}")).collect();
        return Finding::fail(
            NAME,
            said.join("; "),
            "repair it: a worker does not start with it (exit code 78). What follows was looked at with the rest of it",
        );
    }
    match &config.file {
        Some(file) => Finding::ok(NAME, format!("{} can be used", file.display())),
        None => Finding::ok(
            NAME,
            "there is no file, and none is needed: all is default, typed or in the environment",
        ),
    }
}

fn warning(warning: &Warning) -> Finding {
    Finding::warn(NAME, format!("{warning:#}"), "repair it; until then it has no effect")
}
