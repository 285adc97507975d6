// SPDX-License-Identifier: GPL-3.0-or-later

//! The tests that a run has skipped, in a file: a run is many programs, started by one cargo after another.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::process::parent_id;
use std::path::{Path, PathBuf};

/// Where the files are, in the target directory.
const FOLDER: &str = "tmp/skipped";

/// A run of tests: the life of the cargo that started them.
#[derive(Debug)]
pub(crate) struct Run {
    file: PathBuf,
}

/// A test that was skipped.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Skipped {
    pub(crate) why: String,
    pub(crate) remedy: String,
    /// Its name, after that of its program.
    pub(crate) test: String,
}

impl Run {
    /// The run of the process that started this one.
    pub(crate) fn of_parent() -> io::Result<Self> {
        let program = std::env::current_exe()?;
        // target/debug/deps/PROGRAM
        let target = program.ancestors().nth(3).unwrap_or(Path::new("/"));
        Self::of(parent_id(), &target.join(FOLDER))
    }

    fn of(pid: u32, folder: &Path) -> io::Result<Self> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
        // Process ids come again: its start is number 22, the name in parentheses is number 2.
        let after_name = stat.rsplit(')').next().unwrap_or_default();
        let began = after_name.split_whitespace().nth(19).unwrap_or_default();
        fs::create_dir_all(folder)?;
        Ok(Self {
            file: folder.join(format!("{pid}-{began}")),
        })
    }

    pub(crate) fn note(&self, test: &str, why: &str, remedy: &str) -> io::Result<()> {
        let program = std::env::current_exe()?;
        let name = program.file_stem().unwrap_or_default().to_string_lossy();
        // Without the hash that cargo adds.
        let name = name.rsplit_once('-').map_or(&*name, |(name, _)| name);
        let line = [why, remedy, &format!("{name} {test}")].map(|text| text.replace(['\t', '\n'], " "));
        let mut file: File = OpenOptions::new().create(true).append(true).open(&self.file)?;
        // At once, for tests run beside each other.
        file.write_all((line.join("\t") + "\n").as_bytes())
    }

    /// What it has skipped so far, in the order of reasons. Forgets it, and what runs of old have left.
    pub(crate) fn take(self) -> io::Result<Vec<Skipped>> {
        let text = match fs::read_to_string(&self.file) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            read => read?,
        };
        let mut skipped: Vec<_> = text.lines().filter_map(Skipped::read).collect();
        skipped.sort();
        skipped.dedup();
        for entry in fs::read_dir(self.file.parent().unwrap_or(&self.file))?.flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let pid = name.split('-').next().unwrap_or_default();
            if entry.path() == self.file || !Path::new("/proc").join(pid).exists() {
                // Another run may have been faster.
                fs::remove_file(entry.path()).ok();
            }
        }
        Ok(skipped)
    }
}

impl Skipped {
    fn read(line: &str) -> Option<Self> {
        let mut words = line.split('\t').map(str::to_owned);
        Some(Self {
            why: words.next()?,
            remedy: words.next()?,
            test: words.next()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_has_what_was_noted_in_it_once_and_forgets_the_dead() {
        let folder = tempfile::tempdir().unwrap();
        let run = || Run::of(std::process::id(), folder.path()).unwrap();
        // Beyond the highest process id that Linux gives.
        let dead = folder.path().join("4999999-1");
        let living = folder.path().join(format!("{}-1", parent_id()));
        for other in [&dead, &living] {
            fs::write(other, "why\tremedy\tanother run's\n").unwrap();
        }
        run().note("b", "no root", "be root").unwrap();
        run().note("a", "no cc", "gcc\nfrom Debian").unwrap();
        run().note("a", "no cc", "gcc\nfrom Debian").unwrap();
        let taken = run().take().unwrap();
        let of = |why: &str, remedy: &str, test: &str| Skipped {
            why: why.into(),
            remedy: remedy.into(),
            test: format!("test_needs {test}"),
        };
        assert_eq!(
            taken,
            [of("no cc", "gcc from Debian", "a"), of("no root", "be root", "b")]
        );
        assert_eq!(run().take().unwrap(), []);
        assert!(living.exists() && !dead.exists());
    }
}
