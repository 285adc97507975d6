// SPDX-License-Identifier: GPL-3.0-or-later

//! The worker's own work for a task, which is held to the same rules as the task's programs.

use std::fs;
use std::os::unix::fs::symlink;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::scope;

use serde_json::json;
use standin_manager::CommandSpec;

use super::{Bed, User, no_landlock};

const RULES: [&str; 1] = ["write = [\"SHARED\"]"];

fn copy(bed: &Bed, src: &str, dest: &str) -> CommandSpec {
    CommandSpec::new("copy-file", json!({ "src": bed.at(src), "dest": bed.at(dest) }))
}

fn move_directory(bed: &Bed, src: &str, dest: &str) -> CommandSpec {
    CommandSpec::new("move-directory", json!({ "src": bed.at(src), "dest": bed.at(dest) }))
}

fn make_directory(bed: &Bed, path: &str) -> CommandSpec {
    CommandSpec::new("make-directory", json!({ "path": bed.at(path) }))
}

#[test]
fn n7_files_are_copied_and_folders_moved_and_made_where_tasks_may_write_and_nowhere_else() {
    if no_landlock() {
        return;
    }
    Bed::each(&RULES, |bed, user| {
        bed.completed(make_directory(bed, "shared/a/b"));
        bed.completed(copy(bed, "outside/kept", "shared/a/b/copy"));
        bed.completed(move_directory(bed, "shared/a", "shared/c"));
        assert_eq!(fs::read_to_string(bed.at("shared/c/b/copy")).unwrap(), "kept\n");
        let config = bed.node.folder.join("flamenco-worker.toml");
        for refused in [
            make_directory(bed, "outside/new"),
            copy(bed, "outside/kept", "outside/new"),
            copy(bed, "outside/kept", "outside/new/new"),
            move_directory(bed, "shared/c", "outside/new"),
            move_directory(bed, "outside/folder", "shared/d"),
            move_directory(bed, "outside/folder", "outside/new"),
            // What is there gets another name: that is refused, too.
            move_directory(bed, "shared/c", "outside/folder"),
            copy(bed, "node/home/flamenco-worker-credentials.yaml", "shared/stolen"),
            copy(bed, "node/flamenco-worker.toml", "shared/stolen"),
            move_directory(bed, "node/home", "shared/stolen"),
        ] {
            let name = format!("{refused:?}");
            let (activity, log) = bed.failed(refused);
            assert!(
                activity.contains("EACCES") || activity.contains("ENOENT"),
                "{user:?}, {name}: {activity}"
            );
            let is_told = activity.ends_with("; perhaps the sandbox of this node refused something");
            assert_eq!(is_told, activity.contains("EACCES"), "{name}: {activity}");
            let rule = format!("of [sandbox] in {}", config.display());
            assert!(log.contains(&rule), "{name}: {log}");
            bed.nothing_has_changed();
            assert!(
                !bed.at("shared/stolen").exists() && bed.at("shared/c/b/copy").exists(),
                "{name}"
            );
        }
    });
}

#[test]
fn n7_no_link_that_is_exchanged_meanwhile_leads_our_own_work_outside() {
    if no_landlock() {
        return;
    }
    let bed = Bed::new(User::Ours, &RULES).unwrap();
    fs::create_dir(bed.at("shared/inside")).unwrap();
    fs::write(bed.at("shared/source"), "x").unwrap();
    let is_over = AtomicBool::new(false);
    scope(|scope| {
        scope.spawn(|| {
            let targets = [bed.at("shared/inside"), bed.at("outside")];
            for target in targets.iter().cycle().take_while(|_| !is_over.load(Ordering::Relaxed)) {
                let other = bed.at("shared/other");
                symlink(target, &other).unwrap();
                fs::rename(&other, bed.at("shared/link")).unwrap();
            }
        });
        for number in 0..50 {
            let made = bed.farm.task(&[
                make_directory(&bed, &format!("shared/link/folder{number}")),
                copy(&bed, "shared/source", &format!("shared/link/file{number}")),
            ]);
            bed.farm.wait("the task to be over", |farm| {
                let task = farm.task(&made)?;
                matches!(
                    task.status,
                    standin_manager::TaskStatus::Completed
                        | standin_manager::TaskStatus::Failed
                        | standin_manager::TaskStatus::SoftFailed
                )
                .then_some(())
            });
        }
        is_over.store(true, Ordering::Relaxed);
    });
    bed.nothing_has_changed();
    bed.node.finish();
}
