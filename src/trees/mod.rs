// SPDX-License-Identifier: GPL-3.0-or-later

//! Work on trees that others may change meanwhile: by descriptors, through no link, into no mount.
//!
//! ```text
//! task (TMPDIR), command (move-directory), spool (history) ─► removal ─► path_handle ─► the kernel
//! ```

mod path_handle;
mod removal;

pub(crate) use path_handle::{PathHandle, open_below, open_folder};
pub(crate) use removal::{NotRemoved, remove};

/// A thread of a test with mounts of its own, which end with it.
///
/// `None` where this user may not mount; that is said by the tests of the whole worker.
#[cfg(test)]
pub(crate) fn with_own_mounts<T: Send>(test: impl FnOnce() -> T + Send) -> Option<T> {
    use nix::mount::{MsFlags, mount};
    use nix::sched::{CloneFlags, unshare};

    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            unshare(CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_FS).ok()?;
            let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
            mount(None::<&str>, "/", None::<&str>, private, None::<&str>).ok()?;
            Some(test())
        });
        thread.join().unwrap()
    })
}

/// Mounts what is at `from` also at `at`.
#[cfg(test)]
pub(crate) fn bind(from: &std::path::Path, at: &std::path::Path) {
    use nix::mount::{MsFlags, mount};

    mount(Some(from), at, None::<&str>, MsFlags::MS_BIND, None::<&str>).unwrap();
}
