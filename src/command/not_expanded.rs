// SPDX-License-Identifier: GPL-3.0-or-later

//! Paths of tasks that are not there, and the words in them that only a shell would have read.

use std::fs;
use std::path::Path;

use super::text::quoted;

/// What to say of `$HOME` or `~` in a path that is not there: a shell would have put something else in its place.
pub(super) fn not_expanded(path: &Path) -> Option<String> {
    let word = for_shells(path.to_str()?).filter(|_| fs::symlink_metadata(path).is_err())?;
    Some(format!("{word} is not expanded here: no shell reads this"))
}

/// That there is no such source, and likely why.
pub(super) fn missing_source(path: &Path) -> String {
    let why = not_expanded(path).map(|why| format!(" ({why})")).unwrap_or_default();
    format!("source path {} does not exist{why}", quoted(&path.to_string_lossy()))
}

/// `$HOME` in `$HOME/x`, `${HOME}` in `/${HOME}/x`, `~` in `~/x`, `~render` in `~render/x`.
fn for_shells(path: &str) -> Option<&str> {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
    if path.starts_with('~') {
        let user = path.split('/').next()?;
        return user[1..].chars().all(|c| plain(c) || "-.".contains(c)).then_some(user);
    }
    let word = &path[path.find('$')?..];
    let (name, end) = match word[1..].strip_prefix('{') {
        Some(rest) => rest.find('}').map(|end| (&rest[..end], end + 3))?,
        None => {
            let end = word[1..].find(|c| !plain(c)).unwrap_or(word.len() - 1);
            (&word[1..=end], end + 1)
        }
    };
    (!name.is_empty() && name.chars().all(plain)).then_some(&word[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_word_that_a_shell_would_have_replaced_is_named_if_the_path_is_not_there() {
        let table = [
            ("~/blender/blender", "~"),
            ("~render/blender", "~render"),
            ("$HOME/blender", "$HOME"),
            ("/opt/${VERSION}/blender", "${VERSION}"),
            ("a$", ""),
            ("a~/b", ""),
            ("a$/b", ""),
            ("a${/b", ""),
            ("a${x y}/b", ""),
            ("~a b/c", ""),
        ];
        for (path, word) in table {
            assert_eq!(for_shells(path).unwrap_or_default(), word, "{path}");
        }
        let folder = tempfile::tempdir().unwrap();
        let odd = folder.path().join("$HOME");
        assert!(not_expanded(&odd).is_some_and(|why| why.starts_with("$HOME is not expanded here")));
        fs::write(&odd, "").unwrap();
        assert_eq!(not_expanded(&odd), None);
    }
}
