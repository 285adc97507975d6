// SPDX-License-Identifier: GPL-3.0-or-later

//! What a key is, for everything that is made of the list of keys: the reader of a file, `check-config` and the manual.

use super::Config;
use crate::document::{Diagnostic, TreeNode};
use crate::timings::{SHORTEST, TimingKey, Timings};
use crate::units::{duration, duration_text};

/// How the values of a key are read and written.
pub(super) struct Format<T> {
    /// What can be written, for the manual.
    pub(super) takes: &'static str,
    /// Reads a value.
    pub(super) read: fn(&TreeNode) -> Result<T, Diagnostic>,
    /// The value in TOML; `None` where it is not set.
    pub(super) write: fn(&T) -> Option<String>,
}

/// A row of [`table!`].
pub(super) struct Setting {
    /// The name of its table; empty for the keys above the first table.
    pub(super) table: &'static str,
    /// The name in its table, which is that of the field as well.
    pub(super) name: &'static str,
    /// For the operator, in whole sentences.
    pub(super) about: &'static str,
    /// See [`Format::takes`].
    pub(super) takes: &'static str,
    /// A value in TOML, where there is no default that could be shown.
    pub(super) example: Option<&'static str>,
    /// The value in TOML; `None` where it is not set.
    pub(super) written: fn(&Config) -> Option<String>,
    /// Reads a value into the field.
    pub(super) read: fn(&mut Config, &TreeNode) -> Result<(), Diagnostic>,
}

/// A key, and all that is known of it.
#[derive(Clone, Copy)]
pub(super) enum Key {
    /// A row of [`table!`].
    Setting(&'static Setting),
    /// A row of `timings!`.
    Timing(&'static TimingKey),
}

impl Key {
    /// The name in its table.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Setting(setting) => setting.name,
            Self::Timing(timing) => timing.name,
        }
    }

    /// The name as an origin has it: `nice`, `log.level`.
    pub(super) fn full_name(self) -> String {
        match self {
            Self::Setting(setting) => full_name(setting.table, setting.name),
            Self::Timing(timing) => full_name("timings", timing.name),
        }
    }

    /// What the key was called before, if it was.
    pub(super) fn old_name(self) -> Option<&'static str> {
        match self {
            Self::Setting(_) => None,
            Self::Timing(timing) => timing.old_name,
        }
    }

    /// What the manual says of it, in whole sentences.
    pub(super) fn about(self) -> &'static str {
        match self {
            Self::Setting(setting) => setting.about,
            Self::Timing(timing) => timing.about,
        }
    }

    /// What can be written, for the manual.
    pub(super) fn takes(self) -> String {
        match self {
            Self::Setting(setting) => setting.takes.to_owned(),
            Self::Timing(timing) => format!("a time up to {}", duration_text(timing.longest)),
        }
    }

    /// A value in TOML, where there is no default that could be shown.
    pub(super) fn example(self) -> Option<&'static str> {
        match self {
            Self::Setting(setting) => setting.example,
            Self::Timing(_) => None,
        }
    }

    /// The value in TOML; `None` where it is not set.
    pub(super) fn written(self, config: &Config) -> Option<String> {
        match self {
            Self::Setting(setting) => (setting.written)(config),
            Self::Timing(timing) => Some(format!("\"{}\"", duration_text((timing.get)(&config.timings)))),
        }
    }

    /// Reads a value into `config`.
    ///
    /// # Errors
    /// A value that makes no sense for this key.
    pub(super) fn read(self, config: &mut Config, node: &TreeNode) -> Result<(), Diagnostic> {
        match self {
            Self::Setting(setting) => (setting.read)(config, node),
            Self::Timing(timing) => read_timing(timing, &mut config.timings, node),
        }
    }
}

fn read_timing(key: &TimingKey, timings: &mut Timings, node: &TreeNode) -> Result<(), Diagnostic> {
    let time = duration(&node.text_or_number()?).map_err(|what| node.diagnostic(what))?;
    if !(SHORTEST..=key.longest).contains(&time) {
        return Err(node.diagnostic(format!(
            "must be between {} and {}, not {}",
            duration_text(SHORTEST),
            duration_text(key.longest),
            duration_text(time)
        )));
    }
    *(key.field)(timings) = time;
    Ok(())
}

/// The name of a key as an origin has it.
pub(super) fn full_name(table: &str, name: &str) -> String {
    match table {
        "" => name.to_owned(),
        table => format!("{table}.{name}"),
    }
}

/// A table of the file.
pub(super) struct Table {
    /// Empty for the keys above the first table.
    pub(super) name: &'static str,
    /// For the operator, in whole sentences; empty for the keys above the first table.
    pub(super) about: &'static str,
    /// The keys in the order of the manual. `[headers]` has none: the names there are the operator's own.
    pub(super) keys: fn() -> Vec<Key>,
}

impl Table {
    /// The key of this name, which may be one that it had before.
    pub(super) fn key(&self, name: &str) -> Option<Key> {
        let mut keys = (self.keys)().into_iter();
        keys.find(|key| key.name() == name || key.old_name() == Some(name))
    }
}

/// The part of the configuration that a table fills.
pub(super) trait ConfigSection {
    /// The part in `config`.
    fn of(config: &Config) -> &Self;

    /// The part in `config`, to be set.
    fn of_mut(config: &mut Config) -> &mut Self;
}

/// A table as a struct with a field for each key and its default, and as the list of its keys. A row is the name, type,
/// default and [`Format`] of a key, and an example where there is no default that could be shown. The comment above it is
/// what the operator reads. Fields that are no keys come last, after `beside`.
macro_rules! table {
    ($(#[doc = $about:literal])+ config => $Struct:ident $rows:tt beside $beside:tt) => {
        impl ConfigSection for $Struct {
            fn of(config: &Config) -> &Self {
                config
            }

            fn of_mut(config: &mut Config) -> &mut Self {
                config
            }
        }

        table!(@rows "", $(#[doc = $about])+ $Struct $rows $beside);
    };

    ($(#[doc = $about:literal])+ config.$field:ident => $Struct:ident $rows:tt $(beside $beside:tt)?) => {
        impl ConfigSection for $Struct {
            fn of(config: &Config) -> &Self {
                &config.$field
            }

            fn of_mut(config: &mut Config) -> &mut Self {
                &mut config.$field
            }
        }

        table!(@rows stringify!($field), $(#[doc = $about])+ $Struct $rows $($beside)?);
    };

    (
        @rows $table:expr, $(#[doc = $table_about:literal])+ $Struct:ident
        {$(
            $(#[doc = $about:literal])+
            $name:ident: $Type:ty = $default:expr, $format:expr $(, such as $example:literal)?;
        )*}
        $({$(
            $(#[doc = $beside_about:literal])+
            $beside_visibility:vis $beside:ident: $BesideType:ty;
        )*})?
    ) => {
        $(#[doc = $table_about])+
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub(crate) struct $Struct {
            $($(#[doc = $about])+ pub $name: $Type,)*
            $($($(#[doc = $beside_about])+ $beside_visibility $beside: $BesideType,)*)?
        }

        impl Default for $Struct {
            fn default() -> Self {
                Self {
                    $($name: $default,)*
                    $($($beside: Default::default(),)*)?
                }
            }
        }

        impl $Struct {
            pub(super) const TABLE: Table = Table {
                name: $table,
                about: concat!($($table_about),+).trim_ascii(),
                keys: || Self::KEYS.iter().map(Key::Setting).collect(),
            };

            const KEYS: &[Setting] = &[$({
                const FORMAT: Format<$Type> = $format;
                Setting {
                    table: $table,
                    name: stringify!($name),
                    about: concat!($($about),+).trim_ascii(),
                    takes: FORMAT.takes,
                    example: [$(Some($example),)? None][0],
                    written: |config| (FORMAT.write)(&$Struct::of(config).$name),
                    read: |config, node| {
                        $Struct::of_mut(config).$name = (FORMAT.read)(node)?;
                        Ok(())
                    },
                }
            },)*];
        }
    };
}

pub(super) use table;
