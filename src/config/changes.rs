// SPDX-License-Identifier: GPL-3.0-or-later

//! What is different in another configuration.

use super::Config;
use super::keys::TABLES;
use super::table::Key;

impl Config {
    /// What differs, named as in the file: the keys above the first table and those of `[timings]` one by one, any other
    /// table as a whole.
    pub(crate) fn changes(&self, other: &Self) -> Vec<String> {
        let mut changed = Vec::new();
        for table in &TABLES {
            match table.name {
                "" | "timings" => {
                    let keys = (table.keys)().into_iter().filter(|key| !key.is_same(self, other));
                    changed.extend(keys.map(Key::full_name));
                }
                name if !(table.same)(self, other) => changed.push(name.to_owned()),
                _ => {}
            }
        }
        changed
    }
}
