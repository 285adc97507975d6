// SPDX-License-Identifier: GPL-3.0-or-later

//! Explains why a program may not have started, and guesses which program was meant. It changes nothing, and may block on a
//! slow file system.

use std::ffi::OsStr;
use std::fs;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;

use super::not_expanded::not_expanded;
use super::text::quoted;
use crate::files;

/// How similar two names must be for one to be suggested instead of the other: 0 to 1, by Jaro and Winkler.
const ALIKE: f64 = 0.9;
/// The longest `#!` line that the kernel reads, in bytes.
const SHEBANG: usize = 256;

/// What an operator or the author of a job script should know; `None` if nothing is found. `errno` is what the system
/// reported for `exe`. For a name without a `/` that is that the name is not on PATH.
pub(super) fn start_hint(exe: &str, errno: Errno) -> Option<String> {
    if !matches!(
        errno,
        Errno::ENOENT | Errno::ENOTDIR | Errno::EACCES | Errno::ENOEXEC | Errno::ELOOP
    ) {
        return None;
    }
    if let Some(words) = not_expanded(Path::new(exe)).filter(|_| errno == Errno::ENOENT) {
        return Some(words);
    }
    if let Some(variable) = unexpanded(exe) {
        return Some(format!("the Manager has no value for {variable} on platform linux"));
    }
    if exe.contains('/') {
        of_path(Path::new(exe), errno)
    } else {
        of_name(exe)
    }
}

/// The path of the program `name` on PATH, if there is one.
pub(super) fn find_on_path(name: &str) -> Option<PathBuf> {
    find_program(std::env::var_os("PATH").as_deref(), name)
}

/// The same for a given value of PATH.
pub(crate) fn find_program(path: Option<&OsStr>, name: &str) -> Option<PathBuf> {
    folders_of(path)
        .into_iter()
        .map(|folder| folder.join(name))
        .find(|path| is_program(path))
}

/// `{blender}` in `{blender} -b`: a variable that the Manager did not replace.
fn unexpanded(exe: &str) -> Option<&str> {
    let start = exe.find('{')?;
    let end = start + exe[start..].find('}')?;
    let name = &exe[start + 1..end];
    let plain = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-');
    (!name.is_empty() && name.chars().all(plain)).then_some(&exe[start..=end])
}

fn of_name(name: &str) -> Option<String> {
    if is_program(Path::new(name)) {
        return Some(format!(
            "it is in the worker's directory, which is not searched; did you mean {}?",
            quoted(&format!("./{name}"))
        ));
    }
    if let Some(path) = words_too(name).and_then(find_on_path) {
        return Some(format!(
            "there is {}; arguments do not belong into the program's name",
            quoted_path(&path)
        ));
    }
    let path = std::env::var_os("PATH");
    let found = folders_of(path.as_deref())
        .into_iter()
        .find_map(|folder| nearest(&folder, name, Path::new("")))?;
    Some(format!("did you mean {}?", quoted_path(&found)))
}

fn of_path(path: &Path, errno: Errno) -> Option<String> {
    match fs::symlink_metadata(path) {
        Err(_) => of_missing(path),
        Ok(metadata) if metadata.is_symlink() && fs::metadata(path).is_err() => {
            let target = fs::read_link(path).ok()?;
            if errno == Errno::ELOOP {
                return Some(format!(
                    "it is a link to {}, which leads back to it",
                    quoted_path(&target)
                ));
            }
            Some(format!(
                "it is a link to {}, which does not exist",
                quoted_path(&target)
            ))
        }
        Ok(_) => of_file(path, errno),
    }
}

fn of_missing(path: &Path) -> Option<String> {
    let text = path.to_str()?;
    if let Some(program) = words_too(text).filter(|program| is_program(Path::new(program))) {
        return Some(format!(
            "there is {}; arguments do not belong into the program's name",
            quoted(program)
        ));
    }
    let missing = path
        .ancestors()
        // The last ancestor of a relative path is empty: it stands for the working directory.
        .take_while(|ancestor| !ancestor.as_os_str().is_empty() && fs::symlink_metadata(ancestor).is_err())
        .last()?;
    let parent = missing
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    if !parent.is_dir() {
        return Some(format!("{} is not a directory", quoted_path(parent)));
    }
    let below = path.strip_prefix(missing).ok()?;
    let meant = missing
        .file_name()
        .and_then(OsStr::to_str)
        .and_then(|name| nearest(parent, name, below));
    match meant {
        Some(meant) => Some(format!("did you mean {}?", quoted_path(&meant))),
        None => (missing != path).then(|| format!("{} does not exist", quoted_path(missing))),
    }
}

fn of_file(path: &Path, errno: Errno) -> Option<String> {
    let metadata = fs::metadata(path).ok()?;
    if metadata.is_dir() {
        let inside = path
            .file_name()
            .and_then(OsStr::to_str)
            .and_then(|name| nearest(path, name, Path::new("")));
        let meant = inside.map(|inside| format!("; did you mean {}?", quoted_path(&inside)));
        return Some(format!("it is a directory{}", meant.unwrap_or_default()));
    }
    if !metadata.is_file() {
        return Some("it is neither a binary nor a script, but a pipe, a socket or a device".to_owned());
    }
    let mode = metadata.permissions().mode() & 0o7777;
    if mode & 0o111 == 0 {
        return Some(format!("it has no execute permission (its mode is {mode:04o})"));
    }
    if errno == Errno::EACCES {
        return Some("a folder above it may be closed to the worker, or its file system mounted noexec".to_owned());
    }
    match interpreter(path) {
        Some(interpreter) if !Path::new(&interpreter).exists() => Some(format!(
            "its first line asks for {}, which does not exist",
            quoted(&interpreter)
        )),
        Some(_) => None,
        None => of_binary(path),
    }
}

/// Explains a file that is a binary for another system, or no program at all.
fn of_binary(path: &Path) -> Option<String> {
    let mut start = [0; 4];
    match files::open(path).and_then(|mut file| file.read_exact(&mut start)) {
        Ok(()) if start == *b"\x7fELF" => {
            Some("it is a binary for another architecture, or its loader is missing".to_owned())
        }
        Ok(()) if start.starts_with(b"MZ") => Some("it is a program for Windows".to_owned()),
        Ok(()) => Some("it is neither a binary nor a script that begins with #!".to_owned()),
        Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
            Some("it is neither a binary nor a script that begins with #!".to_owned())
        }
        Err(_) => None,
    }
}

fn interpreter(path: &Path) -> Option<String> {
    let mut start = Vec::new();
    files::open(path)
        .ok()?
        .take(SHEBANG as u64)
        .read_to_end(&mut start)
        .ok()?;
    let line = String::from_utf8_lossy(start.strip_prefix(b"#!")?).into_owned();
    // A script with Windows line ends asks for "sh\r", and the `\r` must stay.
    line.split('\n')
        .next()?
        .split([' ', '\t'])
        .find(|word| !word.is_empty())
        .map(str::to_owned)
}

/// The part before the first blank, if arguments follow the name.
fn words_too(exe: &str) -> Option<&str> {
    exe.split_once(' ')
        .map(|(program, _)| program)
        .filter(|program| !program.is_empty())
}

/// The program at `below` in the entry of `folder` whose name is nearest to `name`: another case, another extension, or nearly
/// the same. An empty `below` is the entry itself.
fn nearest(folder: &Path, name: &str, below: &Path) -> Option<PathBuf> {
    let stem = |name: &str| name.to_lowercase().trim_end_matches(".exe").to_owned();
    let wanted = stem(name);
    let mut best: Option<(f64, PathBuf)> = None;
    for entry in fs::read_dir(folder).ok()?.flatten() {
        let Some(other) = entry.file_name().to_str().map(stem) else {
            continue;
        };
        let score = strsim::jaro_winkler(&wanted, &other);
        if score < ALIKE || best.as_ref().is_some_and(|(known, _)| score <= *known) {
            continue;
        }
        // Joining an empty rest would add a slash, so the components are collected.
        let program: PathBuf = entry.path().components().chain(below.components()).collect();
        if is_program(&program) {
            best = Some((score, program));
        }
    }
    best.map(|(_, path)| path)
}

/// Whether a file can be executed.
pub(crate) fn is_program(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
}

/// The folders of PATH as `execvp` reads it, but without the working directory.
fn folders_of(path: Option<&OsStr>) -> Vec<PathBuf> {
    std::env::split_paths(path.unwrap_or("/bin:/usr/bin".as_ref()))
        .filter(|folder| folder.as_os_str().as_bytes().starts_with(b"/"))
        .collect()
}

fn quoted_path(path: &Path) -> String {
    quoted(&path.to_string_lossy())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn looked(exe: &str) -> Option<String> {
        start_hint(exe, Errno::ENOENT)
    }

    fn folder() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &[u8], mode| {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        };
        write("blender-4/blender", b"#!/bin/sh\n", 0o755);
        write("plain", b"#!/bin/sh\n", 0o644);
        write("script", b"#! /no/such/python -u\n", 0o755);
        write("dos", b"#!/bin/sh\r\n", 0o755);
        write("text", b"echo hello\n", 0o755);
        write("empty", b"", 0o755);
        write("elf", b"\x7fELF\x02", 0o755);
        write("win", b"MZ\x90\0\x03", 0o755);
        symlink("/no/such/target", folder.path().join("dangling")).unwrap();
        folder
    }

    #[test]
    fn what_is_wrong_with_a_path_is_named() {
        let folder = folder();
        let at = |name: &str| format!("{}/{name}", folder.path().display());
        let table = [
            (
                "blender-4",
                format!("it is a directory; did you mean \"{}\"?", at("blender-4/blender")),
            ),
            (
                "blender-4/Blender",
                format!("did you mean \"{}\"?", at("blender-4/blender")),
            ),
            (
                "blender-4/blender.exe",
                format!("did you mean \"{}\"?", at("blender-4/blender")),
            ),
            (
                "blender_4/blender",
                format!("did you mean \"{}\"?", at("blender-4/blender")),
            ),
            ("nowhere/to/be", format!("\"{}\" does not exist", at("nowhere"))),
            ("plain/x", format!("\"{}\" is not a directory", at("plain"))),
            (
                "blender-4/blender -b",
                format!(
                    "there is \"{}\"; arguments do not belong into the program's name",
                    at("blender-4/blender")
                ),
            ),
            ("plain", "it has no execute permission (its mode is 0644)".into()),
            (
                "script",
                "its first line asks for \"/no/such/python\", which does not exist".into(),
            ),
            (
                "dos",
                "its first line asks for \"/bin/sh\\r\", which does not exist".into(),
            ),
            ("text", "it is neither a binary nor a script that begins with #!".into()),
            (
                "empty",
                "it is neither a binary nor a script that begins with #!".into(),
            ),
            (
                "elf",
                "it is a binary for another architecture, or its loader is missing".into(),
            ),
            ("win", "it is a program for Windows".into()),
            (
                "dangling",
                "it is a link to \"/no/such/target\", which does not exist".into(),
            ),
        ];
        for (name, expected) in table {
            assert_eq!(looked(&at(name)), Some(expected), "{name}");
        }
        assert_eq!(looked(&at("zzz")), None);
        assert_eq!(looked(&at("blender-4/blender")), None);
        let closed = start_hint(&at("blender-4/blender"), Errno::EACCES);
        assert!(closed.is_some_and(|hint| hint.contains("noexec")));
        assert_eq!(start_hint(&at("plain"), Errno::E2BIG), None);
    }

    #[test]
    fn a_link_that_leads_back_to_itself_is_named() {
        let folder = folder();
        symlink("loop", folder.path().join("loop")).unwrap();
        let round = start_hint(&format!("{}/loop", folder.path().display()), Errno::ELOOP);
        let expected = "it is a link to \"loop\", which leads back to it";
        assert_eq!(round.as_deref(), Some(expected));
    }

    #[test]
    fn a_variable_without_a_value_is_the_manager_s_affair() {
        let expected = "the Manager has no value for {blender} on platform linux";
        assert_eq!(looked("{blender}").as_deref(), Some(expected));
        assert_eq!(looked("/x/{blender}/b").as_deref(), Some(expected));
        assert_eq!(looked("/no/{}/{a b}"), Some("\"/no\" does not exist".into()));
    }

    #[test]
    fn only_what_is_there_is_suggested() {
        let folder = folder();
        let at = |name: &str| format!("{}/{name}", folder.path().display());
        for name in ["blendr-4/no-such-program", "blendr-4/blender/below", "blendr-4"] {
            let hint = looked(&at(name));
            assert!(
                hint.as_ref().is_none_or(|hint| hint.ends_with("does not exist")),
                "{name}: {hint:?}"
            );
        }
        let meant = format!("did you mean \"{}\"?", at("blender-4/blender"));
        assert_eq!(looked(&at("blendr-4/blender")), Some(meant));
    }

    #[test]
    fn what_only_a_shell_expands_is_named() {
        for (exe, word) in [
            ("~/bin/blender", "~"),
            ("$BLENDER", "$BLENDER"),
            ("${HOME}/b", "${HOME}"),
        ] {
            let expected = format!("{word} is not expanded here: no shell reads this");
            assert_eq!(looked(exe), Some(expected), "{exe}");
        }
    }

    #[test]
    fn names_are_looked_for_on_path() {
        assert_eq!(looked("SH").map(|hint| hint.ends_with("/sh\"?")), Some(true));
        assert_eq!(looked("sh.exe").map(|hint| hint.ends_with("/sh\"?")), Some(true));
        assert!(looked("sh -c x").is_some_and(|hint| hint.contains("arguments do not belong")));
        assert_eq!(looked("no-such-program-at-all"), None);
        assert!(find_on_path("sh").is_some() && find_on_path("no-such-program-at-all").is_none());
    }
}
