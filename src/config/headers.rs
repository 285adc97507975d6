// SPDX-License-Identifier: GPL-3.0-or-later

//! The table `[headers]`: what every request carries besides, for a proxy that stands in front of the Manager.
//!
//! A value may be a secret. So it is marked as sensitive, is never shown, and can be kept in a file of its own.

use std::path::{Path, PathBuf};

use reqwest::header::{HeaderName, HeaderValue};

use super::table::Table;
use crate::document::{Diagnostic, TableEntry, TreeNode, Value};
use crate::files;

/// The name of the table.
pub(super) const NAME: &str = "headers";

/// What is known of the table. It has no keys: the names in it are the operator's own.
pub(super) const TABLE: Table = Table {
    name: NAME,
    about: "Sent with every request, for a proxy in front of the Manager that asks who we are. A value is never logged; \
            NAME = { file = \"/path\" } keeps it in a file of its own.",
    keys: Vec::new,
};

/// What a request needs for itself, and why it cannot be set.
const TAKEN: [(&str, &str); 9] = [
    ("authorization", "it carries this worker's own identity"),
    ("host", "it follows from the URL of the Manager"),
    ("content-type", "it follows from the request"),
    ("content-length", "it follows from the request"),
    ("transfer-encoding", "it follows from the request"),
    ("connection", "it is for the connection"),
    ("upgrade", "it is for the connection"),
    ("expect", "the Manager does not know it"),
    ("user-agent", "it says which worker this is"),
];

/// A token is a few hundred bytes; servers stop at some 8 KiB for all headers together.
const LONGEST: usize = 4096;

/// A file with a value may have blanks around it.
const LARGEST_FILE: u64 = 64 << 10;

/// The name of a header.
///
/// # Errors
/// A name that no header can have, and one that requests need for themselves.
pub(super) fn name(entry: &TableEntry) -> Result<HeaderName, Diagnostic> {
    let wrong = |what: String| Diagnostic {
        span: entry.key_span.clone(),
        what,
        hide: true,
    };
    let name = HeaderName::from_bytes(entry.key.as_bytes())
        .map_err(|_| wrong("is no name of a header: letters, digits and dashes make one".into()))?;
    match TAKEN.iter().find(|(taken, _)| name == *taken) {
        Some((_, why)) => Err(wrong(format!("cannot be set: {why}"))),
        None => Ok(name),
    }
}

/// The value of a header: `"text"`, or `{ file = "/path" }` for the text of a file without the end of its last line.
///
/// # Errors
/// Anything else, and a text that no header can have.
pub(super) fn value(node: &TreeNode) -> Result<HeaderValue, Diagnostic> {
    let hidden = |what: String| Diagnostic {
        hide: true,
        ..node.diagnostic(what)
    };
    let text = match &node.value {
        Value::Text(text) => text.clone(),
        Value::Table(entries) => match entries.as_slice() {
            [only] if only.key == "file" => file(&only.node)?,
            _ => {
                return Err(hidden(
                    "must have one key, as in { file = \"/path/to/the/value\" }".into(),
                ));
            }
        },
        Value::Plain(_)
        | Value::Integer(_)
        | Value::Number(_)
        | Value::Boolean(_)
        | Value::Date
        | Value::List(_)
        | Value::Nothing => return Err(hidden("must be a text in quotes, or { file = \"/path\" }".into())),
    };
    if text.len() > LONGEST {
        return Err(hidden(format!("is longer than {LONGEST} bytes")));
    }
    let mut value =
        HeaderValue::from_str(&text).map_err(|_| hidden("has characters that no header can have".into()))?;
    value.set_sensitive(true);
    Ok(value)
}

/// The file that keeps a value, where it is one of its own.
pub(super) fn file_of(node: &TreeNode) -> Option<PathBuf> {
    match &node.value {
        Value::Table(entries) => Some(entries.first()?.node.text().ok()?.into()),
        Value::Text(_)
        | Value::Plain(_)
        | Value::Integer(_)
        | Value::Number(_)
        | Value::Boolean(_)
        | Value::Date
        | Value::List(_)
        | Value::Nothing => None,
    }
}

fn file(node: &TreeNode) -> Result<String, Diagnostic> {
    let path = Path::new(node.text()?);
    if !path.is_absolute() {
        return Err(node.diagnostic("must be an absolute path, one that starts with a slash"));
    }
    let text = files::read_to_string(path, LARGEST_FILE)
        .map_err(|error| node.diagnostic(format!("cannot be read from {}: {error}", path.display())))?;
    Ok(text.trim_end_matches(['\n', '\r']).to_owned())
}
