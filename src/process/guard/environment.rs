// SPDX-License-Identifier: GPL-3.0-or-later

//! The environment of a program, and where it is looked for on PATH.

use std::ffi::{CStr, CString};

use crate::process::mark::MARK;

/// The directories in which execvp looks when there is no PATH (confstr(_CS_PATH)).
const DEFAULT_PATH: &[u8] = b"/bin:/usr/bin";

/// The `inherited` environment with the changes of the request, which cannot change the mark.
pub(super) fn environment(mut inherited: Vec<CString>, changes: &[CString]) -> Vec<CString> {
    for change in changes {
        let name = name_of(change);
        if name == MARK.as_bytes() {
            continue;
        }
        inherited.retain(|entry| name_of(entry) != name);
        if change.as_bytes().len() > name.len() {
            inherited.push(change.clone());
        }
    }
    inherited
}

pub(super) fn path_of(environment: &[CString]) -> Option<&[u8]> {
    environment
        .iter()
        .find_map(|entry| entry.as_bytes().strip_prefix(b"PATH="))
}

/// The paths to try for a program without a `/`; there are none for a program with one.
pub(super) fn candidates(program: &CStr, path: Option<&[u8]>) -> Vec<CString> {
    if program.to_bytes().contains(&b'/') {
        return Vec::new();
    }
    let directories = path.unwrap_or(DEFAULT_PATH).split(|byte| *byte == b':');
    let file = |directory: &[u8]| match directory {
        // An empty element is the working directory (POSIX, for the sake of old scripts).
        b"" => CString::new([b"./", program.to_bytes()].concat()),
        directory => CString::new([directory, b"/", program.to_bytes()].concat()),
    };
    directories.filter_map(|directory| file(directory).ok()).collect()
}

fn name_of(entry: &CStr) -> &[u8] {
    // A name may begin with `=`, as for the standard library; it then ends at the next one.
    let bytes = entry.to_bytes();
    let end = bytes
        .iter()
        .skip(1)
        .position(|byte| *byte == b'=')
        .map_or(bytes.len(), |at| at + 1);
    &bytes[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(list: &[&CStr]) -> Vec<CString> {
        list.iter().map(|word| (*word).to_owned()).collect()
    }

    #[test]
    fn a_program_is_looked_for_as_execvp_does() {
        let of = |program: &CStr, path: Option<&str>| candidates(program, path.map(str::as_bytes));
        assert_eq!(of(c"x", Some("/a:/b c")), words(&[c"/a/x", c"/b c/x"]));
        assert_eq!(of(c"x", Some("")), words(&[c"./x"]));
        assert_eq!(of(c"x", Some("/a::b")), words(&[c"/a/x", c"./x", c"b/x"]));
        assert_eq!(of(c"x", None), words(&[c"/bin/x", c"/usr/bin/x"]));
        assert_eq!(of(c"./x", Some("/a")), words(&[]));
        assert_eq!(of(c"a\\x", Some("/a")), words(&[c"/a/a\\x"]));
    }

    #[test]
    fn an_environment_is_changed_by_name_and_else_left_alone() {
        let inherited = words(&[c"A=1", c"EMPTY=", c"AB=x=y", c"=odd=1", c"FLAMENCO_WORKER_MARK=home"]);
        let changes = words(&[
            c"A=2",
            c"EMPTY",
            c"NEW=n",
            c"NOT_THERE",
            c"FLAMENCO_WORKER_MARK=forged",
            c"=odd=",
        ]);
        assert_eq!(
            environment(inherited, &changes),
            words(&[c"AB=x=y", c"FLAMENCO_WORKER_MARK=home", c"A=2", c"NEW=n", c"=odd="])
        );
    }

    #[test]
    fn path_is_the_programs_own() {
        assert_eq!(path_of(&words(&[c"XPATH=/x", c"PATH=/a"])), Some(b"/a".as_slice()));
        assert_eq!(path_of(&words(&[c"PATHS=/x"])), None);
    }
}
