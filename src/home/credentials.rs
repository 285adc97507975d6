// SPDX-License-Identifier: GPL-3.0-or-later

//! Who this worker is to the Manager: the Go worker's `flamenco-worker-credentials.yaml`.
//!
//! Lost credentials make a new worker in the Manager's list, and the old one stays there. So a file that
//! is there and cannot be used is an error for a person to look at, never a reason to register anew.
//!
//! A file that was cut off (the Go worker does not sync before it renames) is still YAML, with half a
//! secret. Both workers end the file with a newline, and the secret's line is the last one: **a secret
//! counts if its line is ended, or if it has all of the 64 hex digits** both of them choose (for files
//! that were put there by `printf` or a secrets store).

use std::fmt;
use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::machine;
use super::open::Home;
use crate::blocking::run_blocking;
use crate::document::{Problem, SourceFile, TableEntry, Value, yaml};
use crate::{clock, files};

const NAME: &str = "flamenco-worker-credentials.yaml";

/// What is written and removed to see whether there is room, and how much: more than credentials ever take.
const TRIAL: &str = "room";
const TRIAL_BYTES: usize = 4096;

/// bcrypt takes no more, and the Manager uses that.
const MAX_SECRET_BYTES: usize = 72;
/// 32 random bytes in hex, as in the Go worker.
const SECRET_DIGITS: usize = 64;
const MAX_FILE_BYTES: u64 = 64 << 10;

/// What the Manager knows this worker by.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Credentials {
    /// The UUID it was given at its registration.
    pub id: String,
    /// What it chose at its registration; at most 72 bytes.
    pub secret: String,
}

impl fmt::Debug for Credentials {
    /// Without the secret: this may reach a log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

/// The credentials cannot be read or written. Exit code 78 at the start.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CredentialsError {
    /// `file:line:column`, what is wrong and what to do; never the line itself.
    #[error("{0:#}")]
    Broken(Problem),
    /// The file system does not do what is asked of it.
    #[error("cannot {what} {path}", path = .path.display())]
    Io {
        /// `read`, `write` or another verb.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// No secret can be chosen.
    #[error("the system has no random numbers")]
    Random(#[source] getrandom::Error),
}

impl CredentialsError {
    /// The disk has no room, or none for us: that passes.
    pub(crate) fn is_full(&self) -> bool {
        match self {
            Self::Io { source, .. } => files::is_full(source),
            Self::Broken(_) | Self::Random(_) => false,
        }
    }
}

impl Credentials {
    /// A secret for a new registration: 32 bytes of the kernel's random numbers as 64 hex digits.
    ///
    /// # Errors
    /// [`CredentialsError::Random`], on kernels that have none.
    pub(crate) fn new_secret() -> Result<String, CredentialsError> {
        let mut bytes = [0u8; SECRET_DIGITS / 2];
        getrandom::fill(&mut bytes).map_err(CredentialsError::Random)?;
        Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
    }

    /// The credentials in the home `dir`, ours or another worker's; changes nothing. `None` when there are none.
    ///
    /// # Errors
    /// A file that is there and cannot be used, whatever is wrong with it.
    pub(crate) fn of(dir: &Path) -> Result<Option<Self>, CredentialsError> {
        let path = dir.join(NAME);
        let Some(text) = read(&path).map_err(|source| io_error("read", &path, source))? else {
            return Ok(None);
        };
        let source = SourceFile { path, text };
        Self::parse(&source).map(Some).map_err(CredentialsError::Broken)
    }

    fn parse(source: &SourceFile) -> Result<Self, Problem> {
        let end = source.text.len();
        let broken = |what: &str, at: usize| {
            Problem::new(what)
                .at(source.location_of_secret(&(at..at)))
                .advise("restore it from a backup, or delete it to register this worker as a new one")
        };
        if let Some(at) = source.text.find('\0') {
            return Err(broken("the file is damaged, it has zero bytes", at));
        }
        // The parser's message may show what it met.
        let Ok(document) = yaml::parse(source) else {
            let at = yaml::parse(source).err().and_then(|problem| {
                let location = problem.location()?;
                Some(offset(&source.text, location.line, location.column))
            });
            return Err(broken(
                "the credentials are damaged, they are not YAML",
                at.unwrap_or(end),
            ));
        };
        let entries = match document.map(|node| node.value) {
            None | Some(Value::Nothing) => return Err(broken("the file has no credentials", end)),
            Some(Value::Table(entries)) => entries,
            Some(_) => return Err(broken("the credentials are damaged, keys are expected", 0)),
        };
        let id = word(&entries, "worker_id", end).map_err(|(what, at)| broken(&what, at))?;
        let secret = word(&entries, "worker_secret", end).map_err(|(what, at)| broken(&what, at))?;
        if secret.len() > MAX_SECRET_BYTES {
            return Err(broken(
                "`worker_secret` is longer than the 72 bytes the Manager takes",
                end,
            ));
        }
        if !source.text.ends_with('\n') && !is_whole_secret(&secret) {
            return Err(broken("the file ends within a line, it may have been cut off", end));
        }
        Ok(Self { id, secret })
    }

    fn text(&self) -> String {
        let now = clock::now().strftime("%Y-%m-%d %H:%M:%S %:z");
        // In quotes: sixty-four digits with an `e` among them are a number to YAML. And as JSON, which is YAML: nothing in
        // an id can end its line.
        let [id, secret] = [&self.id, &self.secret].map(|text| serde_json::Value::from(text.as_str()));
        format!(
            "# Credentials of this Flamenco Worker: who it is to the Manager. Not meant to be edited.\n\
             #\n\
             # Without this file the worker registers as a new one, and the old one stays in the Manager's\n\
             # list. Each worker has its own: copied to another node, both are the same to the Manager.\n\
             # Whoever reads the secret can speak for this worker.\n\
             #\n\
             # This file was written on {now}\n\n\
             worker_id: {id}\nworker_secret: {secret}\n"
        )
    }
}

fn word(entries: &[TableEntry], key: &str, end: usize) -> Result<String, (String, usize)> {
    // Of several the last, as everywhere in the Go worker's files.
    let Some(entry) = entries.iter().rev().find(|entry| entry.key == key) else {
        return Err((format!("`{key}` is missing"), end));
    };
    let at = entry.node.span.start;
    match entry.node.text() {
        Ok(text) if text.trim().is_empty() => Err((format!("`{key}` is empty"), at)),
        Ok(text) => Ok(text.to_owned()),
        Err(_) if entry.node.value == Value::Nothing => Err((format!("`{key}` is empty"), at)),
        Err(complaint) => Err((format!("`{key}` {}", complaint.what), at)),
    }
}

fn is_whole_secret(secret: &str) -> bool {
    secret.len() == SECRET_DIGITS && secret.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// The byte at a line and column, both from 1.
fn offset(text: &str, line: usize, column: usize) -> usize {
    let start: usize = text.split_inclusive('\n').take(line - 1).map(str::len).sum();
    let within = text[start..].char_indices().nth(column - 1);
    within.map_or(text.len(), |(at, _)| start + at)
}

/// Whether a worker registered in the home `dir`. Blocks.
pub(crate) fn has_credentials(dir: &Path) -> bool {
    dir.join(NAME).exists()
}

impl Home {
    /// Where the credentials are, or would be.
    pub(crate) fn credentials_file(&self) -> PathBuf {
        self.dir.join(NAME)
    }

    /// Reads the credentials. `None` when there are none: not registered yet. A file that others can read
    /// is closed to them (mode 0600).
    ///
    /// # Errors
    /// A file that is there and cannot be used, whatever is wrong with it.
    pub(crate) async fn credentials(&self) -> Result<Option<Credentials>, CredentialsError> {
        let (path, dir) = (self.credentials_file(), self.dir.clone());
        run_blocking(move || {
            // Where it is not ours to change (a mounted secret) nothing is said of it.
            if fs::metadata(&path).is_ok_and(|file| file.permissions().mode() & 0o077 != 0) {
                fs::set_permissions(&path, Permissions::from_mode(0o600)).ok();
            }
            Credentials::of(&dir)
        })
        .await
    }

    /// Replaces the credentials; they are on the disk when this returns. Old ones are lost: see
    /// [`set_aside_credentials`](Self::set_aside_credentials).
    ///
    /// # Errors
    /// Whatever the file system says; the old file is then as it was.
    pub(crate) async fn save_credentials(&self, credentials: &Credentials) -> Result<(), CredentialsError> {
        let (path, text, machine) = (self.credentials_file(), credentials.text(), self.machine_file());
        run_blocking(move || {
            // First, so that the new credentials never stand beside another machine's name.
            machine::note(&machine).map_err(|source| io_error("write", &machine, source))?;
            files::replace_durably(&path, text.as_bytes()).map_err(|source| io_error("write", &path, source))
        })
        .await
    }

    /// Whether new credentials could be saved: a registration that cannot be kept would be made again, and each stays at
    /// the Manager.
    ///
    /// # Errors
    /// Whatever the file system says.
    pub(crate) async fn has_room_for_credentials(&self) -> Result<(), CredentialsError> {
        let path = self.dir.join(TRIAL);
        run_blocking(move || {
            let tried = files::replace_durably(&path, &[b'\n'; TRIAL_BYTES]);
            fs::remove_file(&path).ok();
            tried.map_err(|source| io_error("write", &path, source))
        })
        .await
    }

    /// Moves the credentials out of the way, for a registration that was deleted at the Manager. They stay
    /// beside, for the case that it was not: `flamenco-worker-credentials-until-20261124T062945Z.yaml`.
    /// Answers with the new path; `None` when there was nothing to move.
    ///
    /// # Errors
    /// Whatever the file system says.
    pub(crate) async fn set_aside_credentials(&self) -> Result<Option<PathBuf>, CredentialsError> {
        let path = self.credentials_file();
        let now = clock::timestamp().strftime("%Y%m%dT%H%M%SZ").to_string();
        run_blocking(move || set_aside(&path, &now).map_err(|source| io_error("set aside", &path, source))).await
    }
}

fn set_aside(path: &Path, now: &str) -> io::Result<Option<PathBuf>> {
    let stem = NAME.trim_end_matches(".yaml");
    // More than once in a second only if the clock was set back.
    let names = (1..).map(|n| if n == 1 { String::new() } else { format!("-{n}") });
    for again in names.take(100) {
        let aside = path.with_file_name(format!("{stem}-until-{now}{again}.yaml"));
        if aside.exists() {
            continue;
        }
        match fs::rename(path, &aside) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
            Ok(()) => return files::sync_directory_of(path).map(|()| Some(aside)),
        }
    }
    Err(io::ErrorKind::AlreadyExists.into())
}

fn read(path: &Path) -> io::Result<Option<String>> {
    match files::read(path, MAX_FILE_BYTES) {
        Ok(bytes) => Ok(Some(String::from_utf8_lossy(&bytes).into_owned())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn io_error(what: &'static str, path: &Path, source: io::Error) -> CredentialsError {
    CredentialsError::Io {
        what,
        path: path.to_owned(),
        source,
    }
}
