// SPDX-License-Identifier: GPL-3.0-or-later

//! What a task's folder is called. A task id comes from the network and is never trusted as a path.

use std::fmt::Write;

/// Longest id that gets a folder, in bytes: written in hexadecimal it still is a file name.
const LONGEST: usize = 100;

/// The folder's name: a UUID stands for itself, as every task id of the Manager's does; anything else is
/// written in hexadecimal. `None` for an id that is empty or too long to be one.
pub(super) fn folder_name(task: &str) -> Option<String> {
    if is_uuid(task) {
        return Some(task.to_owned());
    }
    if task.is_empty() || task.len() > LONGEST {
        return None;
    }
    let mut name = String::from("x-");
    for byte in task.bytes() {
        write!(name, "{byte:02x}").ok()?;
    }
    Some(name)
}

/// Whether a name in the spool folder is one that [`folder_name`] gives.
pub(super) fn is_folder_name(name: &str) -> bool {
    let encoded = |hex: &str| !hex.is_empty() && hex.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_uuid(name) || name.strip_prefix("x-").is_some_and(encoded)
}

/// Lower case only: as the Manager writes them, and so that no two ids share a folder.
fn is_uuid(text: &str) -> bool {
    text.len() == 36
        && text.bytes().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => matches!(byte, b'0'..=b'9' | b'a'..=b'f'),
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_uuid_is_its_own_name_and_nothing_else_is() {
        let uuid = "3b241101-e2bb-4255-8caf-4136c566a962";
        assert_eq!(folder_name(uuid).as_deref(), Some(uuid));
        assert_eq!(folder_name("../etc").as_deref(), Some("x-2e2e2f657463"));
        assert_eq!(folder_name("history").as_deref(), Some("x-686973746f7279"));
        assert_eq!(folder_name(""), None);
        assert_eq!(folder_name(&"a".repeat(101)), None);
    }

    proptest! {
        #[test]
        fn every_name_is_one_plain_path_component_and_no_two_ids_share_it(one in ".{1,40}", other in ".{1,40}") {
            if let Some(name) = folder_name(&one) {
                prop_assert!(name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-'));
                prop_assert!(name.len() < 255 && is_folder_name(&name));
                prop_assert_eq!(one == other, folder_name(&other) == Some(name));
            }
        }
    }
}
