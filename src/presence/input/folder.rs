// SPDX-License-Identifier: GPL-3.0-or-later

//! What comes and goes in the folder of devices, told by inotify: also a permission that udev gives a little later, and the
//! folder itself, which is made for the first device.

use std::ffi::OsString;
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollEvent, EpollFlags};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};

/// More than any udev says at once; the rest is read later.
const MOST_READS: usize = 64;

/// Hears of devices that come and go.
#[derive(Debug)]
pub(super) struct FolderWatch {
    inotify: Inotify,
    /// Of the folder itself.
    name: OsString,
}

impl FolderWatch {
    /// Hears of them in `folder`, or of a folder of this name; `epoll` is ready when there is something to hear.
    pub(super) fn new(folder: &Path, epoll: &Epoll) -> Result<Self, Errno> {
        let inotify = Inotify::init(InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC)?;
        let appears = AddWatchFlags::IN_CREATE | AddWatchFlags::IN_MOVED_TO | AddWatchFlags::IN_ONLYDIR;
        let changes = appears
            | AddWatchFlags::IN_ATTRIB
            | AddWatchFlags::IN_DELETE
            | AddWatchFlags::IN_MOVED_FROM
            | AddWatchFlags::IN_DELETE_SELF
            | AddWatchFlags::IN_MOVE_SELF;
        if inotify.add_watch(folder, changes).is_err() {
            inotify.add_watch(folder.parent().unwrap_or(folder), appears)?;
            // It may have been made just before that.
            inotify.add_watch(folder, changes).ok();
        }
        let watch = Self {
            inotify,
            name: folder.file_name().unwrap_or_default().to_owned(),
        };
        epoll.add(&watch.inotify, EpollEvent::new(EpollFlags::EPOLLIN, watch.token()))?;
        Ok(watch)
    }

    /// Whether an event of the epoll is of this.
    pub(super) fn is(&self, token: u64) -> bool {
        token == self.token()
    }

    /// Takes what there is to hear. Returns whether the folder is to be looked at anew.
    pub(super) fn has_changed(&self) -> bool {
        let mut changed = false;
        for _ in 0..MOST_READS {
            let Ok(events) = self.inotify.read_events() else { break };
            // Without a name it is about the folder itself, or there was too much to be told.
            changed |= events.into_iter().any(|event| {
                event
                    .name
                    .is_none_or(|name| name == self.name || name.as_bytes().starts_with(b"event"))
            });
        }
        changed
    }

    fn token(&self) -> u64 {
        u64::from(self.inotify.as_fd().as_raw_fd().unsigned_abs())
    }
}
