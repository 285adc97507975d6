// SPDX-License-Identifier: GPL-3.0-or-later

//! Finds the file to read: the first one that is there.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::environment::Environment;
use super::error::Warning;
use crate::document::{Problem, SourceFile};
use crate::files;
use crate::handover::FOUND_CONFIGURATION;

/// A configuration is a page of text. The limit keeps out a file that was named by mistake, such as a render.
const MAX_BYTES: u64 = 1 << 20;

const TOML: &str = "flamenco-worker.toml";
const YAML: &str = "flamenco-worker.yaml";
/// The file that packages bring to the system's directory. It is the last one there: as it comes it sets nothing, and it
/// must not hide what an operator wrote.
const SHIPPED: &str = "worker.toml";

/// What a file is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FileFormat {
    /// Our own format.
    Toml,
    /// The Go worker's format.
    Yaml,
}

/// The file that is read.
#[derive(Debug)]
pub(crate) struct ConfigFile {
    pub(crate) source: SourceFile,
    pub(crate) format: FileFormat,
}

/// Finds and reads the file. `None` when there is none, which is fine. After a reload that is the one that was found before: what
/// tasks may write can be where it is looked for first.
///
/// # Errors
/// A file that is there and cannot be read, because the next in line is not what the operator meant; a file that was asked
/// for and is not there.
pub(crate) fn find(
    asked: Option<&Path>,
    environment: &Environment,
    warnings: &mut Vec<Warning>,
) -> Result<Option<ConfigFile>, Problem> {
    if let Some(path) = asked {
        let path = environment.absolute(path);
        return match read(&path)? {
            Some(text) => Ok(Some(found(path, text))),
            None => Err(Problem::new(format!("{}: there is no such file", path.display()))
                .advise("it was asked for with --config")),
        };
    }
    if let Some(path) = environment.get(FOUND_CONFIGURATION).map(PathBuf::from) {
        let Some(text) = read(&path)? else {
            return Err(
                Problem::new(format!("{}: there is no such file any more", path.display()))
                    .advise("this worker was started with it: start it anew to have another one"),
            );
        };
        warnings.extend(ignored_before(&path, environment));
        return Ok(Some(found(path, text)));
    }
    for (directory, names) in places(environment) {
        if is_closed(&directory) {
            warnings.push(Problem::new(format!(
                "{} is closed to this user: a configuration there is not read",
                directory.display()
            )));
            continue;
        }
        for (index, name) in names.iter().enumerate() {
            let path = directory.join(name);
            if let Some(text) = read(&path)? {
                warnings.extend(
                    names[index + 1..]
                        .iter()
                        .filter_map(|other| ignored_beside(&path, other)),
                );
                return Ok(Some(found(path, text)));
            }
        }
    }
    Ok(None)
}

/// Where a file is looked for, in order: folders, and names in them.
fn places(environment: &Environment) -> impl Iterator<Item = (PathBuf, &'static [&'static str])> {
    let xdg = environment.xdg("XDG_CONFIG_HOME", ".config");
    let xdg = xdg.map(|directory| directory.join("flamenco"));
    let own = [Some(environment.directory.clone()), xdg].into_iter().flatten();
    let own = own.map(|directory| (directory, [TOML, YAML].as_slice()));
    own.chain([(environment.system.clone(), [TOML, YAML, SHIPPED].as_slice())])
}

/// Where a file would be found before that one, or at all where there is none. Before one that was asked for none is.
pub(crate) fn sought_before(file: Option<&Path>, environment: &Environment) -> Vec<PathBuf> {
    let mut all: Vec<_> = sought(environment).collect();
    if let Some(file) = file {
        let before = all.iter().position(|place| place == file).unwrap_or(0);
        all.truncate(before);
    }
    all
}

/// All files that are looked for, in order.
fn sought(environment: &Environment) -> impl Iterator<Item = PathBuf> {
    places(environment).flat_map(|(directory, names)| names.iter().map(move |name| directory.join(name)))
}

/// A warning if another file would be found first now than that with which this worker was started.
fn ignored_before(path: &Path, environment: &Environment) -> Option<Warning> {
    let first = sought(environment).find(|place| place.exists())?;
    (first != path).then(|| {
        Problem::new(format!("{} is not read", first.display())).advise(format!(
            "this worker goes on with {}, with which it was started; a new start takes the other one",
            path.display()
        ))
    })
}

/// Whether this user cannot see into the directory. `setpriv` and `su` keep the directory and `HOME` of their caller, which
/// say nothing about where the configuration is.
fn is_closed(directory: &Path) -> bool {
    fs::metadata(directory.join(TOML)).is_err_and(|error| error.kind() == io::ErrorKind::PermissionDenied)
}

fn found(path: PathBuf, text: String) -> ConfigFile {
    let yaml = path
        .extension()
        .is_some_and(|extension| extension == "yaml" || extension == "yml");
    ConfigFile {
        format: if yaml { FileFormat::Yaml } else { FileFormat::Toml },
        source: SourceFile { path, text },
    }
}

/// A warning if the other file is there too: the operator may be editing a file that is not read.
fn ignored_beside(path: &Path, other: &str) -> Option<Warning> {
    let other = path.with_file_name(other);
    other.exists().then(|| {
        Problem::new(format!("{} is not read", other.display())).advise(format!("{} goes first", path.display()))
    })
}

/// The text of a file; `None` where there is no such file.
fn read(path: &Path) -> Result<Option<String>, Problem> {
    let cannot = |error: io::Error| Problem::new(format!("{}: cannot be read: {error}", path.display()));
    let bytes = match files::read(path, MAX_BYTES) {
        Ok(bytes) => bytes,
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Ok(None);
        }
        Err(error) if error.kind() == io::ErrorKind::FileTooLarge => {
            return Err(Problem::new(format!(
                "{}: this is no configuration file, it is larger than 1 MiB",
                path.display()
            )));
        }
        Err(error) => return Err(cannot(error)),
    };
    match String::from_utf8(bytes).or_else(|error| from_utf16(error.as_bytes()).ok_or(error)) {
        // Windows editors start with a byte order mark.
        Ok(text) => Ok(Some(text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text))),
        Err(error) => {
            let at = error.utf8_error().valid_up_to();
            let source = SourceFile {
                path: path.to_owned(),
                text: String::from_utf8_lossy(error.as_bytes()).into_owned(),
            };
            Err(Problem::new("the file is not UTF-8").at(source.location(&(at..at))))
        }
    }
}

/// The text of a file that its first two bytes say is UTF-16, as some editors of Windows save; the Go worker reads it.
fn from_utf16(bytes: &[u8]) -> Option<String> {
    let word: fn([u8; 2]) -> u16 = match bytes {
        [0xff, 0xfe, ..] => u16::from_le_bytes,
        [0xfe, 0xff, ..] => u16::from_be_bytes,
        _ => return None,
    };
    let (words, rest) = bytes.as_chunks::<2>();
    let words: Vec<_> = words.iter().map(|bytes| word(*bytes)).collect();
    rest.is_empty().then(|| String::from_utf16(&words).ok())?
}
