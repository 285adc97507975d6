// SPDX-License-Identifier: GPL-3.0-or-later

//! What is different in another configuration.

use super::{Config, timings};

impl Config {
    /// The keys whose values differ, named as in the file; of `log`, `tls`, `headers` and `spool` the table as a whole.
    pub fn changes(&self, other: &Self) -> Vec<String> {
        // Taken apart, so that none is forgotten when one is added.
        let Self {
            file: _,
            manager,
            worker_name,
            task_types,
            restart_exit_code,
            home,
            oom_score_adjust,
            nice,
            push,
            tls,
            headers,
            log,
            node,
            timings,
            spool,
            origins: _,
        } = self;
        let whole = [
            ("manager", *manager == other.manager),
            ("worker_name", *worker_name == other.worker_name),
            ("task_types", *task_types == other.task_types),
            ("restart_exit_code", *restart_exit_code == other.restart_exit_code),
            ("home", *home == other.home),
            ("oom_score_adjust", *oom_score_adjust == other.oom_score_adjust),
            ("nice", *nice == other.nice),
            ("push", *push == other.push),
            ("tls", *tls == other.tls),
            ("headers", *headers == other.headers),
            ("log", *log == other.log),
            ("node", *node == other.node),
            ("spool", *spool == other.spool),
        ];
        let whole = whole
            .into_iter()
            .filter(|(_, same)| !same)
            .map(|(key, _)| key.to_owned());
        let (mut ours, mut theirs) = (timings.clone(), other.timings.clone());
        let times = timings::KEYS
            .iter()
            .filter(|key| (key.field)(&mut ours) != (key.field)(&mut theirs))
            .map(|key| format!("timings.{}", key.name));
        whole.chain(times).collect()
    }
}
