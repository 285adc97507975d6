// SPDX-License-Identifier: GPL-3.0-or-later

//! What is known of the configuration, for whoever writes it down: the manual page and the commented file
//! that packages bring are made of this. Nothing the worker does needs it.

use super::definition::{KEYS, TABLES};
use super::units::duration_text;
use super::{Config, Environment, timings};

/// A table of the file with its keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    /// Empty for the keys above the first table.
    pub name: &'static str,
    /// Whole sentences; empty for the first.
    pub about: &'static str,
    pub keys: Vec<Setting>,
}

/// A key of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    pub name: &'static str,
    /// What it is for, in whole sentences.
    pub about: &'static str,
    /// What can be written, with its unit and limits.
    pub takes: String,
    pub value: Value,
}

/// A value as it is written in TOML.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// What it is if nobody sets it.
    Default(String),
    /// There is no default; this could be written.
    Example(String),
}

/// All there is, in the order of the manual.
pub fn tables() -> Vec<Table> {
    let defaults = Config::defaults(&Environment::default());
    let named = |&(name, about): &(&'static str, &'static str)| Table {
        name,
        about,
        keys: match name {
            "timings" => waits(),
            "headers" => vec![header()],
            _ => keys(name, &defaults),
        },
    };
    let top = Table {
        name: "",
        about: "",
        keys: keys("", &defaults),
    };
    [top].into_iter().chain(TABLES.iter().map(named)).collect()
}

fn keys(table: &str, defaults: &Config) -> Vec<Setting> {
    let keys = KEYS.iter().filter(|key| key.table == table);
    let setting = |key: &super::definition::Key| Setting {
        name: key.name,
        about: key.about,
        takes: key.takes.to_owned(),
        value: (key.written)(defaults).map_or_else(|| Value::Example(key.example.to_owned()), Value::Default),
    };
    keys.map(setting).collect()
}

fn waits() -> Vec<Setting> {
    let mut defaults = crate::timings::Timings::default();
    let setting = |key: &timings::TimingKey| Setting {
        name: key.name,
        about: key.about().trim(),
        takes: format!("a time up to {}", duration_text(key.longest)),
        value: Value::Default(format!("\"{}\"", duration_text(*(key.field)(&mut defaults)))),
    };
    timings::KEYS.iter().map(setting).collect()
}

/// The names here are the operator's own.
fn header() -> Setting {
    Setting {
        name: "X-Farm",
        about: "Any name that no request needs for itself.",
        takes: "a text, or { file = \"/path\" }".to_owned(),
        value: Value::Example("\"north\"".to_owned()),
    }
}
