// SPDX-License-Identifier: GPL-3.0-or-later

//! What a kept Blender is for: tasks whose command line is the same but for the frames, of the same job, while no file
//! of it has changed. It looks at files: call it in a thread.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use crate::sandbox::{Confinement, Paths};

/// Two of these are the same only when one Blender would do the same for both.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Key {
    /// The job's id.
    pub job: String,
    /// What it may do, wherever its temporary directory is.
    policy: Option<Confinement>,
    program: FileId,
    arguments: Vec<String>,
    blendfile: FileId,
}

/// A file as it was: what is behind a name may be exchanged.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct FileId {
    path: PathBuf,
    device: u64,
    inode: u64,
    size: u64,
    /// Seconds and nanoseconds.
    modified: (i64, i64),
}

impl Key {
    /// `program` is a path, `arguments` are those without the frames.
    ///
    /// # Errors
    /// When a file is not there.
    pub(crate) fn read(
        (job, policy): (&str, Option<Confinement>),
        program: &Path,
        arguments: &[String],
        blendfile: &Path,
    ) -> io::Result<Self> {
        Ok(Self {
            job: job.to_owned(),
            policy: policy.map(|policy| Confinement {
                tmpdir: Paths::default(),
                ..policy
            }),
            program: FileId::read(program)?,
            arguments: arguments.to_vec(),
            blendfile: FileId::read(blendfile)?,
        })
    }

    /// The program, as a file that may be exchanged.
    pub(crate) fn program(&self) -> &FileId {
        &self.program
    }
}

impl FileId {
    /// The file behind a name, links followed.
    ///
    /// # Errors
    /// When it is not there.
    pub(crate) fn read(path: &Path) -> io::Result<Self> {
        let metadata = fs::metadata(path)?;
        Ok(Self {
            path: path.to_owned(),
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
        })
    }

    /// Whether it was modified before that time, as far as the clocks of its file system and of this machine agree.
    pub(crate) fn is_older_than(&self, time: SystemTime) -> bool {
        let (seconds, nanoseconds) = self.modified;
        let modified = Duration::new(
            seconds.try_into().unwrap_or_default(),
            nanoseconds.try_into().unwrap_or_default(),
        );
        SystemTime::UNIX_EPOCH
            .checked_add(modified)
            .is_some_and(|modified| modified < time)
    }

    /// Whether it is still the same.
    pub(crate) fn is_unchanged(&self) -> bool {
        Self::read(&self.path).is_ok_and(|now| now == *self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sandbox::Network;

    #[test]
    fn another_job_argument_or_file_is_another_key() {
        let dir = tempfile::tempdir().unwrap();
        let (program, file) = (dir.path().join("blender"), dir.path().join("x.blend"));
        fs::write(&program, "1").unwrap();
        fs::write(&file, "1").unwrap();
        let key = |job: &str, argument: &str| Key::read((job, None), &program, &[argument.to_owned()], &file).unwrap();
        let first = key("j", "-b");
        assert_eq!(first, key("j", "-b"));
        assert_ne!(first, key("k", "-b"));
        assert_ne!(first, key("j", "-x"));
        let held = |tmpdir: &str, network| {
            let policy = Confinement {
                tmpdir: Paths(vec![tmpdir.into()]),
                network,
                ..Confinement::default()
            };
            Key::read(("j", Some(policy)), &program, &["-b".to_owned()], &file).unwrap()
        };
        assert_ne!(first, held("/tmp/1", Network::Any));
        assert_eq!(held("/tmp/1", Network::Any), held("/tmp/2", Network::Any));
        assert_ne!(held("/tmp/1", Network::Any), held("/tmp/1", Network::None));
        let other = dir.path().join("other");
        for changed in [&file, &program] {
            let before = key("j", "-b");
            // The same size, and the same name.
            fs::write(&other, "2").unwrap();
            fs::rename(&other, changed).unwrap();
            assert_ne!(before, key("j", "-b"), "{}", changed.display());
        }
        fs::remove_file(&file).unwrap();
        assert!(Key::read(("j", None), &program, &[], &file).is_err());
        assert!(!first.program().is_unchanged());
    }
}
