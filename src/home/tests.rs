// SPDX-License-Identifier: GPL-3.0-or-later

use std::error::Error;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use proptest::prelude::*;
use tempfile::TempDir;
use tokio::time::Instant;

use super::*;
use crate::cli::Arguments;
use crate::config::{Config, Environment};

const NAME: &str = "flamenco-worker-credentials.yaml";
const ID: &str = "4bcc7ad4-1a16-4d49-b0e5-57a1b0b4e58a";
const SECRET: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

async fn home() -> (TempDir, Home) {
    let dir = tempfile::tempdir().unwrap();
    let home = Home::open(dir.path().join("a/home"), Duration::ZERO).await.unwrap();
    (dir, home)
}

fn ours() -> Credentials {
    Credentials {
        id: ID.into(),
        secret: SECRET.into(),
    }
}

/// As the Go worker writes it.
fn go_file() -> String {
    format!(
        "# Credentials file for Flamenco Worker.\n#\n# NOTE: this file may be overwritten by Flamenco Worker.\n#\n\
         # This file was written on 2026-11-24 06:29:45 +00:00\n\nworker_id: {ID}\nworker_secret: {SECRET}\n"
    )
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

#[test]
fn the_home_is_where_the_operator_or_systemd_or_the_go_worker_has_it() {
    let located = |variables: &[(&str, &str)]| {
        let environment = Environment {
            directory: "/cwd".into(),
            variables: variables
                .iter()
                .map(|(name, value)| (name.into(), value.into()))
                .collect(),
            ..Environment::default()
        };
        let (config, _) = Config::load(&Arguments::default(), &environment).unwrap();
        locate(&config, &environment).ok()
    };
    let mut variables = vec![
        ("FLAMENCO_HOME", "/flamenco"),
        ("STATE_DIRECTORY", ":/var/lib/a:/var/lib/b"),
        ("XDG_DATA_HOME", "/data"),
        ("HOME", "/home/r"),
    ];
    for expected in [
        "/flamenco",
        "/var/lib/a",
        "/data/flamenco",
        "/home/r/.local/share/flamenco",
    ] {
        assert_eq!(located(&variables), Some(expected.into()));
        variables.remove(0);
    }
    assert_eq!(located(&variables), None);
    assert_eq!(located(&[("FLAMENCO_HOME", "here")]), Some("/cwd/here".into()));
}

#[tokio::test]
async fn a_home_is_made_for_its_user_only() {
    let (_dir, home) = home().await;
    assert_eq!(mode(home.dir()), 0o700);
    assert_eq!(mode(&home.dir().join("flamenco-worker.lock")), 0o600);
    assert_eq!(home.spool_dir(), home.dir().join("spool"));
}

#[tokio::test]
async fn g1_a_second_worker_is_told_of_the_first() {
    let (_dir, first) = home().await;
    let error = Home::open(first.dir().to_owned(), Duration::ZERO).await.unwrap_err();
    let HomeError::InUse {
        holder: Some(holder), ..
    } = &error
    else {
        panic!("{error:?}");
    };
    assert_eq!(holder.pid.cast_unsigned(), std::process::id());
    assert!(
        error
            .to_string()
            .contains(&format!("process id {}, uses the home /", holder.pid)),
        "{error}"
    );
    let dir = first.dir().to_owned();
    drop(first);
    Home::open(dir, Duration::ZERO).await.unwrap();
}

#[tokio::test]
async fn g8_a_worker_of_another_host_is_named_with_its_host() {
    let (_dir, first) = home().await;
    let text = "pid: 77\nhost: other-node\nboot: b\nstarted: s\nversion: 0.1.0\n";
    fs::write(first.dir().join("flamenco-worker.lock"), text).unwrap();
    let error = Home::open(first.dir().to_owned(), Duration::ZERO)
        .await
        .unwrap_err()
        .to_string();
    assert!(
        error.starts_with("a worker on other-node, with process id 77 there, uses the home"),
        "{error}"
    );
    assert!(
        error.ends_with("set FLAMENCO_HOME to a directory of its own on each node"),
        "{error}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_predecessor_on_its_way_out_is_waited_for_but_not_for_ever() {
    let (_dir, first) = home().await;
    let dir = first.dir().to_owned();
    let start = Instant::now();
    let refused = Home::open(dir.clone(), Duration::from_secs(10)).await;
    assert!(matches!(refused, Err(HomeError::InUse { .. })));
    assert_eq!(start.elapsed().as_secs(), 1, "it means to stay");
    first.note_leaving();
    let refused = Home::open(dir.clone(), Duration::from_secs(9)).await;
    assert!(matches!(refused, Err(HomeError::InUse { .. })));
    assert_eq!(start.elapsed().as_secs(), 10);
    let leaves = async {
        tokio::time::sleep(Duration::from_secs(3)).await;
        drop(first);
    };
    let (second, ()) = tokio::join!(Home::open(dir, Duration::from_secs(10)), leaves);
    second.unwrap();
    assert_eq!(start.elapsed().as_secs(), 13);
}

#[tokio::test]
async fn what_a_dead_worker_left_in_the_lock_file_is_nothing() {
    let (_dir, first) = home().await;
    let (dir, lock) = (first.dir().to_owned(), first.dir().join("flamenco-worker.lock"));
    drop(first);
    fs::write(&lock, "pid: 1\nhost: other\n".repeat(300)).unwrap();
    let second = Home::open(dir, Duration::ZERO).await.unwrap();
    let text = fs::read_to_string(&lock).unwrap();
    assert!(text.starts_with(&format!("pid: {}\n", std::process::id())), "{text}");
    drop(second);
}

#[tokio::test]
async fn no_program_we_start_inherits_the_lock() {
    let (_dir, home) = home().await;
    let lock = home.dir().join("flamenco-worker.lock");
    let fds = fs::read_dir("/proc/self/fd").unwrap().flatten();
    let ours: Vec<_> = fds
        .filter(|fd| fs::read_link(fd.path()).is_ok_and(|to| to == lock))
        .collect();
    assert_eq!(ours.len(), 1);
    let info = fs::read_to_string(Path::new("/proc/self/fdinfo").join(ours[0].file_name())).unwrap();
    let flags = info
        .lines()
        .find_map(|line| line.strip_prefix("flags:"))
        .unwrap()
        .trim();
    assert_ne!(i32::from_str_radix(flags, 8).unwrap() & nix::libc::O_CLOEXEC, 0);
}

#[tokio::test]
async fn a_copied_home_is_another_and_a_renamed_one_is_not() {
    let (dir, home) = home().await;
    let mark = home.mark().to_owned();
    assert!(
        mark.split('-').all(|part| u64::from_str_radix(part, 16).is_ok()),
        "{mark}"
    );
    drop(home);
    let moved = dir.path().join("moved");
    fs::rename(dir.path().join("a/home"), &moved).unwrap();
    assert_eq!(Home::open(moved, Duration::ZERO).await.unwrap().mark(), mark);
    let other = Home::open(dir.path().join("copy"), Duration::ZERO).await.unwrap();
    assert_ne!(other.mark(), mark);
}

#[tokio::test]
async fn d3_a_home_that_cannot_be_is_refused_with_what_is_in_the_way() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    fs::write(&file, "").unwrap();
    let error = Home::open(file.clone(), Duration::ZERO).await.unwrap_err();
    assert!(matches!(error, HomeError::NotADirectory(_)), "{error:?}");
    let error = Home::open(file.join("below/it"), Duration::ZERO).await.unwrap_err();
    let text = error.to_string();
    assert!(
        text.contains("/file: owner ") && text.contains("mode 0") && text.contains("; we are user "),
        "{text}"
    );
    // A name that is taken stops a lock file even for root.
    let home = dir.path().join("home");
    fs::create_dir_all(home.join("flamenco-worker.lock")).unwrap();
    let error = Home::open(home, Duration::ZERO).await.unwrap_err();
    assert!(matches!(error, HomeError::NotWritable { .. }), "{error:?}");
    assert!(error.source().is_some());
    // proc is a file system in which nobody can make anything.
    let error = Home::open("/proc/nothing/home".into(), Duration::ZERO)
        .await
        .unwrap_err();
    assert!(
        error
            .to_string()
            .contains("set FLAMENCO_HOME (/proc: owner root, group root, mode 0555"),
        "{error}"
    );
}

#[tokio::test]
async fn credentials_are_kept_and_closed_to_others() {
    let (_dir, home) = home().await;
    assert_eq!(home.credentials().await.unwrap(), None);
    home.save_credentials(&ours()).await.unwrap();
    assert_eq!(home.credentials().await.unwrap(), Some(ours()));
    let path = home.dir().join(NAME);
    assert_eq!(mode(&path), 0o600);
    assert!(
        fs::read_to_string(&path)
            .unwrap()
            .starts_with("# Credentials of this Flamenco Worker")
    );
    fs::write(&path, go_file()).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    assert_eq!(home.credentials().await.unwrap(), Some(ours()));
    assert_eq!(mode(&path), 0o600);
}

#[tokio::test]
async fn credentials_are_set_aside_and_not_over_older_ones() {
    let (_dir, home) = home().await;
    assert_eq!(home.set_aside_credentials().await.unwrap(), None);
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..3 {
        home.save_credentials(&ours()).await.unwrap();
        let aside = home.set_aside_credentials().await.unwrap().unwrap();
        assert!(fs::read_to_string(&aside).unwrap().contains(SECRET));
        assert!(
            aside
                .file_name()
                .unwrap()
                .to_str()
                .unwrap()
                .starts_with("flamenco-worker-credentials-until-20")
        );
        assert!(seen.insert(aside));
    }
    assert_eq!(home.credentials().await.unwrap(), None);
}

#[tokio::test]
async fn b10_credentials_cut_off_anywhere_are_never_half_a_secret() {
    let (_dir, home) = home().await;
    home.save_credentials(&ours()).await.unwrap();
    let path = home.dir().join(NAME);
    let mut other = go_file().replace(SECRET, "chosen by hand");
    for text in [
        fs::read_to_string(&path).unwrap(),
        go_file(),
        std::mem::take(&mut other),
    ] {
        fs::write(&path, &text).unwrap();
        let whole = home.credentials().await.unwrap();
        for cut in 0..text.len() {
            fs::write(&path, &text[..cut]).unwrap();
            match home.credentials().await {
                Ok(found) => assert_eq!((&found, cut), (&whole, text.len() - 1), "{:?}", &text[..cut]),
                Err(error) => assert!(!format!("{error} {error:?}").contains("0123456789ab"), "{error}"),
            }
            // A file system that made the file long before it wrote it.
            fs::write(&path, format!("{:\0<1$}", &text[..cut], text.len())).unwrap();
            assert!(home.credentials().await.is_err(), "{cut}");
        }
    }
}

#[tokio::test]
async fn broken_credentials_are_told_with_their_place() {
    let (_dir, home) = home().await;
    let path = home.dir().join(NAME);
    for (text, wrong) in [
        ("", "1:1: the file has no credentials; restore it"),
        ("# only\n", "2:1: the file has no credentials"),
        ("\0\0\0\0", "1:1: the file is damaged, it has zero bytes"),
        ("worker_id: a\n", "2:1: `worker_secret` is missing"),
        ("worker_id: a\nworker_secret:\n", "`worker_secret` is empty"),
        ("worker_id: ''\nworker_secret: b\n", "1:12: `worker_id` is empty"),
        (
            "worker_id: [a]\nworker_secret: b\n",
            "1:12: `worker_id` must be a text in quotes, not a list",
        ),
        (
            "worker_id: a\nworker_secret: 'b\n",
            "the credentials are damaged, they are not YAML",
        ),
        ("- a\n", "1:1: the credentials are damaged, keys are expected"),
        (
            "worker_id: a\nworker_secret: b",
            "2:17: the file ends within a line, it may have been cut off",
        ),
    ] {
        fs::write(&path, text).unwrap();
        let error = home.credentials().await.unwrap_err().to_string();
        assert!(
            error.starts_with(path.to_str().unwrap()) && error.contains(wrong),
            "{text:?}: {error}"
        );
        assert!(
            error.contains("delete it to register this worker as a new one"),
            "{error}"
        );
        assert!(!error.contains('\n'), "{error}");
        assert_eq!(fs::read_to_string(&path).unwrap(), text, "it is never touched");
    }
}

#[tokio::test]
async fn the_signed_on_mark_is_there_from_sign_on_to_sign_off() {
    let (_dir, home) = home().await;
    assert!(!home.signed_on());
    home.remember_signed_on().await.unwrap();
    home.remember_signed_on().await.unwrap();
    assert!(home.signed_on());
    home.forget_signed_on().unwrap();
    home.forget_signed_on().unwrap();
    assert!(!home.signed_on());
}

#[test]
fn a_secret_is_64_hex_digits_and_another_each_time() {
    let (one, two) = (Credentials::new_secret().unwrap(), Credentials::new_secret().unwrap());
    assert!(one.len() == 64 && one.bytes().all(|byte| byte.is_ascii_hexdigit()));
    assert_ne!(one, two);
    assert!(
        !format!(
            "{:?}",
            Credentials {
                id: ID.into(),
                secret: one.clone()
            }
        )
        .contains(&one)
    );
}

proptest! {
    // Each case is a home on the disk.
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn whatever_is_in_the_file_is_read_or_refused(text in "(worker_(id|secret): ?[\"'|>&*!-]?\\PC{0,20}\n?){0,3}") {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(NAME), text).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let home = runtime.block_on(Home::open(dir.path().to_owned(), Duration::ZERO)).unwrap();
        if let Err(error) = runtime.block_on(home.credentials()) {
            prop_assert!(error.to_string().contains(NAME));
        }
    }
}
