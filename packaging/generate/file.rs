// SPDX-License-Identifier: GPL-3.0-or-later

//! The configuration that a package brings: the keys that matter on most nodes, commented out. All are in the manual.
//!
//! A line that starts with `# ` is for reading, one with `#` alone in front is for taking that away.

use flamenco_worker::generators::{ManualKey, ManualTable, ManualValue};

const HEAD: &str = "\
# Configuration of flamenco-worker: what most nodes need. There is more in flamenco-worker.toml(5).
#
# Take the # away in front of a key to set it, and in front of the [table] above it. What is
# shown is the default, or an example where there is none. `systemctl reload flamenco-worker`
# has the worker take all of it into use, also in mid-render; a mistake changes nothing.
";

/// What a new node is likely to need, with the table it is in.
const MATTER: [(&str, &str); 13] = [
    ("", "manager"),
    ("", "worker_name"),
    ("", "task_types"),
    ("", "restart_exit_code"),
    ("", "home"),
    ("", "nice"),
    ("", "push"),
    ("tls", "ca_file"),
    ("log", "level"),
    ("node", "mounted"),
    ("node", "writable"),
    ("node", "free_space"),
    ("node", "memory"),
];

/// Columns of a terminal, less a little.
const WIDTH: usize = 96;

pub(crate) fn commented(tables: &[ManualTable]) -> String {
    tables
        .iter()
        .filter_map(shortened)
        .fold(HEAD.to_owned(), |text, table| text + &one(&table))
}

/// With the keys that matter only. `None`: there are none.
fn shortened(table: &ManualTable) -> Option<ManualTable> {
    let mut short = table.clone();
    short.keys.retain(|key| MATTER.contains(&(table.name, key.name)));
    (!short.keys.is_empty()).then_some(short)
}

fn one(table: &ManualTable) -> String {
    let mut text = String::new();
    if !table.name.is_empty() {
        text += &format!("\n{}#[{}]\n", prose(table.about), table.name);
    }
    for key in &table.keys {
        text += &format!("\n{}", setting(key));
    }
    text
}

fn setting(key: &ManualKey) -> String {
    let (note, value) = match &key.value {
        ManualValue::Default(value) => ("", value),
        ManualValue::Example(value) => (" No default; for example:", value),
    };
    let takes = prose(&format!("Takes {}.{note}", key.takes));
    format!("{}{takes}#{} = {value}\n", prose(key.about), key.name)
}

/// Text as comments.
fn prose(text: &str) -> String {
    let mut lines = vec![String::from("#")];
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= WIDTH => {
                line.push(' ');
                line.push_str(word);
            }
            Some(_) | None => lines.push(format!("# {word}")),
        }
    }
    lines.join("\n") + "\n"
}

#[cfg(test)]
mod tests {
    use flamenco_worker::generators::{keys_set, tables};

    use super::*;

    /// The keys that `text` sets as `/etc/flamenco/worker.toml`.
    fn set_by(text: &str) -> Vec<String> {
        let system = tempfile::tempdir().unwrap();
        std::fs::write(system.path().join("worker.toml"), text).unwrap();
        keys_set(system.path()).unwrap()
    }

    #[test]
    fn the_file_as_it_comes_sets_nothing() {
        let text = commented(&tables());
        assert!(
            text.lines().all(|line| line.is_empty() || line.starts_with('#')),
            "{text}"
        );
        assert_eq!(set_by(&text), [""; 0]);
    }

    #[test]
    fn every_key_that_matters_is_there_and_is_read_when_its_comment_sign_is_taken_away() {
        let text = commented(&tables());
        let lines = text.lines().map(|line| match line.strip_prefix('#') {
            Some(rest) if rest.starts_with(|c: char| !c.is_whitespace()) => rest,
            Some(_) | None => line,
        });
        let set = set_by(&lines.collect::<Vec<_>>().join("\n"));
        for (table, key) in MATTER {
            let name = match table {
                "" => key.to_owned(),
                table => format!("{table}.{key}"),
            };
            assert!(set.contains(&name), "{name}");
        }
        assert!(text.lines().count() < 100, "it is to be read in one go");
        assert!(text.lines().all(|line| line.chars().count() <= 120), "{text}");
    }
}
