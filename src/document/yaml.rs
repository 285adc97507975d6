// SPDX-License-Identifier: GPL-3.0-or-later

//! The Go worker's YAML files as a tree of [`TreeNode`]s.
//!
//! The tree is built from the parser's events and not through serde: `worker_name: 007` is the text `007` to the Go
//! worker, and everything that is wrong needs its place. As in the Go worker, only the first document counts, and `<<`
//! puts the keys of other tables where it stands: of several the last counts.

use std::collections::{HashMap, HashSet};
use std::ops::Range;

use serde_saphyr::granit_parser::{Event, Parser, ScalarStyle, ScanError, Span, StrInput};

use super::{Problem, SourceFile, TableEntry, TreeNode, Value};

/// Deeper than any file of ours. The limit keeps a hostile file from using up the stack.
const MAX_DEPTH: usize = 16;
/// More values than a file of ours has, repeated by aliases: a few lines of nested ones can stand for gigabytes.
const MAX_REPEATED: usize = 1000;
/// The key that puts the keys of other tables in its place.
const MERGE: &str = "<<";

/// Parses the first document of the file; `None` when there is nothing in it but comments.
///
/// # Errors
/// The first syntax error.
pub(crate) fn parse(source: &SourceFile) -> Result<Option<TreeNode>, Problem> {
    let mut reader = Reader {
        source,
        events: Parser::new_from_str(&source.text),
        anchors: HashMap::new(),
        repeated: 0,
    };
    loop {
        match reader.event()? {
            Some((Event::StreamStart | Event::DocumentStart(..), _)) => {}
            None | Some((Event::StreamEnd | Event::DocumentEnd, _)) => return Ok(None),
            Some((event, span)) => {
                let node = reader.node(event, &span, 0)?;
                return reader.document_end().map(|()| Some(node));
            }
        }
    }
}

/// Makes nodes of the events of one file.
struct Reader<'s> {
    source: &'s SourceFile,
    events: Parser<'s, StrInput<'s>>,
    /// The values that have an anchor, by its number: an alias repeats one.
    anchors: HashMap<usize, Value>,
    /// Values that aliases have repeated so far.
    repeated: usize,
}

impl<'s> Reader<'s> {
    fn event(&mut self) -> Result<Option<(Event<'s>, Span)>, Problem> {
        self.events.next().transpose().map_err(|error| self.syntax(&error))
    }

    /// A document that goes on after its end (a key less indented than the first) is an error of its own.
    fn document_end(&mut self) -> Result<(), Problem> {
        match self.event()? {
            None | Some((Event::DocumentEnd | Event::StreamEnd, _)) => Ok(()),
            Some((_, span)) => Err(self.problem("unexpected text after the end of the document", &range(&span))),
        }
    }

    fn node(&mut self, event: Event<'s>, span: &Span, depth: usize) -> Result<TreeNode, Problem> {
        let mut at = range(span);
        if depth > MAX_DEPTH {
            return Err(self.problem("too many levels", &at));
        }
        let (value, anchor) = match event {
            Event::Scalar(text, style, anchor, tag) => (scalar(&text, style, tag.is_some()), anchor),
            Event::SequenceStart(_, anchor, _) => (Value::List(self.list(&mut at, depth)?), anchor),
            Event::MappingStart(_, anchor, _) => (Value::Table(self.table(&mut at, depth)?), anchor),
            Event::Alias(id) => (self.repeat(id, &at)?, 0),
            Event::StreamStart
            | Event::StreamEnd
            | Event::DocumentStart(..)
            | Event::DocumentEnd
            | Event::SequenceEnd
            | Event::MappingEnd
            | _ => return Err(self.problem("a value is expected here", &at)),
        };
        if anchor != 0 {
            self.anchors.insert(anchor, value.clone());
        }
        Ok(TreeNode { value, span: at })
    }

    fn repeat(&mut self, anchor: usize, at: &Range<usize>) -> Result<Value, Problem> {
        // One within the value that it stands for is not known yet.
        let Some(value) = self.anchors.get(&anchor) else {
            return Err(self.problem("an alias cannot stand for what it is in", at));
        };
        self.repeated += value.count();
        if self.repeated > MAX_REPEATED {
            return Err(self.problem("the aliases stand for too much", at));
        }
        Ok(value.clone())
    }

    fn list(&mut self, at: &mut Range<usize>, depth: usize) -> Result<Vec<TreeNode>, Problem> {
        let mut nodes = Vec::new();
        loop {
            match self.event()? {
                Some((Event::SequenceEnd, end)) => {
                    at.end = at.end.max(range(&end).end);
                    return Ok(nodes);
                }
                Some((event, span)) => nodes.push(self.node(event, &span, depth + 1)?),
                None => return Err(self.problem("the list has no end", at)),
            }
        }
    }

    fn table(&mut self, at: &mut Range<usize>, depth: usize) -> Result<Vec<TableEntry>, Problem> {
        let mut entries = Vec::new();
        let mut merged = HashSet::new();
        loop {
            let key = match self.event()? {
                Some((Event::MappingEnd, end)) => {
                    at.end = at.end.max(range(&end).end);
                    return Ok(entries);
                }
                Some((event, span)) => self.node(event, &span, depth + 1)?,
                None => return Err(self.problem("the table has no end", at)),
            };
            let is_merge = matches!(&key.value, Value::Plain(name) if name == MERGE);
            let (Value::Text(name) | Value::Plain(name)) = key.value else {
                return Err(self.problem("a key must be a word", &key.span));
            };
            let Some((event, span)) = self.event()? else {
                return Err(self.problem("a value is missing", &key.span));
            };
            let node = self.node(event, &span, depth + 1)?;
            if is_merge {
                for entry in self.merged_entries(node)? {
                    entries.retain(|other: &TableEntry| other.key != entry.key);
                    merged.insert(entry.key.clone());
                    entries.push(entry);
                }
                continue;
            }
            // It is no second one, but meant to go before the other.
            if merged.remove(&name) {
                entries.retain(|other| other.key != name);
            }
            entries.push(TableEntry {
                key: name,
                key_span: key.span,
                node,
            });
        }
    }

    /// The entries of one table, or of a list of them, in which the first goes before the others.
    fn merged_entries(&self, node: TreeNode) -> Result<Vec<TableEntry>, Problem> {
        let tables = match node {
            TreeNode {
                value: Value::List(nodes),
                ..
            } => nodes,
            table => vec![table],
        };
        let mut merged = Vec::new();
        for table in tables.into_iter().rev() {
            let Value::Table(entries) = table.value else {
                return Err(self.problem("`<<` takes tables", &table.span));
            };
            merged.extend(entries);
        }
        Ok(merged)
    }

    fn syntax(&self, error: &ScanError) -> Problem {
        let marker = error.marker();
        let at = marker.byte_offset().unwrap_or(self.source.text.len());
        self.problem(&format!("this is not YAML: {}", error.info()), &(at..at))
    }

    fn problem(&self, what: &str, at: &Range<usize>) -> Problem {
        Problem::new(what).at(self.source.location(at))
    }
}

fn range(span: &Span) -> Range<usize> {
    span.byte_range().unwrap_or(0..0)
}

fn scalar(text: &str, style: ScalarStyle, tagged: bool) -> Value {
    if tagged || style != ScalarStyle::Plain {
        // In quotes the Go worker does not take a number for one, and leaves it out without a word.
        return match text.parse::<i64>() {
            Ok(_) => Value::Plain(text.to_owned()),
            Err(_) => Value::Text(text.to_owned()),
        };
    }
    match text {
        "" | "~" | "null" | "Null" | "NULL" => Value::Nothing,
        _ => Value::Plain(text.to_owned()),
    }
}
