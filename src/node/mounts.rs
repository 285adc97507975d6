// SPDX-License-Identifier: GPL-3.0-or-later

//! What is mounted, and what should be.

use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use crate::mounts::{is_mounted, unescaped};

/// Where the administrator says what is to be mounted.
const FSTAB: &str = "/etc/fstab";

/// The file system that `home` is to be on and that is not mounted yet: one that the operator names as `needed`. Before
/// a worker has registered in the home also one of fstab(5): an empty home may then be the mount point. One that is in use
/// is not asked for it, as a line of that file may be older than the home. Blocks on the file systems.
pub(crate) fn not_mounted_yet(home: &Path, needed: &[PathBuf], in_use: bool) -> Option<PathBuf> {
    let listed = match in_use {
        true => Vec::new(),
        false => listed(&fs::read(FSTAB).unwrap_or_default()),
    };
    let above = needed.iter().chain(&listed).filter(|place| home.starts_with(place));
    above.filter(|place| !is_mounted(place)).max().cloned()
}

/// The places that are mounted at a start, without the root, which always is.
fn listed(fstab: &[u8]) -> Vec<PathBuf> {
    let lines = fstab.split(|byte| *byte == b'\n');
    let places = lines.filter_map(|line| {
        let mut fields = line.split(u8::is_ascii_whitespace).filter(|field| !field.is_empty());
        let device = fields.next().filter(|device| !device.starts_with(b"#"))?;
        let place = unescaped(fields.next()?);
        let options = fields.nth(1).unwrap_or_default();
        let by_hand = options.split(|byte| *byte == b',').any(|option| option == b"noauto");
        let counts = !device.is_empty() && !by_hand && place.len() > 1 && place.starts_with(b"/");
        counts.then(|| PathBuf::from(OsString::from_vec(place)))
    });
    places.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_home_is_to_be_on_is_waited_for_and_nothing_else() {
        let text = b"# <file system>\n/dev/sda1 / ext4 defaults 0 1\nLABEL=x /data\\040a xfs nofail,noatime 0 0\n\
            tmpfs\t/tmp tmpfs\n/dev/sr0 /media auto noauto,user 0 0\n/dev/sda2 none swap sw 0 0\n";
        assert_eq!(listed(text), [PathBuf::from("/data a"), PathBuf::from("/tmp")]);
        let folder = tempfile::tempdir().unwrap();
        let home = folder.path().join("a/home");
        let missing = |needed: &Path| not_mounted_yet(&home, &[needed.to_owned()], true);
        assert_eq!(missing(folder.path()).as_deref(), Some(folder.path()));
        assert_eq!(missing(&home).as_deref(), Some(home.as_path()));
        assert_eq!(missing(Path::new("/no/such/place")), None);
        assert_eq!(not_mounted_yet(Path::new("/proc/home"), &["/proc".into()], true), None);
    }
}
