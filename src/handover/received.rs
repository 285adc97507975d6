// SPDX-License-Identifier: GPL-3.0-or-later

//! What a process was handed by the one that it was before.

use std::env;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Read, Seek};
use std::os::fd::{OwnedFd, RawFd};

use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::descriptor::take;
use super::envelope::{Envelope, can_read};
use super::{MEMFD, VARIABLE};

/// What this process was handed, not read yet. Dropped, it is let go.
#[derive(Debug)]
pub(crate) struct Received {
    state: File,
    descriptors: Vec<RawFd>,
}

/// Enough of a state to tell whether the rest can be read.
#[derive(Deserialize)]
struct AnyState {
    version: u32,
    oldest_reader: u32,
}

impl Received {
    /// `None` for a process that was started as any other, also if the variable is there: a program of somebody's may have
    /// inherited that.
    pub(crate) fn from_environment() -> Option<Self> {
        let (state, descriptors) = parse(&env::var_os(VARIABLE)?)?;
        let name = fs::read_link(format!("/proc/self/fd/{state}")).ok()?;
        if !name.to_string_lossy().starts_with(&format!("/memfd:{MEMFD}")) {
            return None;
        }
        Some(Self {
            state: File::from(take(state)?),
            descriptors,
        })
    }

    /// The state, with the descriptors that it names. What others there are is closed: answers with how many those were.
    ///
    /// # Errors
    /// When it cannot be read. Then all is closed, and whoever was at the other end of a descriptor sees that.
    pub(crate) fn read<T: DeserializeOwned>(mut self) -> io::Result<(T, usize)> {
        let mut text = Vec::new();
        self.state.rewind()?;
        self.state.read_to_end(&mut text)?;
        let any: AnyState = serde_json::from_slice(&text)?;
        if !can_read(any.version, any.oldest_reader) {
            let words = format!("it is of version {}, which this program does not know", any.version);
            return Err(io::Error::new(io::ErrorKind::Unsupported, words));
        }
        let envelope: Envelope<T> = serde_json::from_slice(&text)?;
        Ok((envelope.state, self.close_the_rest()))
    }

    fn close_the_rest(&mut self) -> usize {
        let left = self.descriptors.drain(..).filter_map(take);
        left.map(drop::<OwnedFd>).count()
    }
}

impl Drop for Received {
    fn drop(&mut self) {
        self.close_the_rest();
    }
}

fn parse(variable: &OsStr) -> Option<(RawFd, Vec<RawFd>)> {
    let (state, descriptors) = variable.to_str()?.split_once(':')?;
    let numbers = descriptors.split(',').filter(|number| !number.is_empty());
    let numbers: Result<Vec<RawFd>, _> = numbers.map(str::parse).collect();
    Some((state.parse().ok()?, numbers.ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_variable_names_the_state_and_the_descriptors() {
        let parsed = |text: &str| parse(OsStr::new(text));
        assert_eq!(parsed("3:4,15"), Some((3, vec![4, 15])));
        assert_eq!(parsed("3:"), Some((3, vec![])));
        for wrong in ["", "3", "x:1", "3:1,x", "3:-", "3:1 2"] {
            assert_eq!(parsed(wrong), None, "{wrong}");
        }
    }
}
