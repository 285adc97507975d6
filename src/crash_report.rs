// SPDX-License-Identifier: GPL-3.0-or-later

//! The reports that Blender writes when it crashes: `NAME.crash.txt` in its temporary directory, which goes with it.

use std::fs;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use crate::files::open_unlinked;

/// So many bytes of a report are copied, from its end, where the backtrace is.
const MAX_REPORT: u64 = 64 << 10;
/// So many reports are copied. One Blender writes one, and a task may have run several.
const MAX_REPORTS: usize = 4;
/// So many names in the directory are read.
const MAX_NAMES: usize = 10_000;

/// The crash reports in a folder, as lines for a log, if there are any. Blocks.
pub(crate) fn reports(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten().take(MAX_NAMES);
    let named = entries.filter(|entry| entry.file_name().as_encoded_bytes().ends_with(b".crash.txt"));
    let mut lines = Vec::new();
    for entry in named.take(MAX_REPORTS) {
        match report(&entry.path()) {
            Ok((missing, text)) => {
                let name = entry.file_name();
                lines.push(format!("Blender wrote a crash report, {}:", name.display()));
                if missing > 0 {
                    lines.push(format!("    [... its first {missing} bytes are left out ...]"));
                }
                lines.extend(text.lines().map(|line| format!("    {line}")));
            }
            Err(error) => lines.push(format!(
                "Cannot read the crash report {}: {error}",
                entry.path().display()
            )),
        }
    }
    lines
}

/// Reads the end of a report. Returns how many bytes were left out, and the text.
fn report(path: &Path) -> io::Result<(u64, String)> {
    let file = open_unlinked(path)?;
    let length = file.metadata()?.len();
    let missing = length.saturating_sub(MAX_REPORT);
    let mut bytes = vec![0; usize::try_from(length - missing).unwrap_or(0)];
    file.read_exact_at(&mut bytes, missing)?;
    Ok((missing, String::from_utf8_lossy(&bytes).into_owned()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn i11_the_end_of_a_report_is_told_and_what_is_no_file_is_not_read() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::write(at("blender.crash.txt"), "# Blender 3.4.1\n# backtrace\n").unwrap();
        fs::write(at("other.txt"), "x").unwrap();
        assert_eq!(
            reports(folder.path()),
            [
                "Blender wrote a crash report, blender.crash.txt:",
                "    # Blender 3.4.1",
                "    # backtrace"
            ]
        );
        fs::write(
            at("blender.crash.txt"),
            [vec![b'a'; 1000], vec![b'b'; 64 << 10]].concat(),
        )
        .unwrap();
        let lines = reports(folder.path());
        assert_eq!(lines[1], "    [... its first 1000 bytes are left out ...]");
        assert!(lines[2].ends_with('b') && !lines[2].contains('a'));
        fs::remove_file(at("blender.crash.txt")).unwrap();
        symlink("/etc/passwd", at("a.crash.txt")).unwrap();
        nix::unistd::mkfifo(&at("b.crash.txt"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        let lines = reports(folder.path());
        assert!(
            lines.len() == 2 && lines.iter().all(|line| line.starts_with("Cannot read")),
            "{lines:?}"
        );
    }
}
