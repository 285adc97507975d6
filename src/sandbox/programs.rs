// SPDX-License-Identifier: GPL-3.0-or-later

//! Which programs are meant by what the operator wrote, and what they need to be executed. It looks at files: call it in a
//! thread.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use elf::ElfStream;
use elf::abi::PT_INTERP;
use elf::endian::AnyEndian;

/// Where programs are looked for without a PATH, as execvp does.
const DEFAULT_PATH: &str = "/bin:/usr/bin";
/// The longest first line of a script that the kernel reads, in bytes (`BINPRM_BUF_SIZE`).
const FIRST_LINE: u64 = 256;
/// An interpreter may have one, which may have one (execve(2)).
const DEEPEST: usize = 5;

/// The programs that are there, links followed: a link leads to what it leads to, and not further.
pub(super) fn resolve(written: &[String], path: Option<&OsStr>) -> BTreeSet<PathBuf> {
    let meant = written.iter().flat_map(|one| {
        if one.contains('/') {
            let found = glob::glob(one).into_iter().flatten();
            found.filter_map(Result::ok).collect()
        } else {
            on_path(one, path).collect::<Vec<_>>()
        }
    });
    meant
        .filter(|path| is_program(path))
        .filter_map(|path| fs::canonicalize(path).ok())
        .collect()
}

/// The program that is executed for this name, links followed; `None` where there is none.
pub(super) fn behind(program: &Path, path: Option<&OsStr>) -> Option<PathBuf> {
    let name = program.as_os_str();
    let found = if name.as_bytes().contains(&b'/') {
        program.to_owned()
    } else {
        on_path(name, path).find(|path| is_program(path))?
    };
    fs::canonicalize(found).ok()
}

/// What the kernel opens to execute a program: itself, and what interprets it.
pub(super) fn with_interpreters(program: PathBuf) -> Vec<PathBuf> {
    let mut chain = vec![program];
    while let Some(next) = chain
        .last()
        .filter(|_| chain.len() < DEEPEST)
        .and_then(|last| interpreter(last))
    {
        chain.push(next);
    }
    chain
}

/// The interpreter of a script, or the loader of a program that is linked dynamically.
fn interpreter(program: &Path) -> Option<PathBuf> {
    let mut start = Vec::new();
    let mut file = File::open(program).ok()?;
    BufReader::new((&mut file).take(FIRST_LINE))
        .read_until(b'\n', &mut start)
        .ok()?;
    let named = match start.strip_prefix(b"#!") {
        Some(line) => {
            let line = line.trim_ascii();
            let end = line.iter().position(u8::is_ascii_whitespace).unwrap_or(line.len());
            line[..end].to_owned()
        }
        None => loader(file)?,
    };
    fs::canonicalize(OsStr::from_bytes(&named)).ok()
}

fn loader(file: File) -> Option<Vec<u8>> {
    let mut elf = ElfStream::<AnyEndian, _>::open_stream(file).ok()?;
    let segment = *elf.segments().iter().find(|segment| segment.p_type == PT_INTERP)?;
    let name = elf.segment_data(&segment).ok()?;
    Some(name.split(|byte| *byte == 0).next().unwrap_or_default().to_owned())
}

fn on_path<'a>(name: impl AsRef<OsStr> + 'a, path: Option<&'a OsStr>) -> impl Iterator<Item = PathBuf> + 'a {
    std::env::split_paths(path.unwrap_or(OsStr::new(DEFAULT_PATH))).map(move |folder| folder.join(name.as_ref()))
}

fn is_program(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn n3_paths_patterns_and_names_lead_to_files_and_a_link_to_what_it_leads_to() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| fs::canonicalize(dir.path()).unwrap().join(name);
        for version in ["blender-4.1", "blender-4.2"] {
            fs::create_dir(at(version)).unwrap();
            fs::write(at(version).join("blender"), "").unwrap();
            fs::set_permissions(at(version).join("blender"), fs::Permissions::from_mode(0o755)).unwrap();
        }
        fs::write(at("blender-4.1/readme"), "").unwrap();
        symlink(at("blender-4.2/blender"), at("blender")).unwrap();
        let resolved = |written: &[&str]| {
            let written: Vec<_> = written.iter().map(ToString::to_string).collect();
            resolve(&written, Some(dir.path().as_os_str()))
        };
        let pattern = format!("{}/blender-*/*", dir.path().display());
        let both: BTreeSet<_> = [at("blender-4.1/blender"), at("blender-4.2/blender")].into();
        assert_eq!(resolved(&[&pattern]), both);
        assert_eq!(resolved(&["blender"]), [at("blender-4.2/blender")].into());
        assert_eq!(resolved(&["no-such", "/no/such", "[", "/[/"]), BTreeSet::new());
        let path = Some(dir.path().as_os_str());
        assert_eq!(behind(Path::new("blender"), path), Some(at("blender-4.2/blender")));
        assert_eq!(behind(&at("blender"), path), Some(at("blender-4.2/blender")));
        assert_eq!(behind(Path::new("no-such"), path), None);
    }

    #[test]
    fn n3_what_interprets_a_program_is_found() {
        let dir = tempfile::tempdir().unwrap();
        let script = dir.path().join("script");
        fs::write(&script, "#! /bin/sh -e\necho\n").unwrap();
        let chain = with_interpreters(script.clone());
        let shell = fs::canonicalize("/bin/sh").unwrap();
        assert_eq!(chain[..2], [script, shell]);
        assert!(chain[2].to_string_lossy().contains("/ld-"), "{chain:?}");
        assert_eq!(chain.len(), 3);
        let text = dir.path().join("text");
        fs::write(&text, "no program").unwrap();
        assert_eq!(with_interpreters(text.clone()), [text]);
        // One that leads to itself.
        let round = dir.path().join("round");
        fs::write(&round, format!("#!{}\n", round.display())).unwrap();
        assert_eq!(with_interpreters(round).len(), DEEPEST);
    }
}
