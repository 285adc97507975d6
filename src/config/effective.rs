// SPDX-License-Identifier: GPL-3.0-or-later

//! What holds, key by key, and where each value comes from.

use super::keys::TABLES;
use super::table::{Table, full_name};
use super::{Config, SettingOrigin, headers};

/// A table of the configuration, as it is in effect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct EffectiveTable<'a> {
    /// Empty for the keys above the first table.
    pub name: &'static str,
    /// The keys in the order of the manual.
    pub values: Vec<EffectiveValue<'a>>,
}

/// A key with its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct EffectiveValue<'a> {
    /// The name in its table.
    pub name: String,
    /// The value.
    pub value: ShownValue,
    /// Where the value comes from.
    pub origin: &'a SettingOrigin,
}

/// A value as a file would have it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ShownValue {
    /// In TOML.
    Toml(String),
    /// There is none.
    Unset,
    /// It may be secret.
    Withheld,
}

impl Config {
    /// All values, in the order of the manual.
    pub(crate) fn effective(&self) -> Vec<EffectiveTable<'_>> {
        let table = |table: &Table| EffectiveTable {
            name: table.name,
            values: match table.name {
                headers::NAME => self.effective_headers(),
                _ => self.effective_keys(table),
            },
        };
        TABLES.iter().map(table).collect()
    }

    fn effective_keys(&self, table: &Table) -> Vec<EffectiveValue<'_>> {
        let keys = (table.keys)().into_iter().map(|key| EffectiveValue {
            name: key.name().to_owned(),
            value: key.written(self).map_or(ShownValue::Unset, ShownValue::Toml),
            origin: self.origin(&key.full_name()),
        });
        keys.collect()
    }

    fn effective_headers(&self) -> Vec<EffectiveValue<'_>> {
        let names = self.headers.keys().map(|name| EffectiveValue {
            name: name.to_string(),
            value: ShownValue::Withheld,
            origin: self.origin(&full_name(headers::NAME, name.as_str())),
        });
        names.collect()
    }
}
