// SPDX-License-Identifier: GPL-3.0-or-later

//! Explains why an AppImage may have ended at once. An AppImage mounts itself with `fusermount`, which gains privileges to do
//! so. If programs of this worker may not gain privileges, the AppImage ends with 127 and names an unrelated library.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use super::start_hint::find_on_path;

/// The exit code of an AppImage that cannot mount itself.
pub(super) const NOT_MOUNTED: i32 = 127;
/// The offset of the mark in an AppImage, and its first bytes.
const MARK: (usize, &[u8]) = (8, b"AI");

/// A hint about a program that ended with [`NOT_MOUNTED`], in the sandbox or not, if it is an AppImage. It reads the beginning of
/// the file, so it may block.
pub(super) fn hint(exe: &str, is_sandboxed: bool) -> Option<&'static str> {
    let path = match exe.contains('/') {
        true => PathBuf::from(exe),
        false => find_on_path(exe)?,
    };
    if is_sandboxed {
        return is_appimage(&path).then_some(
            "it is an AppImage, which mounts itself by a program that gains privileges, and the sandbox of this node forbids \
             that: set APPIMAGE_EXTRACT_AND_RUN=1 for it, or unpack it with --appimage-extract",
        );
    }
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    (is_appimage(&path) && gains_no_privileges(&status)).then_some(
        "it is an AppImage, which mounts itself by a program that gains privileges, and NoNewPrivileges forbids that: use the \
         drop-in setuid-programs.conf of the worker's unit, or set APPIMAGE_EXTRACT_AND_RUN=1 for it, or unpack it with \
         --appimage-extract",
    )
}

fn is_appimage(path: &Path) -> bool {
    let (at, mark) = MARK;
    let mut start = Vec::new();
    let read = File::open(path).and_then(|file| file.take((at + mark.len()) as u64).read_to_end(&mut start));
    read.is_ok() && start.starts_with(b"\x7fELF") && start.get(at..) == Some(mark)
}

fn gains_no_privileges(status: &str) -> bool {
    let value = status.lines().find_map(|line| line.strip_prefix("NoNewPrivs:"));
    value.is_some_and(|value| value.trim() == "1")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_appimage_is_known_by_its_mark() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str, text: &[u8]| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            is_appimage(&path)
        };
        assert!(at("appimage", b"\x7fELF\x02\x01\x01\x00AI\x02\x00..."));
        assert!(!at("binary", b"\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00..."));
        assert!(!at("script", b"#!/bin/sh\n"));
        assert!(!is_appimage(Path::new("/no/such/program")));
    }

    #[test]
    fn the_kernel_tells_whether_programs_gain_privileges() {
        assert!(gains_no_privileges("Threads:\t1\nNoNewPrivs:\t1\nSeccomp:\t0\n"));
        assert!(!gains_no_privileges("NoNewPrivs:\t0\n"));
        assert!(!gains_no_privileges(""));
    }
}
