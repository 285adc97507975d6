// SPDX-License-Identifier: GPL-3.0-or-later

use std::fs::Permissions;
use std::os::unix::fs::{PermissionsExt, symlink};

use super::super::WarnedOnce;
use super::*;
use crate::process::idle_launcher;
use crate::timings::Timings;

fn scratch(folder: &Path) -> ScratchDirs {
    ScratchDirs {
        folder: folder.join("usual"),
        spare: folder.join("spare"),
        mark: "machine home-1".into(),
        warned: WarnedOnce::default(),
    }
}

/// A folder with the usual one in it.
fn place() -> (tempfile::TempDir, ScratchDirs) {
    let folder = tempfile::tempdir().unwrap();
    let scratch = scratch(folder.path());
    fs::create_dir(&scratch.folder).unwrap();
    (folder, scratch)
}

/// Nothing is raised.
fn never() -> Abort {
    AbortSource::new().1
}

fn count(folder: &Path) -> usize {
    fs::read_dir(folder).map_or(0, Iterator::count)
}

#[tokio::test]
async fn a19_a_task_has_a_directory_of_its_own_which_is_gone_after_it() {
    let launcher = idle_launcher(&Timings::default());
    let (_folder, scratch) = place();
    let dir = TmpDir::make(&scratch, &never()).await.unwrap();
    assert_eq!(dir.path().parent().unwrap(), scratch.folder);
    assert_eq!(fs::metadata(dir.path()).unwrap().permissions().mode() & 0o777, 0o700);
    assert_eq!(count(dir.path()), 0);
    fs::create_dir(dir.path().join("deep")).unwrap();
    fs::write(dir.path().join("deep/x"), "x").unwrap();
    let again = TmpDir::make(&scratch, &never()).await.unwrap();
    assert_ne!(dir.path(), again.path());
    dir.remove(&launcher, &never()).await;
    again.remove(&launcher, &never()).await;
    assert_eq!(count(&scratch.folder), 0);
}

#[tokio::test]
async fn i5_sockets_fit_below_a_temporary_directory() {
    let (_folder, scratch) = place();
    let dir = TmpDir::make(&scratch, &never()).await.unwrap();
    let ours = dir.path().as_os_str().len() - scratch.folder.as_os_str().len();
    assert!(ours <= 25, "{}", dir.path().display());
}

#[tokio::test]
async fn leftovers_of_our_mark_are_cleaned_and_no_others() {
    let launcher = idle_launcher(&Timings::default());
    let (folder, scratch) = place();
    let name = |scratch: &ScratchDirs, lot: &str| scratch.folder.join(format!("{}{lot}", prefix(scratch)));
    let other_machine = ScratchDirs {
        mark: "copy home-1".into(),
        ..scratch.clone()
    };
    let kept = [name(&other_machine, "aaaaaa"), scratch.folder.join("flamenco-a")];
    let links = [name(&scratch, "link")];
    for path in kept.iter().chain(&[name(&scratch, "bbbbbb"), name(&scratch, "cccccc")]) {
        fs::create_dir_all(path.join("deep")).unwrap();
    }
    symlink(folder.path(), &links[0]).unwrap();
    fs::create_dir_all(scratch.spare.join(format!("{}dddddd", prefix(&scratch)))).unwrap();
    Leftovers::find(&scratch, None).await.remove(&launcher).await;
    let mut left: Vec<_> = fs::read_dir(&scratch.folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    left.sort();
    let mut expected = [kept.as_slice(), links.as_slice()].concat();
    expected.sort();
    assert_eq!((left, count(&scratch.spare)), (expected, 0));
}

#[tokio::test]
async fn i5_where_the_usual_folder_cannot_be_used_it_is_the_spare_one() {
    let folder = tempfile::tempdir().unwrap();
    let scratch = scratch(folder.path());
    // Gone; a file; and as it should be.
    let dir = TmpDir::make(&scratch, &never()).await.unwrap();
    assert_eq!(dir.path().parent().unwrap(), scratch.spare);
    fs::write(&scratch.folder, "x").unwrap();
    let dir = TmpDir::make(&scratch, &never()).await.unwrap();
    assert_eq!(dir.path().parent().unwrap(), scratch.spare);
    fs::remove_file(&scratch.folder).unwrap();
    fs::create_dir(&scratch.folder).unwrap();
    let dir = TmpDir::make(&scratch, &never()).await.unwrap();
    assert_eq!(dir.path().parent().unwrap(), scratch.folder);
}

#[tokio::test]
async fn i5_without_any_place_the_task_goes_back_with_both_reasons() {
    let scratch = scratch(Path::new("/dev/null"));
    let Err(RequeueReason::NoTmpdir(why)) = TmpDir::make(&scratch, &never()).await else {
        panic!("it was made")
    };
    assert!(
        why.starts_with("none in /dev/null/usual: Not a directory") && why.contains("; none in /dev/null/spare: "),
        "{why}"
    );
}

#[test]
fn i13_what_is_made_is_closed_to_others_whatever_mode_it_got() {
    let (_folder, scratch) = place();
    for mode in [0o000, 0o755, 0o777] {
        let path = scratch.folder.join("made");
        fs::create_dir(&path).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        settle_in(&scratch.folder, Path::new("made")).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o700);
        fs::remove_dir(&path).unwrap();
    }
}

#[test]
fn i13_what_belongs_to_another_user_or_is_a_link_is_not_taken_for_ours() {
    let (folder, scratch) = place();
    symlink(folder.path(), scratch.folder.join("link")).unwrap();
    settle_in(&scratch.folder, Path::new("link")).unwrap_err();
    if geteuid().is_root() {
        fs::create_dir(scratch.folder.join("theirs")).unwrap();
        std::os::unix::fs::chown(scratch.folder.join("theirs"), Some(65534), None).unwrap();
        settle_in(&scratch.folder, Path::new("theirs")).unwrap_err();
    }
}

#[test]
fn a_trouble_is_told_once_to_all_who_share_it() {
    let warned = WarnedOnce::default();
    let shared = warned.clone();
    assert!(warned.is_new("make", ErrorKind::StorageFull));
    assert!(!shared.is_new("make", ErrorKind::StorageFull));
    assert!(shared.is_new("remove", ErrorKind::StorageFull));
}
