// SPDX-License-Identifier: GPL-3.0-or-later

//! The devices themselves: found, opened to be read, and read to be thrown away.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

use nix::libc;
use nix::sys::epoll::{Epoll, EpollEvent, EpollFlags};

use super::capabilities::is_for_people;

/// More than any machine has; each takes a descriptor.
const MOST: usize = 256;

/// A device keeps a few kilobytes of what it has said.
const MOST_READS: usize = 32;

/// What is there.
#[derive(Debug, Default)]
pub(crate) struct Survey {
    found: Vec<Found>,
    /// What cannot be read, and why.
    pub denied: Vec<(String, io::Error)>,
    /// Devices that tell of no person.
    pub left_out: Vec<String>,
}

/// A device that can be read.
#[derive(Debug)]
struct Found {
    name: String,
    inode: u64,
    /// `None`: it was opened before.
    file: Option<File>,
}

/// The devices that are open, by their names.
#[derive(Debug, Default)]
pub(super) struct Devices(BTreeMap<String, Device>);

#[derive(Debug)]
struct Device {
    file: File,
    /// Another device may come by the same name.
    inode: u64,
}

/// What came of reading a device.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Drained {
    pub(super) said_something: bool,
    pub(super) has_gone: bool,
}

impl Survey {
    /// The names of what can be read.
    pub(crate) fn names(&self) -> Vec<&str> {
        self.found.iter().map(|found| found.name.as_str()).collect()
    }
}

/// Looks for devices in `folder`, and opens those that are not `known` by name and inode. May block.
pub(crate) fn survey(folder: &Path, known: &BTreeMap<String, u64>) -> Survey {
    let mut survey = Survey::default();
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    let mut names: Vec<_> = names.filter(|name| name.starts_with("event")).take(MOST).collect();
    names.sort();
    for name in names {
        let path = folder.join(&name);
        // Gone again, or nothing that could be a device.
        let Ok(seen) = fs::metadata(&path) else { continue };
        if !seen.file_type().is_char_device() && !seen.file_type().is_fifo() {
            continue;
        }
        if !is_for_people(seen.rdev()) {
            survey.left_out.push(name);
            continue;
        }
        let inode = seen.ino();
        let file = match known.get(&name) == Some(&inode) {
            true => None,
            false => match open(&path) {
                Ok(file) => Some(file),
                Err(error) if has_gone(&error) => continue,
                Err(error) => {
                    survey.denied.push((name, error));
                    continue;
                }
            },
        };
        survey.found.push(Found { name, inode, file });
    }
    survey
}

fn open(path: &Path) -> io::Result<File> {
    let flags = libc::O_NONBLOCK | libc::O_NOCTTY;
    OpenOptions::new().read(true).custom_flags(flags).open(path)
}

/// Whether it is the device that is not there, and not we who may not.
fn has_gone(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ENODEV | libc::ENXIO | libc::ENOENT))
}

impl Devices {
    /// Those that are open, with their inodes.
    pub(super) fn known(&self) -> BTreeMap<String, u64> {
        let each = self.0.iter().map(|(name, device)| (name.clone(), device.inode));
        each.collect()
    }

    /// From now on these are watched, and no others.
    pub(super) fn take_up(&mut self, survey: Survey, epoll: &Epoll) {
        let mut before = std::mem::take(&mut self.0);
        for Found { name, inode, file } in survey.found {
            let device = match file {
                None => before.remove(&name),
                Some(file) => {
                    let event = EpollEvent::new(EpollFlags::EPOLLIN, token(&file));
                    epoll.add(&file, event).ok().map(|()| Device { file, inode })
                }
            };
            self.0.extend(device.map(|device| (name, device)));
        }
        before.values().for_each(|device| close(&device.file, epoll));
    }

    /// Throws away what the device behind an event has said. One that has hung up is let go of.
    pub(super) fn drain(&mut self, event: u64, epoll: &Epoll) -> Drained {
        let Some((name, device)) = self.0.iter_mut().find(|(_, device)| token(&device.file) == event) else {
            return Drained::default();
        };
        let drained = drain(&mut device.file);
        if drained.has_gone {
            close(&device.file, epoll);
            let name = name.clone();
            self.0.remove(&name);
        }
        drained
    }
}

/// A process that is just being started may have the same open for a moment, so that to close it is not enough.
fn close(file: &File, epoll: &Epoll) {
    epoll.delete(file).ok();
}

fn token(file: &File) -> u64 {
    u64::from(file.as_raw_fd().unsigned_abs())
}

fn drain(file: &mut File) -> Drained {
    let mut drained = Drained::default();
    for _ in 0..MOST_READS {
        match file.read(&mut [0; 4096]) {
            Ok(0) => drained.has_gone = true,
            Ok(_) => {
                drained.said_something = true;
                continue;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => drained.has_gone = error.kind() != io::ErrorKind::WouldBlock,
        }
        break;
    }
    drained
}
