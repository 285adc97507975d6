// SPDX-License-Identifier: GPL-3.0-or-later

//! What holds, key by key, and where each value comes from.

use super::definition::{KEYS, TABLES, full_name};
use super::units::duration_text;
use super::{Config, SettingOrigin, timings};

/// A table of the configuration, as it is in effect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EffectiveTable<'a> {
    /// Empty for the keys above the first table.
    pub name: &'static str,
    pub values: Vec<Effective<'a>>,
}

/// A key with what holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Effective<'a> {
    pub name: String,
    pub value: Written,
    pub origin: &'a SettingOrigin,
}

/// A value as a file would have it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Written {
    /// In TOML.
    Value(String),
    /// There is none.
    Unset,
    /// It may be secret.
    Withheld,
}

impl Config {
    /// All that holds, in the order of the manual.
    pub fn effective(&self) -> Vec<EffectiveTable<'_>> {
        let named = TABLES.iter().map(|(name, _)| *name);
        let tables = std::iter::once("").chain(named);
        let values = |name| match name {
            "timings" => self.effective_timings(),
            "headers" => self.effective_headers(),
            _ => self.effective_keys(name),
        };
        let table = |name| EffectiveTable {
            name,
            values: values(name),
        };
        tables.map(table).collect()
    }

    fn effective_keys(&self, table: &str) -> Vec<Effective<'_>> {
        let keys = KEYS.iter().filter(|key| key.table == table);
        let value = |key: &super::definition::Key| Effective {
            name: key.name.to_owned(),
            value: (key.written)(self).map_or(Written::Unset, Written::Value),
            origin: self.origin(&key.full_name()),
        };
        keys.map(value).collect()
    }

    fn effective_timings(&self) -> Vec<Effective<'_>> {
        let mut all = self.timings.clone();
        let value = |key: &timings::TimingKey| Effective {
            name: key.name.to_owned(),
            value: Written::Value(format!("\"{}\"", duration_text(*(key.field)(&mut all)))),
            origin: self.origin(&full_name("timings", key.name)),
        };
        timings::KEYS.iter().map(value).collect()
    }

    fn effective_headers(&self) -> Vec<Effective<'_>> {
        let value = |name: &reqwest::header::HeaderName| Effective {
            name: name.to_string(),
            value: Written::Withheld,
            origin: self.origin(&full_name("headers", name.as_str())),
        };
        self.headers.keys().map(value).collect()
    }
}
