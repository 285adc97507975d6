// SPDX-License-Identifier: GPL-3.0-or-later

//! Addresses of buses: `unix:path=/run/dbus/system_bus_socket`, several of them with a `;` between.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;
use std::path::PathBuf;

/// The first socket of this machine in an address; one of the abstract namespace begins with a NUL, as tokio has it.
pub(super) fn socket(address: &str) -> Option<PathBuf> {
    address.split(';').find_map(|one| {
        let keys = one.trim().strip_prefix("unix:")?.split(',');
        keys.filter_map(|key| key.split_once('=')).find_map(|(key, value)| {
            let value = unescape(value)?;
            let bytes = match key {
                "path" => value,
                "abstract" => [vec![0], value].concat(),
                _ => return None,
            };
            Some(OsString::from_vec(bytes).into())
        })
    })
}

/// Without the `%` and two digits that stand for one byte.
fn unescape(text: &str) -> Option<Vec<u8>> {
    let mut bytes = text.bytes();
    let mut plain = Vec::new();
    while let Some(byte) = bytes.next() {
        let mut digit = || char::from(bytes.next()?).to_digit(16);
        plain.push(match byte {
            b'%' => u8::try_from(digit()? << 4 | digit()?).ok()?,
            byte => byte,
        });
    }
    Some(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_socket_of_this_machine_is_taken() {
        let found = |address| socket(address).map(|path| path.into_os_string().into_string().unwrap());
        assert_eq!(found("unix:path=/run/bus").as_deref(), Some("/run/bus"));
        assert_eq!(found("unix:guid=1,path=/a%20b%2fc").as_deref(), Some("/a b/c"));
        assert_eq!(found("tcp:host=x;unix:abstract=/tmp/x").as_deref(), Some("\0/tmp/x"));
        for none in [
            "",
            "unix:",
            "unix:path",
            "tcp:path=/x",
            "unix:path=/a%2",
            "unix:path=/a%zz",
        ] {
            assert_eq!(found(none), None, "{none}");
        }
    }
}
