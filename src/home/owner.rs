// SPDX-License-Identifier: GPL-3.0-or-later

//! Who owns a file and who we are, for messages about what cannot be written.

use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use nix::unistd::{Gid, Group, Uid, User, geteuid};

/// Describes who may use a path: `/var/lib: owner root, group root, mode 0755; we are user render`.
pub(crate) fn describe_owner(path: &Path) -> String {
    let we = user_name(geteuid());
    match fs::metadata(path) {
        Ok(found) => format!(
            "{}: owner {}, group {}, mode {:04o}; we are user {we}",
            path.display(),
            user_name(Uid::from_raw(found.uid())),
            group_name(Gid::from_raw(found.gid())),
            found.mode() & 0o7777
        ),
        Err(error) => format!("{}: {error}; we are user {we}", path.display()),
    }
}

/// How others can change what is in a home: `mode 0777`; `None` when they cannot.
pub(crate) fn open_to_others(home: &Metadata) -> Option<String> {
    if home.mode() & 0o022 != 0 {
        return Some(format!("mode {:04o}", home.mode() & 0o7777));
    }
    let owner = Uid::from_raw(home.uid());
    (owner != geteuid() && !owner.is_root()).then(|| format!("it belongs to {}", user_name(owner)))
}

/// Whose home this is, where we are root and it is another user's: that user's worker cannot read what we would write.
/// Blocks.
pub(crate) fn is_another_users(home: &Path) -> Option<String> {
    let owner = Uid::from_raw(fs::metadata(home).ok()?.uid());
    (geteuid().is_root() && !owner.is_root()).then(|| user_name(owner))
}

/// The name of a user, or the number where it has none.
pub(crate) fn user_name(id: Uid) -> String {
    User::from_uid(id)
        .ok()
        .flatten()
        .map_or_else(|| id.to_string(), |user| user.name)
}

/// The name of a group, or the number where it has none.
pub(crate) fn group_name(id: Gid) -> String {
    Group::from_gid(id)
        .ok()
        .flatten()
        .map_or_else(|| id.to_string(), |group| group.name)
}
