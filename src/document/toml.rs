// SPDX-License-Identifier: GPL-3.0-or-later

//! TOML as a tree of [`TreeNode`]s.

use ::toml::Spanned;
use ::toml::de::{DeInteger, DeTable, DeValue, Error};

use super::{Problem, SourceFile, TableEntry, TreeNode, Value};

/// Reads the whole file: the entries of its top, tables among them.
///
/// # Errors
/// Every syntax error in it.
pub(crate) fn parse(source: &SourceFile) -> Result<Vec<TableEntry>, Vec<Problem>> {
    let (table, errors) = DeTable::parse_recoverable(&source.text);
    if errors.is_empty() {
        return Ok(entries(table.get_ref()));
    }
    let problem = |error: Error| {
        let span = error.span().unwrap_or(source.text.len()..source.text.len());
        Problem::new(error.message()).at(source.location(&span))
    };
    Err(errors.into_iter().map(problem).collect())
}

fn entries(table: &DeTable<'_>) -> Vec<TableEntry> {
    let mut entries: Vec<TableEntry> = table
        .iter()
        .map(|(key, value)| TableEntry {
            key: key.get_ref().clone().into_owned(),
            key_span: key.span(),
            node: node(value),
        })
        .collect();
    // The parser hands them out by name.
    entries.sort_by_key(|entry| entry.key_span.start);
    entries
}

fn node(value: &Spanned<DeValue<'_>>) -> TreeNode {
    TreeNode {
        span: value.span(),
        value: match value.get_ref() {
            DeValue::String(text) => Value::Text(text.clone().into_owned()),
            DeValue::Integer(number) => integer(number),
            DeValue::Float(number) => Value::Number(number.as_str().to_owned()),
            DeValue::Boolean(yes) => Value::Boolean(*yes),
            DeValue::Datetime(_) => Value::Date,
            DeValue::Array(array) => Value::List(array.iter().map(node).collect()),
            DeValue::Table(table) => Value::Table(entries(table)),
        },
    }
}

fn integer(number: &DeInteger<'_>) -> Value {
    i64::from_str_radix(number.as_str(), number.radix())
        .map_or_else(|_| Value::Number(number.as_str().to_owned()), Value::Integer)
}
