// SPDX-License-Identifier: GPL-3.0-or-later

//! What a task's folder is called. A task id comes from the network and is never trusted as a path.

use crate::protocol::Id;
/// The folder's name: a UUID stands for itself, as every task id of the Manager's does; anything else is
/// written in hexadecimal, which is still short enough for the name of a file.
pub(super) fn folder_name(task: &Id) -> String {
    if is_uuid(task) {
        return task.to_string();
    }
    let hex = task.bytes().map(|byte| format!("{byte:02x}"));
    std::iter::once("x-".to_owned()).chain(hex).collect()
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

    fn id(text: &str) -> Id {
        text.to_owned().try_into().unwrap()
    }

    #[test]
    fn a_uuid_is_its_own_name_and_nothing_else_is() {
        let uuid = "3b241101-e2bb-4255-8caf-4136c566a962";
        assert_eq!(folder_name(&id(uuid)), uuid);
        assert_eq!(folder_name(&id("a.b")), "x-612e62");
        assert_eq!(folder_name(&id("history")), "x-686973746f7279");
    }

    proptest! {
        #[test]
        fn every_name_is_one_plain_path_component_and_no_two_ids_share_it(
            one in "[A-Za-z0-9_-][A-Za-z0-9._-]{0,99}",
            other in "[A-Za-z0-9_-][A-Za-z0-9._-]{0,99}",
        ) {
            let name = folder_name(&id(&one));
            prop_assert!(name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-'));
            prop_assert!(name.len() < 255 && is_folder_name(&name));
            prop_assert_eq!(one == other, folder_name(&id(&other)) == name);
        }
    }
}
