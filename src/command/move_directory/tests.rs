// SPDX-License-Identifier: GPL-3.0-or-later

use std::fs::{File, FileTimes, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::*;
use crate::abort::AbortReason;
use crate::command::tests::{RecordingLog, TestCommand};
use crate::outcome::Incomplete;

/// Everything below a folder: each name with what it is.
fn all(folder: &Path) -> Vec<String> {
    let mut names = Vec::new();
    let mut todo = vec![folder.to_owned()];
    while let Some(next) = todo.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            let name = path.strip_prefix(folder).unwrap().display().to_string();
            if path.is_symlink() {
                names.push(format!("{name} -> {}", fs::read_link(&path).unwrap().display()));
            } else if path.is_dir() {
                names.push(format!("{name}/"));
                todo.push(path);
            } else {
                names.push(format!("{name}={}", fs::read_to_string(&path).unwrap()));
            }
        }
    }
    names.sort();
    names
}

/// A folder with `name/file=name`, changed at 2026-11-23 21:46:24.5.
fn make(folder: &Path, name: &str) -> PathBuf {
    let path = folder.join(name);
    fs::create_dir_all(&path).unwrap();
    fs::write(path.join("file"), name).unwrap();
    age(&path);
    path
}

fn changed() -> SystemTime {
    UNIX_EPOCH + Duration::from_millis(1_795_470_384_500)
}

fn age(path: &Path) {
    File::open(path)
        .unwrap()
        .set_times(FileTimes::new().set_modified(changed()))
        .unwrap();
}

async fn moved(src: &Path, dest: &Path) -> (Outcome, RecordingLog) {
    let mut log = RecordingLog::default();
    let command = MoveDirectory {
        src: src.into(),
        dest: dest.into(),
    };
    let ended = command.run(&mut TestCommand::new(&mut log).context()).await;
    (ended, log)
}

fn stamped() -> String {
    let changed = Timestamp::try_from(changed()).unwrap();
    stamp(changed, &TimeZone::system())
}

/// A folder on another file system than the usual one for temporary files, if there is one.
fn elsewhere(here: &Path) -> Option<tempfile::TempDir> {
    use std::os::unix::fs::MetadataExt;
    let there = tempfile::tempdir_in("/dev/shm").ok()?;
    let device = |path: &Path| fs::metadata(path).unwrap().dev();
    (device(here) != device(there.path())).then_some(there)
}

#[tokio::test]
async fn a_folder_a_file_and_a_link_are_moved() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    make(folder.path(), "a");
    fs::write(at("f"), "f").unwrap();
    symlink("to/nothing", at("l")).unwrap();
    for (src, dest) in [("a", "b/"), ("f", "g"), ("l", "m")] {
        let (ended, log) = moved(&at(src), &at(dest)).await;
        assert_eq!(ended, Ok(()));
        let to = at(dest.trim_end_matches('/'));
        assert_eq!(log.lines, [format!("move-directory: moving {:?} to {to:?}", at(src))]);
    }
    assert_eq!(all(folder.path()), ["b/", "b/file=a", "g=f", "m -> to/nothing"]);
}

#[tokio::test]
async fn what_was_there_is_kept_under_the_time_of_its_last_change() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let stamp = stamped();
    for (number, backup) in [
        (0, format!("d-{stamp}")),
        (1, format!("d-{stamp}-001")),
        (2, format!("d-{stamp}-002")),
    ] {
        let (src, dest) = (make(folder.path(), "s"), make(folder.path(), "d"));
        let (ended, log) = moved(&src, &dest).await;
        assert_eq!(ended, Ok(()), "{number}");
        assert_eq!(
            log.lines,
            [
                format!("move-directory: moving {dest:?} to {:?}", at(&backup)),
                format!("move-directory: moving {src:?} to {dest:?}"),
            ]
        );
        assert_eq!(fs::read_to_string(at(&backup).join("file")).unwrap(), "d");
        assert_eq!(fs::read_to_string(dest.join("file")).unwrap(), "s");
    }
}

#[tokio::test]
async fn names_that_are_patterns_are_only_names() {
    let folder = tempfile::tempdir().unwrap();
    let stamp = stamped();
    make(folder.path(), &format!("d[1]*-{stamp}"));
    make(folder.path(), &format!("d[1]*-{stamp}-009"));
    let (src, dest) = (make(folder.path(), "s"), make(folder.path(), "d[1]*"));
    assert_eq!(moved(&src, &dest).await.0, Ok(()));
    assert!(
        folder.path().join(format!("d[1]*-{stamp}-010/file")).exists(),
        "{:?}",
        all(folder.path())
    );
}

#[test]
fn numbers_follow_the_greatest() {
    let next = |names: &[&str]| {
        let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
        format!("{:03}", next_number("d", &names))
    };
    assert_eq!(next(&[]), "001");
    assert_eq!(next(&["d", "d-", "d-x", "d-9x", "e-77", "d77", "-5"]), "001");
    assert_eq!(next(&["d-9", "d-x-12"]), "013");
    assert_eq!(next(&["d-999"]), "1000");
    assert_eq!(next(&["d-001", "d-003"]), "004");
    assert_eq!(next(&["d-9223372036854775808", "d-2"]), "003");
    assert_eq!(next(&["d-9223372036854775807"]), "9223372036854775808");
}

#[test]
fn times_are_local_and_rounded_half_up() {
    let stamp = |millis, zone: &str| {
        // As rules, not as names: not every machine has the database of those.
        let zone = TimeZone::posix(zone).unwrap();
        super::stamp(Timestamp::from_millisecond(millis).unwrap(), &zone)
    };
    assert_eq!(stamp(1_795_470_384_499, "UTC0"), "2026-11-23_214624");
    assert_eq!(stamp(1_795_470_384_500, "UTC0"), "2026-11-23_214625");
    assert_eq!(
        stamp(1_795_470_384_000, "CET-1CEST,M3.5.0,M10.5.0/3"),
        "2026-11-23_224624"
    );
    assert_eq!(stamp(1_795_470_384_000, "<+0545>-5:45"), "2026-11-24_033124");
    assert_eq!(stamp(-500, "UTC0"), "1970-01-01_000000");
}

#[tokio::test]
async fn what_makes_no_sense_is_refused_before_anything_is_touched() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    make(folder.path(), "a/b");
    make(folder.path(), "c");
    symlink(at("a"), at("link")).unwrap();
    let before = all(folder.path());
    for (src, dest, why) in [
        ("missing", "c", "does not exist"),
        ("a", "a", "are the same"),
        ("a", "./a/", "are the same"),
        ("a", "link/../a", "are the same"),
        ("link", "a", "are the same"),
        ("a", "link", "are the same"),
        ("a", "a/b", "is inside"),
        ("a", "a/new", "is inside"),
        ("a", "link/new", "is inside"),
        ("a/b", "a", "is inside"),
        ("link/b", "a", "is inside"),
        ("a", "nowhere/new", "cannot look at the folder of"),
        ("a", "c/file/new", "cannot look at the folder of"),
    ] {
        let (ended, log) = moved(&at(src), &at(dest)).await;
        let Err(Incomplete::Failed(text)) = ended else {
            panic!("{src} {dest}: {ended:?}")
        };
        assert!(
            text.contains(why) && text.ends_with("not moving anything"),
            "{src} {dest}: {text}"
        );
        assert_eq!(
            (log.lines, all(folder.path())),
            (Vec::new(), before.clone()),
            "{src} {dest}"
        );
    }
}

#[tokio::test]
async fn a_move_across_file_systems_takes_everything_along() {
    let here = tempfile::tempdir().unwrap();
    let Some(there) = elsewhere(here.path()) else { return };
    let src = make(here.path(), "s");
    fs::create_dir_all(src.join("deep/er")).unwrap();
    fs::write(src.join("deep/er/script"), "#!").unwrap();
    fs::set_permissions(src.join("deep/er/script"), Permissions::from_mode(0o751)).unwrap();
    fs::set_permissions(src.join("deep/er"), Permissions::from_mode(0o550)).unwrap();
    symlink("../nothing", src.join("deep/link")).unwrap();
    age(&src);
    let dest = make(there.path(), "d");
    let (expected, kept) = (all(&src), all(&dest));
    let (ended, log) = moved(&src, &dest).await;
    assert_eq!(ended, Ok(()), "{:?}", log.lines);
    assert_eq!(all(&dest), expected);
    let mode = |name: &str| fs::metadata(dest.join(name)).unwrap().permissions().mode() & 0o7777;
    assert_eq!((mode("deep/er/script"), mode("deep/er")), (0o751, 0o550));
    assert_eq!(fs::metadata(&dest).unwrap().modified().unwrap(), changed());
    assert_eq!(all(&there.path().join(format!("d-{}", stamped()))), kept);
    assert_eq!(
        (all(here.path()).len(), fs::read_dir(there.path()).unwrap().count()),
        (0, 2)
    );
}

#[tokio::test]
async fn a_file_and_a_link_go_across_file_systems_too() {
    let here = tempfile::tempdir().unwrap();
    let Some(there) = elsewhere(here.path()) else { return };
    fs::write(here.path().join("f"), "f").unwrap();
    symlink("nothing", here.path().join("l")).unwrap();
    for name in ["f", "l"] {
        let (ended, log) = moved(&here.path().join(name), &there.path().join(name)).await;
        assert_eq!(ended, Ok(()), "{:?}", log.lines);
    }
    assert_eq!(all(there.path()), ["f=f", "l -> nothing"]);
    assert!(all(here.path()).is_empty());
}

#[tokio::test]
async fn a_move_across_file_systems_that_cannot_be_done_changes_nothing() {
    let here = tempfile::tempdir().unwrap();
    let Some(there) = elsewhere(here.path()) else { return };
    let (src, dest) = (make(here.path(), "s"), make(there.path(), "d"));
    let _socket = std::os::unix::net::UnixListener::bind(src.join("socket")).unwrap();
    let (ended, _) = moved(&src, &dest).await;
    let Err(Incomplete::Failed(text)) = ended else {
        panic!("{ended:?}")
    };
    assert!(text.ends_with("/s/socket\" is neither a file nor a folder"), "{text}");
    assert!(src.join("socket").exists() && src.join("file").exists());
    assert_eq!(all(there.path()), ["d/", "d/file=d"]);
}

/// Runs a move in a thread that has mounts of its own, so the command's own thread has to be that one.
fn moved_here(src: &Path, dest: &Path) -> Result<(), FileWorkError> {
    let (lines, _unheard) = tokio::sync::mpsc::unbounded_channel();
    let (_source, abort) = crate::abort::AbortSource::new();
    let command = MoveDirectory {
        src: src.into(),
        dest: dest.into(),
    };
    command.check()?.run(&FileWork::new(abort, lines))
}

#[test]
fn i25_a_move_across_file_systems_does_not_take_what_is_mounted_for_its_own() {
    let here = tempfile::tempdir().unwrap();
    let Some(there) = elsewhere(here.path()) else { return };
    let (src, storage) = (make(here.path(), "s"), make(here.path(), "storage"));
    fs::create_dir(src.join("mnt")).unwrap();
    let before = all(&storage);
    crate::trees::with_own_mounts(|| {
        crate::trees::bind(&storage, &src.join("mnt"));
        let Err(FileWorkError::Failed(why)) = moved_here(&src, &there.path().join("d")) else {
            panic!("it was moved")
        };
        assert!(why.ends_with("/s/mnt\" is another file system, mounted there"), "{why}");
        assert_eq!(all(&storage), before);
        assert_eq!(fs::read_dir(there.path()).unwrap().count(), 0);
        assert!(src.join("file").exists());
    });
}

/// Moves, and aborts as soon as something of the copy is there.
async fn aborted(command: &MoveDirectory, part: &Path) -> Outcome {
    let mut log = RecordingLog::default();
    let mut test = TestCommand::new(&mut log);
    test.tools.patience = Duration::from_secs(60);
    let source = std::mem::replace(&mut test.source, crate::abort::AbortSource::new().0);
    let mut context = test.context();
    let mut under_way = false;
    let mut copy = std::pin::pin!(command.run(&mut context));
    loop {
        tokio::select! {
            biased;
            ended = &mut copy => return ended,
            () = tokio::task::yield_now(), if !under_way => {
                under_way = fs::read_dir(part).is_ok_and(|mut entries| entries.next().is_some());
                if under_way {
                    source.raise(AbortReason::Shutdown);
                }
            }
        }
    }
}

#[tokio::test]
async fn a14_a_move_that_is_aborted_half_way_changes_nothing() {
    const TRIES: usize = 20;
    let mut ended = Ok(());
    // On a busy machine a move may be over before this thread sees it begin.
    for _ in 0..TRIES {
        let here = tempfile::tempdir().unwrap();
        let Some(there) = elsewhere(here.path()) else { return };
        let (src, dest) = (make(here.path(), "s"), make(there.path(), "d"));
        for number in 0..1000 {
            fs::write(src.join(number.to_string()), "x").unwrap();
        }
        let before = all(here.path());
        ended = aborted(&MoveDirectory { src, dest }, &there.path().join(".d.flamenco-part")).await;
        if ended.is_err() {
            assert_eq!(all(here.path()), before);
            assert_eq!(all(there.path()), ["d/", "d/file=d"]);
            break;
        }
    }
    assert_eq!(ended, Err(Incomplete::Aborted(AbortReason::Shutdown)));
}
