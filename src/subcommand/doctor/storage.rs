// SPDX-License-Identifier: GPL-3.0-or-later

//! What the table `[node]` says that tasks need here, tried as the worker tries it before each task.

use std::path::{Path, PathBuf};

use futures_util::future::join_all;

use super::CheckContext;
use super::finding::{CHECK_LIMIT, Finding};
use crate::node::{Node, Requirements};
use crate::setup::requirements;
use crate::timings::Timings;

const NAME: &str = "storage";

pub(super) async fn check(context: &CheckContext) -> Vec<Finding> {
    let home = context.home.as_deref().unwrap_or(Path::new("/"));
    let needs = single(requirements(&context.config, home));
    if needs.is_empty() {
        return vec![Finding::ok(
            NAME,
            "the table [node] asks for nothing; name your shared storage there, and a node without it fails no task",
        )];
    }
    let timings = Timings {
        node_check_timeout: CHECK_LIMIT.min(context.config.timings.node_check_timeout),
        ..context.config.timings.clone()
    };
    // All at once: several of them may hang.
    let looks = needs.into_iter().map(|(what, need)| one(what, need, &timings));
    join_all(looks).await
}

async fn one(what: String, need: Requirements, timings: &Timings) -> Finding {
    match Node::new(need, timings).check().await {
        Ok(()) => Finding::ok(NAME, what),
        Err(unfit) => Finding::fail(
            NAME,
            unfit.to_string(),
            "the worker takes no task until this is repaired; if tasks do not need it, take it out of [node]",
        ),
    }
}

/// Each need by itself, with the text of the finding where it is met.
fn single(all: Requirements) -> Vec<(String, Requirements)> {
    let Requirements {
        mounted,
        readable,
        writable,
        free_space,
        roomy,
        // The area `sandbox` has that.
        unenforced: _,
    } = all;
    let mut needs = Vec::new();
    let mut need = |what: &str, paths: Vec<PathBuf>, of: fn(&mut Requirements) -> &mut Vec<PathBuf>| {
        for path in paths {
            let mut need = Requirements {
                free_space,
                ..Requirements::default()
            };
            let said = format!("{} {what}", path.display());
            of(&mut need).push(path);
            needs.push((said, need));
        }
    };
    need("is mounted", mounted, |need| &mut need.mounted);
    need("can be read", readable, |need| &mut need.readable);
    need("can be written to", writable, |need| &mut need.writable);
    if free_space > 0 {
        let enough = format!("has {} MiB free, as asked for", free_space >> 20);
        need(&enough, roomy, |need| &mut need.roomy);
    }
    needs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_need_is_looked_at_by_itself() {
        let all = Requirements {
            mounted: vec!["/mnt".into()],
            readable: vec!["/a".into(), "/b".into()],
            writable: vec!["/c".into()],
            free_space: 1 << 30,
            roomy: vec!["/c".into(), "/tmp".into()],
            unenforced: None,
        };
        let needs = single(all.clone());
        let said: Vec<_> = needs.iter().map(|(what, _)| what.as_str()).collect();
        assert_eq!(
            said,
            [
                "/mnt is mounted",
                "/a can be read",
                "/b can be read",
                "/c can be written to",
                "/c has 1024 MiB free, as asked for",
                "/tmp has 1024 MiB free, as asked for",
            ]
        );
        assert_eq!((needs[1].1.readable.len(), needs[1].1.mounted.len()), (1, 0));
        let nothing_of_space = single(Requirements { free_space: 0, ..all });
        assert_eq!(nothing_of_space.len(), 4);
    }
}
