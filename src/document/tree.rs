// SPDX-License-Identifier: GPL-3.0-or-later

//! The keys and values of a file with their places, the same for both formats.

use std::ops::{Range, RangeInclusive};

/// A value, and which bytes of the file it is.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct TreeNode {
    /// What is written.
    pub(crate) value: Value,
    /// Bytes from the start of the file.
    pub(crate) span: Range<usize>,
}

/// A key of a table with its value. Tables keep the order of the file.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct TableEntry {
    /// The key, without quotes.
    pub(crate) key: String,
    /// The key's bytes in the file.
    pub(crate) key_span: Range<usize>,
    /// The value.
    pub(crate) node: TreeNode,
}

/// What is written, of the kinds that the two formats have.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    /// In quotes.
    Text(String),
    /// YAML without quotes: it is a text or a number, whichever is wanted.
    Plain(String),
    /// A whole number.
    Integer(i64),
    /// Any other number as it is written, and an integer that is too large for 64 bits.
    Number(String),
    /// `true` or `false`.
    Boolean(bool),
    /// A date or a time, which no key takes.
    Date,
    /// Values in order.
    List(Vec<TreeNode>),
    /// Keys with their values.
    Table(Vec<TableEntry>),
    /// YAML's `null`, `~` or nothing at all. It counts as if the key were not there.
    Nothing,
}

/// What is wrong with a value, and what could be written instead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Diagnostic {
    /// The bytes in the file that are wrong.
    pub(crate) span: Range<usize>,
    /// The end of a sentence that starts with the key.
    pub(crate) what: String,
    /// The value may be secret.
    pub(crate) hide: bool,
}

impl TreeNode {
    /// Something that is wrong with this value. `what` is the end of a sentence that starts with the key.
    pub(crate) fn diagnostic(&self, what: impl Into<String>) -> Diagnostic {
        Diagnostic {
            span: self.span.clone(),
            what: what.into(),
            hide: false,
        }
    }

    fn wrong(&self, wanted: &str) -> Diagnostic {
        self.diagnostic(format!("must be {wanted}, not {}", self.value.kind()))
    }

    /// What is written, also where it is a number: for readers that refuse a number without its unit in words of their
    /// own.
    ///
    /// # Errors
    /// Anything but a text or a number.
    pub(crate) fn text_or_number(&self) -> Result<String, Diagnostic> {
        match &self.value {
            Value::Integer(number) => Ok(number.to_string()),
            Value::Number(number) => Ok(number.clone()),
            Value::Text(_)
            | Value::Plain(_)
            | Value::Boolean(_)
            | Value::Date
            | Value::List(_)
            | Value::Table(_)
            | Value::Nothing => self.text().map(str::to_owned),
        }
    }

    /// A text. A number in YAML is a text too, as it is to the Go worker.
    ///
    /// # Errors
    /// Anything else.
    pub(crate) fn text(&self) -> Result<&str, Diagnostic> {
        if let Value::Text(text) | Value::Plain(text) = &self.value {
            return Ok(text);
        }
        Err(self.wrong("a text in quotes"))
    }

    /// A whole number within `range`.
    ///
    /// # Errors
    /// Anything else, and a number outside the range.
    pub(crate) fn integer(&self, range: RangeInclusive<i64>) -> Result<i64, Diagnostic> {
        let number = match &self.value {
            Value::Integer(number) => *number,
            Value::Plain(text) => yaml_integer(text).map_err(|what| self.diagnostic(what))?,
            Value::Number(text) => text
                .parse()
                .map_err(|_| self.diagnostic(format!("must be a whole number, not {text}")))?,
            Value::Text(_) | Value::Boolean(_) | Value::Date | Value::List(_) | Value::Table(_) | Value::Nothing => {
                return Err(self.wrong("a whole number"));
            }
        };
        if range.contains(&number) {
            return Ok(number);
        }
        Err(self.diagnostic(format!(
            "must be between {} and {}, not {number}",
            range.start(),
            range.end()
        )))
    }

    /// True or false.
    ///
    /// # Errors
    /// Anything else.
    pub(crate) fn boolean(&self) -> Result<bool, Diagnostic> {
        if let Value::Boolean(value) = self.value {
            return Ok(value);
        }
        Err(self.wrong("true or false"))
    }

    /// The values of a list.
    ///
    /// # Errors
    /// Anything else.
    pub(crate) fn list(&self) -> Result<&[TreeNode], Diagnostic> {
        if let Value::List(nodes) = &self.value {
            return Ok(nodes);
        }
        Err(self.wrong("a list in brackets"))
    }

    /// The entries of a table.
    ///
    /// # Errors
    /// Anything else.
    pub(crate) fn table(&self) -> Result<&[TableEntry], Diagnostic> {
        if let Value::Table(entries) = &self.value {
            return Ok(entries);
        }
        Err(self.wrong("a table"))
    }
}

/// A whole number in one of the forms that the Go worker's YAML has for it: `47`, `+47`, `4_7`, `0x2F`, `0o57`, `0b101111`,
/// `47.0`.
fn yaml_integer(text: &str) -> Result<i64, String> {
    let wrong = || format!("must be a whole number, not {text}");
    let digits = text.replace('_', "");
    let (sign, bare) = match digits.strip_prefix('-') {
        Some(bare) => ("-", bare),
        None => ("", digits.strip_prefix('+').unwrap_or(&digits)),
    };
    let bases = [("0x", 16), ("0o", 8), ("0b", 2)];
    if let Some((number, base)) = bases
        .iter()
        .find_map(|(prefix, base)| Some((bare.strip_prefix(prefix)?, *base)))
    {
        return i64::from_str_radix(&format!("{sign}{number}"), base).map_err(|_| wrong());
    }
    let bare = bare.strip_suffix(".0").unwrap_or(bare);
    if bare.is_empty() || !bare.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(wrong());
    }
    // To the Go worker's YAML 010 is eight, to most people ten.
    if bare.len() > 1 && bare.starts_with('0') {
        return Err("must be written without a leading zero".to_owned());
    }
    format!("{sign}{bare}").parse().map_err(|_| wrong())
}

impl Value {
    /// How many values there are in it, itself included.
    pub(super) fn count(&self) -> usize {
        let within = |nodes: &mut dyn Iterator<Item = &TreeNode>| nodes.map(|node| node.value.count()).sum::<usize>();
        1 + match self {
            Self::List(nodes) => within(&mut nodes.iter()),
            Self::Table(entries) => within(&mut entries.iter().map(|entry| &entry.node)),
            Self::Text(_)
            | Self::Plain(_)
            | Self::Integer(_)
            | Self::Number(_)
            | Self::Boolean(_)
            | Self::Date
            | Self::Nothing => 0,
        }
    }

    fn kind(&self) -> &'static str {
        match self {
            Self::Text(_) => "a text",
            Self::Plain(_) => "a single value",
            Self::Integer(_) | Self::Number(_) => "a number",
            Self::Boolean(_) => "a true or false",
            Self::Date => "a date",
            Self::List(_) => "a list",
            Self::Table(_) => "a table",
            Self::Nothing => "nothing",
        }
    }
}
