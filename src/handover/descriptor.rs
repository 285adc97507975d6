// SPDX-License-Identifier: GPL-3.0-or-later

//! A descriptor that travels.

#![expect(unsafe_code, reason = "a descriptor is taken over by its number")]

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::sync::Arc;

use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A descriptor that travels: in the state it is a number. It is closed when the last clone is dropped.
#[derive(Debug, Clone)]
pub(crate) struct HandedFd(Arc<OwnedFd>);

impl HandedFd {
    /// One more descriptor of the same open file; the state can be put together while the first is still in use.
    ///
    /// # Errors
    /// When there is no descriptor left.
    pub(crate) fn of(open: &impl AsFd) -> io::Result<Self> {
        open.as_fd().try_clone_to_owned().map(Self::from)
    }

    /// The descriptor for its next owner.
    ///
    /// # Errors
    /// When there is no descriptor left, and there are other clones.
    pub(crate) fn into_owned(self) -> io::Result<OwnedFd> {
        Arc::try_unwrap(self.0).or_else(|shared| shared.try_clone())
    }

    /// Its number.
    pub(super) fn number(&self) -> RawFd {
        self.0.as_raw_fd()
    }

    /// Whether it stays open over an exec.
    ///
    /// # Errors
    /// What the kernel says of the descriptor.
    pub(super) fn stay_open(&self, stays: bool) -> io::Result<()> {
        set_stays_open(self.0.as_fd(), stays)
    }
}

impl From<OwnedFd> for HandedFd {
    fn from(owned: OwnedFd) -> Self {
        Self(Arc::new(owned))
    }
}

impl AsFd for HandedFd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl PartialEq for HandedFd {
    fn eq(&self, other: &Self) -> bool {
        self.number() == other.number()
    }
}

impl Eq for HandedFd {}

impl Serialize for HandedFd {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.number().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for HandedFd {
    /// Takes over the descriptor of that number, which is closed at the next exec from now on. One that is not open, or was
    /// not left open for a successor, is an error: it is somebody else's.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let number = RawFd::deserialize(deserializer)?;
        take(number)
            .map(Self::from)
            .ok_or_else(|| D::Error::custom(format!("there is no descriptor {number} to take over")))
    }
}

/// Takes over a descriptor that was left open over the exec; `None` if there is none, or if it is taken already.
pub(super) fn take(number: RawFd) -> Option<OwnedFd> {
    if number <= io::stderr().as_raw_fd() || !stays_open(number) {
        return None;
    }
    // SAFETY: it is open, and nobody in this process has it: what a process opens itself is closed at an exec, and so is
    // what was taken over, from the next line on.
    let owned = unsafe { OwnedFd::from_raw_fd(number) };
    set_stays_open(owned.as_fd(), false).ok()?;
    Some(owned)
}

fn stays_open(number: RawFd) -> bool {
    // SAFETY: it is only asked for its flags, and a number that is not open is an error of the call.
    let borrowed = unsafe { BorrowedFd::borrow_raw(number) };
    fcntl(borrowed, FcntlArg::F_GETFD)
        .is_ok_and(|flags| !FdFlag::from_bits_truncate(flags).contains(FdFlag::FD_CLOEXEC))
}

pub(super) fn set_stays_open(open: BorrowedFd<'_>, stays: bool) -> io::Result<()> {
    let flags = match stays {
        true => FdFlag::empty(),
        false => FdFlag::FD_CLOEXEC,
    };
    fcntl(open, FcntlArg::F_SETFD(flags))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use super::*;

    #[test]
    fn a_number_is_taken_over_once_and_only_if_it_was_left_open() {
        let file = HandedFd::from(OwnedFd::from(File::open("/dev/null").unwrap()));
        let text = serde_json::to_string(&file).unwrap();
        let refused = serde_json::from_str::<HandedFd>(&text).unwrap_err().to_string();
        assert!(refused.starts_with("there is no descriptor"), "{refused}");
        file.stay_open(true).unwrap();
        let number = file.into_owned().map(std::os::fd::IntoRawFd::into_raw_fd).unwrap();
        let taken: HandedFd = serde_json::from_str(&number.to_string()).unwrap();
        assert!(serde_json::from_str::<HandedFd>(&text).is_err(), "it is taken");
        assert_eq!(taken.number(), number);
        for never in ["-1", "2", "1000000"] {
            assert!(serde_json::from_str::<HandedFd>(never).is_err(), "{never}");
        }
    }
}
