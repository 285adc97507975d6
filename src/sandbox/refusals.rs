// SPDX-License-Identifier: GPL-3.0-or-later

//! What programs say of a call that was refused, in the language of this node: most pass on the words of the C library.

#![expect(unsafe_code, reason = "a thread's locale has no safe wrapper")]

use std::io;
use std::ptr;

use memchr::memmem::Finder;
use nix::errno::Errno;
use nix::libc;

/// What a call is refused with.
const REFUSED: [Errno; 2] = [Errno::EACCES, Errno::EPERM];

/// The words of refusals.
#[derive(Debug)]
pub(super) struct Refusals(Vec<Finder<'static>>);

impl Refusals {
    /// In English, and in the language that the environment names: that of the worker, which tasks have, too.
    pub(super) fn of_environment() -> Self {
        let english = REFUSED.iter().map(|errno| errno.desc().to_owned());
        let words = english.chain(in_our_language());
        Self(
            words
                .map(|words| Finder::new(without_first(&words)).into_owned())
                .collect(),
        )
    }

    /// Whether a line tells of one.
    pub(super) fn are_in(&self, line: &[u8]) -> bool {
        self.0.iter().any(|words| words.find(line).is_some())
    }
}

/// Programs that put it into a sentence of theirs begin it with a small letter.
fn without_first(words: &str) -> &str {
    let mut rest = words.chars();
    rest.next();
    rest.as_str()
}

/// Empty where that language is not installed.
fn in_our_language() -> Vec<String> {
    let which = libc::LC_MESSAGES_MASK | libc::LC_CTYPE_MASK;
    // SAFETY: an empty name stands for the environment's, and there is no locale to change.
    let locale = unsafe { libc::newlocale(which, c"".as_ptr(), ptr::null_mut()) };
    if locale.is_null() {
        return Vec::new();
    }
    // SAFETY: it was just made.
    let before = unsafe { libc::uselocale(locale) };
    let words = REFUSED.map(|errno| io::Error::from(errno).to_string());
    // SAFETY: what this thread had, which uses the new one no more.
    unsafe {
        libc::uselocale(before);
        libc::freelocale(locale);
    }
    // `Keine Berechtigung (os error 13)`
    let plain = words.iter().filter_map(|words| words.rsplit_once(" (os error"));
    plain
        .map(|(words, _)| words.to_owned())
        .filter(|words| !words.is_empty())
        .collect()
}
