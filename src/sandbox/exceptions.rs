// SPDX-License-Identifier: GPL-3.0-or-later

//! What is not open to tasks around the worker's own files, at all places where it is seen.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs::DirEntry;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

use super::opened::follow;
use crate::mounts::{Mount, places_of};

/// Where devices are: what is on a disk can be read past all folders there, and what is typed, and what a console shows.
const DEVICES: &str = "/dev";
/// What begins with these, beside all disks, is closed: memory, the kernel's log, consoles and screens, keyboards and what can
/// type in their place, what passes over a bus, tapes, commands to disks and to the machine, networks, cameras and microphones.
const CLOSED: [&str; 57] = [
    "bsg",
    "btrfs-control",
    "bus",
    "cachefiles",
    "ch",
    "console",
    "cpu",
    "cuse",
    "dax",
    "fb",
    "gpio",
    "hidraw",
    "hpet",
    "i2c",
    "input",
    "ipmi",
    "kmem",
    "kmsg",
    "loop-control",
    "lp",
    "mapper",
    "media",
    "mei",
    "mem",
    "mtd",
    "net",
    "ng",
    "nst",
    "nvme",
    "nvram",
    "oldmem",
    "parport",
    "port",
    "raw",
    "rfkill",
    "rtc",
    "sch",
    "sg",
    "snapshot",
    "snd",
    "spi",
    "st",
    "tpm",
    "tty",
    "uhid",
    "uinput",
    "uio",
    "usb",
    "userio",
    "vcs",
    "vfio",
    "vhost",
    "video",
    "vmci",
    "vsock",
    "watchdog",
    "zfs",
];
/// The terminal of whoever opens it.
const OWN_TERMINAL: &str = "tty";
/// The file systems of devices.
const OF_DEVICES: &str = "devtmpfs";
/// What the kernel shows of itself and of processes. Who writes there freezes others, takes itself out of its control group, and
/// as root has the kernel start programs.
const OF_THE_KERNEL: [&str; 4] = ["proc", "sysfs", "cgroup", "cgroup2"];

/// How far something is open that is not open as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Openness {
    /// Not at all.
    Closed,
    /// It can be read.
    ReadOnly,
    /// A folder of devices, of which most are.
    Devices,
}

/// How far each of them is open, by its path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Exceptions(BTreeMap<PathBuf, Openness>);

/// How files are found: each name on the way that is to stay what it is.
#[derive(Debug, Default)]
pub(super) struct Ways {
    /// Where their paths lead, whether they are there or not.
    pub(super) ends: Vec<PathBuf>,
    /// The links on the way: in the place of one there could be another, to another file.
    pub(super) links: Vec<PathBuf>,
}

impl Ways {
    /// To these absolute paths.
    pub(super) fn to<'a>(paths: impl IntoIterator<Item = &'a PathBuf>) -> Self {
        let mut ways = Self::default();
        for path in paths {
            let end = follow(path, |link| {
                ways.links.push(link.to_owned());
                true
            });
            ways.ends.extend(end);
        }
        ways
    }
}

impl Exceptions {
    /// For files that are `hidden`, others that are `kept` as they are, and devices and the kernel's files beside them.
    pub(super) fn new(hidden: &Ways, kept: &Ways, mounts: &[Mount]) -> Self {
        let mut all = BTreeMap::from([(DEVICES.into(), Openness::Devices)]);
        for mount in mounts {
            if mount.kind == OF_DEVICES {
                all.insert(mount.at.clone(), Openness::Devices);
            } else if OF_THE_KERNEL.contains(&mount.kind.as_str()) {
                all.insert(mount.at.clone(), Openness::ReadOnly);
            }
        }
        let everywhere = |paths: &[PathBuf], openness| {
            let places = paths.iter().flat_map(|path| places_of(path, mounts));
            places.map(|place| (place, openness)).collect::<Vec<_>>()
        };
        // What is closed stays closed.
        all.extend(everywhere(&kept.ends, Openness::ReadOnly));
        for closed in [&kept.links, &hidden.links, &hidden.ends] {
            all.extend(everywhere(closed, Openness::Closed));
        }
        Self(all)
    }

    /// The same, with these not open at all.
    #[must_use]
    pub(super) fn and_closed(mut self, paths: &[PathBuf]) -> Self {
        self.0.extend(paths.iter().map(|path| (path.clone(), Openness::Closed)));
        self
    }

    pub(super) fn at(&self, path: &Path) -> Option<Openness> {
        self.0.get(path).copied()
    }

    /// Whether a folder leads to one of them.
    pub(super) fn are_below(&self, folder: &Path) -> bool {
        self.0.keys().any(|path| path.starts_with(folder))
    }

    /// The folders that are open entry by entry: those that lead to an exception, and those of devices.
    pub(super) fn folders(&self) -> BTreeSet<&Path> {
        let above = self.0.keys().flat_map(|path| path.ancestors().skip(1));
        let devices = self.0.iter().filter(|(_, openness)| **openness == Openness::Devices);
        let is_entered = |folder: &&Path| {
            let mut within = folder.ancestors();
            within.all(|above| !matches!(self.at(above), Some(Openness::Closed | Openness::ReadOnly)))
        };
        let all = above.chain(devices.map(|(path, _)| path.as_path()));
        all.filter(is_entered).collect()
    }
}

/// Whether an entry of `/dev` is neither a disk nor [`CLOSED`].
pub(super) fn is_open_device(entry: &DirEntry) -> bool {
    let is_block = entry.file_type().is_ok_and(|kind| kind.is_block_device());
    let name = entry.file_name();
    let is_closed = CLOSED.iter().any(|start| name.as_bytes().starts_with(start.as_bytes()));
    !is_block && (name == OsStr::new(OWN_TERMINAL) || !is_closed)
}
