// SPDX-License-Identifier: GPL-3.0-or-later

//! What is known of the configuration, for the manual page and the commented file that packages bring. Nothing that the
//! worker does needs it.

use super::keys::TABLES;
use super::table::{Key, Table};
use super::{Config, Environment, headers};

/// A table of the file with its keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ManualTable {
    /// Empty for the keys above the first table.
    pub name: &'static str,
    /// Whole sentences; empty for the keys above the first table.
    pub about: &'static str,
    /// The keys, in order.
    pub keys: Vec<ManualKey>,
}

/// A key of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ManualKey {
    /// The name in its table.
    pub name: &'static str,
    /// What it is for, in whole sentences.
    pub about: &'static str,
    /// What can be written, with its unit and limits.
    pub takes: String,
    /// A value.
    pub value: ManualValue,
}

/// A value as it is written in TOML.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ManualValue {
    /// What it is if it is not set.
    Default(String),
    /// There is no default; this could be written.
    Example(String),
}

/// All tables, in the order of the manual.
pub fn tables() -> Vec<ManualTable> {
    let defaults = Config::defaults(&Environment::default());
    let table = |table: &Table| ManualTable {
        name: table.name,
        about: table.about,
        keys: match table.name {
            headers::NAME => vec![header()],
            _ => (table.keys)()
                .into_iter()
                .map(|key| described(key, &defaults))
                .collect(),
        },
    };
    TABLES.iter().map(table).collect()
}

fn described(key: Key, defaults: &Config) -> ManualKey {
    ManualKey {
        name: key.name(),
        about: key.about(),
        takes: key.takes(),
        value: match key.example() {
            Some(example) => ManualValue::Example(example.to_owned()),
            None => ManualValue::Default(key.written(defaults).unwrap_or_default()),
        },
    }
}

/// The names here are the operator's own.
fn header() -> ManualKey {
    ManualKey {
        name: "X-Farm",
        about: "Any name that no request needs for itself.",
        takes: "a text, or { file = \"/path\" }".to_owned(),
        value: ManualValue::Example("\"north\"".to_owned()),
    }
}
