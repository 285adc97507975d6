// SPDX-License-Identifier: GPL-3.0-or-later

//! Which programs are meant by what the operator wrote, and what they need to be executed. It looks at files: call it in a
//! thread.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::{Path, PathBuf};

use elf::abi::{EI_NIDENT, PT_INTERP};
use elf::endian::AnyEndian;
use elf::file::{Class, ELF32_EHDR_TAILSIZE, ELF64_EHDR_TAILSIZE, FileHeader, parse_ident};
use elf::segment::SegmentTable;

use crate::files;

/// Where programs are looked for without a PATH, as execvp does.
const DEFAULT_PATH: &str = "/bin:/usr/bin";
/// The longest first line of a script that the kernel reads, in bytes (`BINPRM_BUF_SIZE`).
const FIRST_LINE: u64 = 256;
/// Files for one program: an interpreter may have one, five deep (execve(2)), each found by `env`, and a loader.
const MOST: usize = 16;
/// The program headers that the kernel reads, in bytes (`load_elf_phdrs`), and the longest path of a loader (PATH_MAX).
const LARGEST_HEADERS: usize = 64 << 10;
const LONGEST_PATH: usize = 4096;

/// The programs that are there, links followed: a link leads to what it leads to, and not further.
pub(super) fn resolve(written: &[String], path: Option<&OsStr>) -> BTreeSet<PathBuf> {
    let meant = named(written, path).into_iter();
    meant.filter_map(|path| fs::canonicalize(path).ok()).collect()
}

/// The same as they are found, with their links.
pub(super) fn named(written: &[String], path: Option<&OsStr>) -> Vec<PathBuf> {
    let meant = written.iter().flat_map(|one| {
        if one.contains('/') {
            let found = glob::glob(one).into_iter().flatten();
            found.filter_map(Result::ok).collect()
        } else {
            on_path(one, path).collect::<Vec<_>>()
        }
    });
    meant.filter(|path| is_program(path)).collect()
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

/// What is opened to execute a program: itself, and what interprets it. Of a script that has `env` find its interpreter on PATH
/// that is the interpreter, too.
pub(super) fn with_interpreters(program: PathBuf, path: Option<&OsStr>) -> Vec<PathBuf> {
    let mut chain = vec![program];
    let mut looked_at = 0;
    while looked_at < chain.len() && chain.len() < MOST {
        for next in interpreters(&chain[looked_at], path) {
            if !chain.contains(&next) {
                chain.push(next);
            }
        }
        looked_at += 1;
    }
    chain
}

/// The interpreter of a script, or the loader of a program that is linked dynamically.
fn interpreters(program: &Path, path: Option<&OsStr>) -> Vec<PathBuf> {
    let Ok(file) = files::open(program) else {
        return Vec::new();
    };
    let mut start = Vec::new();
    if (&file).take(FIRST_LINE).read_to_end(&mut start).is_err() {
        return Vec::new();
    }
    let Some(rest) = start.strip_prefix(b"#!") else {
        let loader = loader(&file).and_then(|loader| fs::canonicalize(OsStr::from_bytes(&loader)).ok());
        return loader.into_iter().collect();
    };
    let line = rest.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let mut words = line.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
    let Some(named) = words.next().map(OsStr::from_bytes).map(Path::new) else {
        return Vec::new();
    };
    let through_env = named.file_name().is_some_and(|name| name == "env");
    let found = through_env.then(|| named_to_env(words)).flatten();
    let found = found.and_then(|name| behind(Path::new(OsStr::from_bytes(name)), path));
    fs::canonicalize(named).into_iter().chain(found).collect()
}

/// The program that `env` executes for these words (env(1)): after options and variables; `-S` may have it right behind.
fn named_to_env<'a>(mut words: impl Iterator<Item = &'a [u8]>) -> Option<&'a [u8]> {
    words.find_map(|word| match word.strip_prefix(b"-") {
        Some(option) => option.strip_prefix(b"S").filter(|name| !name.is_empty()),
        None => (!word.contains(&b'=')).then_some(word),
    })
}

/// The loader that a program names. What the file says of its own sizes may be anything: the kernel's limits are ours.
fn loader(file: &File) -> Option<Vec<u8>> {
    let read = |at: u64, size: usize| {
        let mut bytes = vec![0; size];
        file.read_exact_at(&mut bytes, at).ok().map(|()| bytes)
    };
    let ident = parse_ident::<AnyEndian>(&read(0, EI_NIDENT)?).ok()?;
    let tail = match ident.1 {
        Class::ELF32 => ELF32_EHDR_TAILSIZE,
        Class::ELF64 => ELF64_EHDR_TAILSIZE,
    };
    let header = FileHeader::parse_tail(ident, &read(EI_NIDENT as u64, tail)?).ok()?;
    let size = usize::from(header.e_phnum) * usize::from(header.e_phentsize);
    let segments = (size <= LARGEST_HEADERS).then(|| read(header.e_phoff, size))??;
    let mut segments = SegmentTable::new(header.endianness, header.class, &segments).iter();
    let named = segments.find(|segment| segment.p_type == PT_INTERP)?;
    let size = usize::try_from(named.p_filesz)
        .ok()
        .filter(|size| *size <= LONGEST_PATH)?;
    let name = read(named.p_offset, size)?;
    Some(name.split(|byte| *byte == 0).next().unwrap_or_default().to_owned())
}

fn on_path<'a>(name: impl AsRef<OsStr> + 'a, path: Option<&'a OsStr>) -> impl Iterator<Item = PathBuf> + 'a {
    std::env::split_paths(path.unwrap_or(OsStr::new(DEFAULT_PATH))).map(move |folder| folder.join(name.as_ref()))
}

/// Whether it is a file that somebody may execute.
pub(super) fn is_program(path: &Path) -> bool {
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
        let with_interpreters = |program: PathBuf| with_interpreters(program, None);
        let script = dir.path().join("script");
        fs::write(&script, "#! /bin/sh -e\necho\n").unwrap();
        let chain = with_interpreters(script.clone());
        let shell = fs::canonicalize("/bin/sh").unwrap();
        assert_eq!(chain[..2], [script, shell.clone()]);
        assert!(chain[2].to_string_lossy().contains("/ld-"), "{chain:?}");
        assert_eq!(chain.len(), 3);
        let text = dir.path().join("text");
        fs::write(&text, "no program").unwrap();
        assert_eq!(with_interpreters(text.clone()), [text]);
        // One that leads to itself.
        let round = dir.path().join("round");
        fs::write(&round, format!("#!{}\n", round.display())).unwrap();
        assert_eq!(with_interpreters(round.clone()), [round]);
        for (line, is_found) in [
            ("env sh", true),
            ("env -S sh -e", true),
            ("env -Ssh -e", true),
            ("env -i -S A=1 sh", true),
            ("env", false),
            ("env -i", false),
            ("env no-such", false),
        ] {
            let script = dir.path().join("by-env");
            fs::write(&script, format!("#!/usr/bin/{line}\n")).unwrap();
            let chain = with_interpreters(script);
            assert_eq!(chain.contains(&shell), is_found, "{line}: {chain:?}");
            assert!(chain.contains(&fs::canonicalize("/usr/bin/env").unwrap()), "{chain:?}");
        }
    }

    #[test]
    fn n3_a_pipe_is_nothing_to_look_into() {
        let dir = tempfile::tempdir().unwrap();
        let pipe = dir.path().join("pipe");
        nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert_eq!(with_interpreters(pipe.clone(), None), [pipe]);
    }

    #[test]
    fn n3_a_program_that_lies_of_its_sizes_takes_no_memory() {
        let dir = tempfile::tempdir().unwrap();
        let place = dir.path().join("liar");
        let mut program = fs::read("/bin/sh").unwrap();
        let ours = |program: &[u8]| {
            fs::write(&place, program).unwrap();
            loader(&File::open(&place).unwrap())
        };
        let honest = ours(&program).unwrap();
        assert!(honest.starts_with(b"/"), "{honest:?}");
        // Where the headers of segments are, and how large one is, in a file of 64 bits (elf(5)).
        let at = usize::from(program[32]);
        let is_named = |at: &usize| program[*at..].starts_with(&PT_INTERP.to_le_bytes());
        let named = (at..).step_by(56).find(is_named).unwrap();
        // Its size in the file: it is all there, and none of it on disk.
        program[named + 32..named + 40].copy_from_slice(&(1_u64 << 40).to_le_bytes());
        assert_eq!(ours(&program), None);
        let file = File::options().write(true).open(&place).unwrap();
        file.set_len(1 << 41).unwrap();
        assert_eq!(loader(&File::open(&place).unwrap()), None);
    }
}
