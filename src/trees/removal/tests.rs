// SPDX-License-Identifier: GPL-3.0-or-later

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::sync::atomic::{AtomicBool, Ordering};

use nix::fcntl::{AT_FDCWD, RenameFlags, renameat2};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::stat::mkdirat;

use super::*;
use crate::trees::{bind, with_own_mounts};

#[test]
fn links_are_removed_and_their_targets_stay() {
    let folder = tempfile::tempdir().unwrap();
    let (kept, gone) = (folder.path().join("kept"), folder.path().join("gone"));
    fs::create_dir(&kept).unwrap();
    fs::write(kept.join("precious"), "x").unwrap();
    fs::create_dir_all(gone.join("a/b")).unwrap();
    symlink(&kept, gone.join("a/link")).unwrap();
    symlink(&kept, folder.path().join("link")).unwrap();
    remove(&gone).unwrap();
    remove(&folder.path().join("link")).unwrap();
    remove(&folder.path().join("never")).unwrap();
    remove(&folder.path().join("never/there")).unwrap();
    assert!(kept.join("precious").exists() && !gone.exists() && !folder.path().join("link").exists());
}

#[test]
fn folders_without_permissions_are_opened() {
    let folder = tempfile::tempdir().unwrap();
    let gone = folder.path().join("gone");
    fs::create_dir_all(gone.join("a/b")).unwrap();
    fs::write(gone.join("a/b/c"), "x").unwrap();
    for closed in ["a/b", "a"] {
        fs::set_permissions(gone.join(closed), Permissions::from_mode(0o000)).unwrap();
    }
    remove(&gone).unwrap();
    assert!(!gone.exists());
}

#[test]
fn i5_all_but_what_cannot_be_removed_is_gone_and_it_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let gone = folder.path().join("gone");
    fs::create_dir_all(gone.join("a/stays/x")).unwrap();
    fs::create_dir_all(gone.join("z/y")).unwrap();
    fs::write(gone.join("a/file"), "x").unwrap();
    with_own_mounts(|| {
        bind(&gone.join("z"), &gone.join("a/stays"));
        let stays = remove(&gone).unwrap_err();
        assert!(stays.is_mounted(), "{stays}");
        assert_eq!(
            stays.to_string(),
            format!(
                "something is mounted at {}, which is left alone",
                gone.join("a/stays").display()
            )
        );
        assert_eq!(fs::read_dir(&gone).unwrap().count(), 1);
        assert_eq!(fs::read_dir(gone.join("a")).unwrap().count(), 1);
    });
}

#[test]
fn i25_nothing_behind_a_mount_is_touched() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    fs::create_dir_all(at("storage/job")).unwrap();
    fs::write(at("storage/job/frame"), "x").unwrap();
    fs::create_dir_all(at("gone/a/storage")).unwrap();
    fs::write(at("gone/frame"), "").unwrap();
    fs::create_dir(at("top")).unwrap();
    with_own_mounts(|| {
        bind(&at("storage"), &at("gone/a/storage"));
        bind(&at("storage/job/frame"), &at("gone/frame"));
        bind(&at("storage"), &at("top"));
        for path in ["gone", "top"] {
            assert!(remove(&at(path)).unwrap_err().is_mounted(), "{path}");
        }
        assert_eq!(fs::read_to_string(at("storage/job/frame")).unwrap(), "x");
    });
}

/// Folders in each other; too deep for any path.
fn deep(at: &Path, depth: usize) {
    fs::create_dir(at).unwrap();
    let mut here = open_folder(at).unwrap();
    for _ in 0..depth {
        mkdirat(&here, "d", Mode::S_IRWXU).unwrap();
        here = open_below(&here, Path::new("d")).unwrap();
    }
}

#[test]
fn i5_a_tree_of_any_depth_goes_with_few_descriptors_and_a_small_stack() {
    const DEPTH: usize = 13_000;
    // On a disk this takes a minute, with `rm -rf` too.
    let folder = tempfile::tempdir_in("/dev/shm").unwrap_or_else(|_| tempfile::tempdir().unwrap());
    let gone = folder.path().join("gone");
    deep(&gone, DEPTH);
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    assert!(soft < u64::MAX);
    setrlimit(Resource::RLIMIT_NOFILE, soft.min(1024), hard).unwrap();
    let removed = std::thread::Builder::new()
        .stack_size(64 << 10)
        .spawn({
            let gone = gone.clone();
            move || remove(&gone)
        })
        .unwrap()
        .join()
        .unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, soft, hard).unwrap();
    removed.unwrap();
    assert!(!gone.exists());
}

#[test]
fn i13_a_folder_exchanged_for_a_link_is_never_followed() {
    const ROUNDS: usize = 50;
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    fs::create_dir_all(at("victim/sub")).unwrap();
    fs::write(at("victim/sub/precious"), "x").unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
    for closed in ["victim/sub", "victim"] {
        fs::set_permissions(at(closed), Permissions::from_mode(0o555)).unwrap();
    }
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            // The attacker holds no more than two names in the tree.
            while !over.load(Ordering::Relaxed) {
                let (one, other) = (at("gone/a"), at("gone/b"));
                let _gone = renameat2(AT_FDCWD, &one, AT_FDCWD, &other, RenameFlags::RENAME_EXCHANGE);
            }
        });
        for _ in 0..ROUNDS {
            fs::create_dir_all(at("gone/a/sub")).unwrap();
            fs::set_permissions(at("gone/a"), Permissions::from_mode(0o500)).unwrap();
            symlink(at("victim"), at("gone/b")).unwrap();
            remove(&at("gone")).unwrap();
        }
        over.store(true, Ordering::Relaxed);
    });
    assert_eq!((mode(&at("victim")), mode(&at("victim/sub"))), (0o555, 0o555));
    assert!(at("victim/sub/precious").exists());
    fs::set_permissions(at("victim"), Permissions::from_mode(0o755)).unwrap();
    fs::set_permissions(at("victim/sub"), Permissions::from_mode(0o755)).unwrap();
}
