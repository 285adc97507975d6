// SPDX-License-Identifier: GPL-3.0-or-later

use std::fs::{File, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::time::Duration;

use super::*;
use crate::abort::{AbortReason, AbortSource};
use crate::command::tests::{RecordingLog, TestCommand, refused};
use crate::outcome::Incomplete;

async fn copied(src: &Path, dest: &Path) -> (Outcome, Vec<String>) {
    let mut log = RecordingLog::default();
    let command = CopyFile {
        src: src.into(),
        dest: dest.into(),
    };
    let ended = command.run(&mut TestCommand::new(&mut log).context()).await;
    (ended, log.lines)
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[tokio::test]
async fn a_copy_has_the_contents_and_no_permissions_of_its_source() {
    let folder = tempfile::tempdir().unwrap();
    let (src, dest) = (folder.path().join("s"), folder.path().join("new/er/d"));
    fs::write(&src, "contents").unwrap();
    fs::set_permissions(&src, Permissions::from_mode(0o700)).unwrap();
    let plain = folder.path().join("plain");
    fs::write(&plain, "").unwrap();
    let (ended, lines) = copied(&src, &dest).await;
    assert_eq!(ended, Ok(()));
    let expected = ["copying", "copied"].map(|verb| format!("copy-file: {verb} {src:?} to {dest:?}"));
    assert_eq!(lines, expected);
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
    assert_eq!(
        (fs::read_to_string(&dest).unwrap().as_str(), mode(&dest)),
        ("contents", mode(&plain))
    );
    assert_eq!(mode(dest.parent().unwrap()) & 0o007, 0);
    assert_eq!(names(dest.parent().unwrap()), ["d"]);
}

#[test]
fn paths_must_be_absolute_and_of_files_and_src_is_looked_at_first() {
    for (parameters, parameter) in [
        ("{}", "src"),
        (r#"{"src":5,"dest":"/d"}"#, "src"),
        (r#"{"src":"rel","dest":"rel"}"#, "src"),
        (r#"{"src":"/s/","dest":"/d"}"#, "src"),
        (r#"{"src":"/s"}"#, "dest"),
        (r#"{"src":"/s","dest":"rel"}"#, "dest"),
        (r#"{"src":"/s","dest":"/new/"}"#, "dest"),
        (r#"{"src":"/s","dest":"/new/.."}"#, "dest"),
    ] {
        let text = refused(&format!(r#"{{"name":"copy-file","parameters":{parameters}}}"#));
        assert!(
            text.starts_with("copy-file: ") && text.contains(&format!("parameter \"{parameter}\"")),
            "{text}"
        );
    }
}

#[tokio::test]
async fn what_cannot_be_copied_is_said_and_nothing_is_made() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    fs::write(at("s"), "s").unwrap();
    fs::write(at("there"), "there").unwrap();
    symlink("nothing", at("dangling")).unwrap();
    nix::unistd::mkfifo(&at("fifo"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    let before = names(folder.path());
    for (src, dest, why) in [
        ("missing", "new", "source path"),
        (
            "$HOME/s",
            "new",
            "does not exist ($HOME is not expanded here: no shell reads this)",
        ),
        ("dangling", "new", "does not exist, not copying anything"),
        ("s", "there", "already exists, not copying anything"),
        ("s", "s", "already exists, not copying anything"),
        ("s", "dangling", "already exists, not copying anything"),
        (".", "new", "is not a regular file"),
        ("fifo", "new", "is not a regular file"),
        ("s", "there/new", "failed to create directories"),
    ] {
        let (ended, _) = copied(&at(src), &at(dest)).await;
        let Err(Incomplete::Failed(text)) = ended else {
            panic!("{src} {dest}: {ended:?}")
        };
        assert!(
            text.starts_with("copy-file: ") && text.contains(why),
            "{src} {dest}: {text}"
        );
        assert_eq!(names(folder.path()), before, "{src} {dest}");
    }
    assert_eq!(fs::read_to_string(at("there")).unwrap(), "there");
}

#[tokio::test]
async fn a_part_that_a_killed_worker_left_is_removed_and_never_written_to() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    fs::write(at("s"), "s").unwrap();
    // Killed between its two last steps, it left the same file under two names; one was moved on.
    fs::write(at("precious"), "precious").unwrap();
    fs::hard_link(at("precious"), at(".d.flamenco-part")).unwrap();
    assert_eq!(copied(&at("s"), &at("d")).await.0, Ok(()));
    assert_eq!(fs::read_to_string(at("precious")).unwrap(), "precious");
    assert_eq!(
        (
            fs::read_to_string(at("d")).unwrap().as_str(),
            names(folder.path()).len()
        ),
        ("s", 3)
    );
}

#[tokio::test]
async fn two_copies_to_one_destination_do_not_mix() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    fs::write(at("s"), "s").unwrap();
    let other = PartialCopy::file(&at("d")).unwrap();
    let (ended, _) = copied(&at("s"), &at("d")).await;
    let Err(Incomplete::Failed(text)) = ended else {
        panic!("{ended:?}")
    };
    assert!(
        text.contains("another process is making the same destination"),
        "{text}"
    );
    other.publish(&at("d")).unwrap();
    assert_eq!(names(folder.path()), ["d", "s"]);
}

#[test]
fn a_destination_that_appeared_meanwhile_is_not_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    for part in [
        PartialCopy::file(&at("d")).unwrap(),
        PartialCopy::folder(&at("e")).unwrap(),
    ] {
        let dest = at(&part.path().file_name().unwrap().to_string_lossy()[1..2]);
        fs::write(&dest, "sooner").unwrap();
        assert_eq!(part.publish(&dest).unwrap_err().kind(), ErrorKind::AlreadyExists);
        assert_eq!(fs::read_to_string(&dest).unwrap(), "sooner");
    }
    assert_eq!(names(folder.path()), ["d", "e"]);
}

#[tokio::test]
async fn a_long_name_has_a_part_too() {
    let folder = tempfile::tempdir().unwrap();
    let (src, dest) = (folder.path().join("s"), folder.path().join("d".repeat(255)));
    fs::write(&src, "s").unwrap();
    assert_eq!(copied(&src, &dest).await.0, Ok(()));
    assert_eq!(names(folder.path()).len(), 2);
}

/// Copies, and aborts as soon as something of the destination is there.
async fn aborted(command: &CopyFile, part: &Path) -> Outcome {
    let mut log = RecordingLog::default();
    let mut test = TestCommand::new(&mut log);
    test.tools.patience = Duration::from_secs(60);
    let source = std::mem::replace(&mut test.source, AbortSource::new().0);
    let mut context = test.context();
    let mut under_way = false;
    let mut copy = std::pin::pin!(command.run(&mut context));
    loop {
        tokio::select! {
            biased;
            ended = &mut copy => return ended,
            () = tokio::task::yield_now(), if !under_way => {
                under_way = fs::metadata(part).is_ok_and(|metadata| metadata.len() > 0);
                if under_way {
                    source.raise(AbortReason::ManagerStopped("cancelled".into()));
                }
            }
        }
    }
}

#[tokio::test]
async fn a14_a_copy_that_is_aborted_half_way_leaves_nothing_and_a_retry_succeeds() {
    const SIZE: u64 = 100 << 20;
    const TRIES: usize = 20;
    let folder = tempfile::tempdir().unwrap();
    let (src, dest) = (folder.path().join("s"), folder.path().join("d"));
    File::create(&src).unwrap().set_len(SIZE).unwrap();
    let command = CopyFile {
        src: src.clone(),
        dest: dest.clone(),
    };
    let mut ended = Ok(());
    // On a busy machine a copy may be over before this thread sees it begin.
    for _ in 0..TRIES {
        ended = aborted(&command, &folder.path().join(".d.flamenco-part")).await;
        if ended.is_err() {
            break;
        }
        fs::remove_file(&dest).unwrap();
    }
    let cancelled = AbortReason::ManagerStopped("cancelled".into());
    assert_eq!(ended, Err(Incomplete::Aborted(cancelled)));
    assert_eq!(names(folder.path()), ["s"]);
    assert_eq!(copied(&src, &dest).await.0, Ok(()));
    assert_eq!(fs::metadata(&dest).unwrap().len(), SIZE);
}
