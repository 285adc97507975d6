// SPDX-License-Identifier: GPL-3.0-or-later

//! What a configuration file says, before anybody asks what it means: keys and values with their places,
//! the same for both formats.

use std::ops::Range;

/// A value and the bytes it was written with.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Node {
    pub(crate) value: Value,
    pub(crate) span: Range<usize>,
}

/// A key in a table. Order is the file's.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Entry {
    pub(crate) key: String,
    pub(crate) key_span: Range<usize>,
    pub(crate) node: Node,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    /// In quotes.
    Text(String),
    /// YAML without quotes: what it is depends on what is wanted.
    Plain(String),
    Integer(i64),
    /// As it is written; an integer too large for 64 bits too.
    Number(String),
    Boolean(bool),
    Date,
    List(Vec<Node>),
    Table(Vec<Entry>),
    /// YAML's `null`, `~` or nothing at all: as if the key were not there.
    Nothing,
}

/// What is wrong with a value, and what could be written instead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Complaint {
    pub(crate) span: Range<usize>,
    /// The end of a sentence that starts with the key.
    pub(crate) what: String,
    /// The value may be secret.
    pub(crate) hide: bool,
}

impl Node {
    pub(crate) fn complain(&self, what: impl Into<String>) -> Complaint {
        Complaint {
            span: self.span.clone(),
            what: what.into(),
            hide: false,
        }
    }

    fn wrong(&self, wanted: &str) -> Complaint {
        self.complain(format!("must be {wanted}, not {}", self.value.kind()))
    }

    /// What is written, for a value whose reader tells a number without its unit apart.
    pub(crate) fn text_or_number(&self) -> Result<String, Complaint> {
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

    /// A text. A number in YAML is one too, as it is to the Go worker.
    pub(crate) fn text(&self) -> Result<&str, Complaint> {
        if let Value::Text(text) | Value::Plain(text) = &self.value {
            return Ok(text);
        }
        Err(self.wrong("a text in quotes"))
    }

    /// A whole number within `range`.
    pub(crate) fn integer(&self, range: Range<i64>) -> Result<i64, Complaint> {
        let number = match &self.value {
            Value::Integer(number) => *number,
            // To the Go worker's YAML 010 is eight, to most people ten.
            Value::Plain(text) if text.len() > 1 && text.trim_start_matches(['+', '-']).starts_with('0') => {
                return Err(self.complain("must be written without a leading zero"));
            }
            Value::Plain(text) | Value::Number(text) => text
                .parse()
                .map_err(|_| self.complain(format!("must be a whole number, not {text}")))?,
            Value::Text(_) | Value::Boolean(_) | Value::Date | Value::List(_) | Value::Table(_) | Value::Nothing => {
                return Err(self.wrong("a whole number"));
            }
        };
        if range.contains(&number) {
            return Ok(number);
        }
        Err(self.complain(format!(
            "must be between {} and {}, not {number}",
            range.start,
            range.end - 1
        )))
    }

    pub(crate) fn boolean(&self) -> Result<bool, Complaint> {
        if let Value::Boolean(value) = self.value {
            return Ok(value);
        }
        Err(self.wrong("true or false"))
    }

    pub(crate) fn list(&self) -> Result<&[Node], Complaint> {
        if let Value::List(nodes) = &self.value {
            return Ok(nodes);
        }
        Err(self.wrong("a list"))
    }

    pub(crate) fn table(&self) -> Result<&[Entry], Complaint> {
        if let Value::Table(entries) = &self.value {
            return Ok(entries);
        }
        Err(self.wrong("a table"))
    }
}

impl Value {
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
