// SPDX-License-Identifier: GPL-3.0-or-later

//! What is mounted, as the kernel lists it for a process: proc_pid_mountinfo(5).

use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use nix::unistd::geteuid;

/// A file system at a place.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Mount {
    /// Which file system it is: the numbers of its device, `8:1`.
    device: String,
    /// The folder of the file system that is seen there: `/`, or another where a part of it was bound.
    pub(crate) root: PathBuf,
    /// The mount point.
    pub(crate) at: PathBuf,
    /// `ext4`, `autofs`, `fuse.NAME`.
    pub(crate) kind: String,
    /// Of the file system: `rw,user_id=1000`.
    pub(crate) options: String,
}

/// All mounts that this process sees, in the order in which they were made.
///
/// # Errors
/// Where there is no `/proc`.
pub(crate) fn mounts() -> io::Result<Vec<Mount>> {
    Ok(parse(&fs::read("/proc/self/mountinfo")?))
}

/// The mounts in the text of a `mountinfo`. A line that is none is passed over.
pub(crate) fn parse(mountinfo: &[u8]) -> Vec<Mount> {
    mountinfo
        .split(|byte| *byte == b'\n')
        .filter_map(Mount::parse)
        .collect()
}

/// Whether something is mounted there. It is looked at first: an automounter mounts then. The automounter's own file system
/// does not count. Blocks.
pub(crate) fn is_mounted(path: &Path) -> bool {
    fs::metadata(path.join(".")).ok();
    let wanted = path.components().collect::<PathBuf>();
    let there = mounts().unwrap_or_default();
    there.iter().any(|mount| mount.at == wanted && !mount.is_automounter())
}

/// The mount point of the file system in which `path` is, or would be. `None` where that cannot be told. Blocks.
pub(crate) fn mount_of(path: &Path) -> Option<PathBuf> {
    let there = path.ancestors().find_map(|above| fs::canonicalize(above).ok())?;
    let above = mounts().ok()?.into_iter();
    let above = above.filter(|mount| !mount.is_automounter() && there.starts_with(&mount.at));
    above.map(|mount| mount.at).max_by_key(|at| at.components().count())
}

/// The mount points of what this user has mounted with FUSE below a folder, the innermost first. Blocks.
///
/// # Errors
/// Where there is no `/proc`, or no such folder.
pub(crate) fn fuse_below(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let folder = fs::canonicalize(folder)?;
    let owner = format!("user_id={}", geteuid());
    let ours = |mount: &Mount| {
        let fuse = mount.kind == "fuse" || mount.kind.starts_with("fuse.");
        fuse && mount.options.split(',').any(|option| option == owner) && mount.at.starts_with(&folder)
    };
    Ok(mounts()?.into_iter().filter(ours).map(|mount| mount.at).rev().collect())
}

/// The places where nothing is mounted and an automounter mounts something for whoever looks: a direct map's, or systemd's.
pub(crate) fn idle_automounts(mounts: &[Mount]) -> impl Iterator<Item = &Path> {
    let is_on_top = |mount: &Mount| mounts.iter().rfind(|other| other.at == mount.at) == Some(mount);
    let is_direct = |mount: &Mount| mount.is_automounter() && mount.options.split(',').any(|one| one == "direct");
    let idle = mounts.iter().filter(move |mount| is_direct(mount) && is_on_top(mount));
    idle.map(|mount| mount.at.as_path())
}

/// All places where what is at `path`, links followed, or some of what is below it, is seen: parts of a file system can be
/// mounted at several. The path itself is among them.
pub(crate) fn places_of<'a>(path: &'a Path, mounts: &'a [Mount]) -> impl Iterator<Item = PathBuf> + 'a {
    let above = mounts.iter().filter(|mount| path.starts_with(&mount.at));
    // Of several at one place the last is on top.
    let own = above.max_by_key(|mount| mount.at.components().count());
    let place = own.and_then(|own| Some((own, own.root.join(path.strip_prefix(&own.at).ok()?))));
    let elsewhere = place.into_iter().flat_map(move |(own, inside)| {
        let same = mounts.iter().filter(|mount| mount.device == own.device);
        same.filter_map(move |mount| match inside.strip_prefix(&mount.root) {
            Ok(rest) => Some(mount.at.join(rest)),
            Err(_) => mount.root.starts_with(&inside).then(|| mount.at.clone()),
        })
    });
    [path.to_owned()].into_iter().chain(elsewhere)
}

impl Mount {
    fn is_automounter(&self) -> bool {
        self.kind == "autofs"
    }

    fn parse(line: &[u8]) -> Option<Self> {
        let text = |field: &[u8]| String::from_utf8_lossy(field).into_owned();
        let path = |field: &[u8]| PathBuf::from(OsString::from_vec(unescaped(field)));
        let mut fields = line.split(|byte| *byte == b' ');
        let (device, root, at) = (text(fields.nth(2)?), path(fields.next()?), path(fields.next()?));
        let mut rest = fields.skip_while(|field| *field != b"-");
        Some(Self {
            device,
            root,
            at,
            kind: text(rest.nth(1)?),
            options: text(rest.nth(1)?),
        })
    }
}

/// Undoes how paths are written in the list: the kernel writes blanks, tabs, line ends and backslashes of a path as three octal digits; so does fstab(5).
pub(crate) fn unescaped(field: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((first, after)) = rest.split_first() {
        let octal = after.get(..3).filter(|_| *first == b'\\').and_then(|digits| {
            let text = str::from_utf8(digits).ok()?;
            u8::from_str_radix(text, 8).ok()
        });
        bytes.push(octal.unwrap_or(*first));
        rest = if octal.is_some() { &after[3..] } else { after };
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_read_as_the_kernel_writes_it() {
        assert_eq!(unescaped(br"/mnt/a\040b\134c"), br"/mnt/a b\c");
        assert_eq!(unescaped(br"/odd\9"), br"/odd\9");
    }

    #[test]
    fn the_innermost_mount_is_that_of_a_path_and_of_what_is_not_there_yet() {
        assert_eq!(mount_of(Path::new("/proc/self/no/such")), Some("/proc".into()));
        assert!(is_mounted(Path::new("/proc/")) && !is_mounted(Path::new("/proc/self")));
        let folder = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink("/proc", folder.path().join("link")).unwrap();
        assert_eq!(mount_of(&folder.path().join("link/x")), Some("/proc".into()));
    }

    #[test]
    fn n2_what_is_seen_at_several_places_is_known_at_each() {
        let list = b"22 1 8:1 / / rw - ext4 /dev/sda1 rw\n\
            23 22 8:2 / /home rw - ext4 /dev/sda2 rw\n\
            24 22 8:2 / /export/home rw - ext4 /dev/sda2 rw\n\
            25 22 8:2 /render /srv/render rw - ext4 /dev/sda2 rw\n\
            26 22 8:2 /render/own/tmp /mnt/tmp rw - ext4 /dev/sda2 rw\n\
            27 22 8:2 /other /mnt/other rw - ext4 /dev/sda2 rw\n\
            28 22 8:1 /home /mnt/hidden rw - ext4 /dev/sda1 rw\n";
        let mounts = parse(list);
        let mut places: Vec<_> = places_of(Path::new("/home/render/own"), &mounts).collect();
        places.sort();
        places.dedup();
        let wanted = [
            "/export/home/render/own",
            "/home/render/own",
            "/mnt/tmp",
            "/srv/render/own",
        ];
        assert_eq!(places, wanted.map(PathBuf::from));
    }

    #[test]
    fn a_line_is_read_with_and_without_optional_fields() {
        for optional in ["", "shared:1 master:2 "] {
            let line =
                format!(r"36 35 0:98 / /mnt/a\040b rw,nosuid {optional}- fuse.blender blender rw,user_id=0,group_id=0");
            let mount = Mount::parse(line.as_bytes()).unwrap();
            assert_eq!(mount.at, Path::new("/mnt/a b"));
            assert_eq!(
                (mount.kind.as_str(), mount.options.as_str()),
                ("fuse.blender", "rw,user_id=0,group_id=0")
            );
        }
        assert_eq!(Mount::parse(b""), None);
    }
}
