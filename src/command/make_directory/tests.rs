// SPDX-License-Identifier: GPL-3.0-or-later

use std::os::unix::fs::symlink;

use super::*;
use crate::command::tests::{RecordingLog, TestCommand, refused};
use crate::outcome::Incomplete;

async fn made(path: &Path) -> (Outcome, Vec<String>) {
    let mut log = RecordingLog::default();
    let ended = MakeDirectory { path: path.into() }
        .run(&mut TestCommand::new(&mut log).context())
        .await;
    (ended, log.lines)
}

#[tokio::test]
async fn a_folder_is_made_with_those_above_it_and_may_exist() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a/b/c");
    for _ in 0..2 {
        let (ended, lines) = made(&path).await;
        assert_eq!(ended, Ok(()));
        assert_eq!(lines, [format!("make-directory: creating directory {path:?}")]);
        assert!(path.is_dir());
    }
}

#[tokio::test]
async fn what_stands_in_the_way_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    fs::write(at("file"), "").unwrap();
    symlink("nothing", at("link")).unwrap();
    for (path, culprit, what) in [
        ("file", "file", "is not a directory"),
        ("file/a/b", "file", "is not a directory"),
        ("link", "link", "is a link to nothing"),
        ("link/a", "link", "is a link to nothing"),
    ] {
        let text = format!(
            "make-directory: could not create directory {:?}: {:?} {what}",
            at(path),
            at(culprit)
        );
        assert_eq!(made(&at(path)).await.0, Err(Incomplete::Failed(text)));
    }
    let long = at(&"n".repeat(300));
    let (ended, _) = made(&long).await;
    assert!(
        matches!(&ended, Err(Incomplete::Failed(text)) if text.ends_with("File name too long (ENAMETOOLONG)")),
        "{ended:?}"
    );
}

#[test]
fn a_path_is_needed() {
    let text = refused(r#"{"name":"make-directory","parameters":{"path":""}}"#);
    assert_eq!(
        text,
        "make-directory: parameter \"path\" has invalid value \"\": expected a path"
    );
}
