// SPDX-License-Identifier: GPL-3.0-or-later

//! Whose a process is, and what it may do with files by that. Root asks about others' workers.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use nix::unistd::{AccessFlags, access, geteuid};

/// The user and the groups of a process.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct SubjectUser {
    id: u32,
    /// `None`: those of this process.
    groups: Option<Vec<u32>>,
}

impl SubjectUser {
    /// That of this process.
    pub(super) fn ours() -> Self {
        Self {
            id: geteuid().as_raw(),
            groups: None,
        }
    }

    /// That of the process with this `status` (proc_pid_status(5)).
    pub(super) fn parse(status: &str) -> Option<Self> {
        let numbers = |key: &str| {
            let values = status.lines().find_map(|line| line.strip_prefix(key))?;
            Some(
                values
                    .split_whitespace()
                    .filter_map(|word| word.parse().ok())
                    .collect::<Vec<u32>>(),
            )
        };
        // The last one of four is that for files.
        let id = *numbers("Uid:")?.get(3)?;
        if id == geteuid().as_raw() {
            return Some(Self::ours());
        }
        let own = *numbers("Gid:")?.get(3)?;
        let groups = numbers("Groups:")?.into_iter().chain([own]);
        Some(Self {
            id,
            groups: Some(groups.collect()),
        })
    }

    /// Its number.
    pub(super) fn id(&self) -> u32 {
        self.id
    }

    /// Whether it may write a file, or in a folder. Of another user that is known by the mode of the file: not by lists of rights,
    /// nor by what leads there.
    pub(super) fn may_write(&self, path: &Path) -> bool {
        let Some(groups) = &self.groups else {
            return access(path, AccessFlags::W_OK).is_ok();
        };
        fs::metadata(path).is_ok_and(|file| {
            let shift = match (file.uid() == self.id, groups.contains(&file.gid())) {
                (true, _) => 6,
                (false, true) => 3,
                (false, false) => 0,
            };
            self.id == 0 || file.mode() >> shift & 0o2 != 0
        })
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn n38_what_another_user_may_write_is_told_by_the_mode() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let owner = file.as_file().metadata().unwrap();
        let status =
            |id: u32, group: u32| format!("Name:\tx\nUid:\t1\t2\t3\t{id}\nGid:\t1\t2\t3\t4\nGroups:\t7 {group} \n");
        let (user, group) = (owner.uid() + 5, owner.gid());
        let member = SubjectUser::parse(&status(user, group)).unwrap();
        let stranger = SubjectUser::parse(&status(user, group + 5)).unwrap();
        for (mode, may) in [(0o600, [false, false]), (0o620, [true, false]), (0o602, [false, true])] {
            file.as_file().set_permissions(PermissionsExt::from_mode(mode)).unwrap();
            assert_eq!(
                [&member, &stranger].map(|user| user.may_write(file.path())),
                may,
                "{mode:o}"
            );
        }
        assert_eq!(stranger.id(), user);
        assert_eq!(
            SubjectUser::parse(&status(geteuid().as_raw(), 1)),
            Some(SubjectUser::ours())
        );
        assert_eq!(SubjectUser::parse("Name:\tx\n"), None);
    }
}
