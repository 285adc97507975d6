// SPDX-License-Identifier: GPL-3.0-or-later

//! The Go worker's YAML files as a tree of [`TreeNode`]s.
//!
//! The tree is built from the parser's events and not through serde: `worker_name: 007` is the text `007` to the Go
//! worker, and everything that is wrong needs its place. As in the Go worker, only the first document counts.

use std::collections::HashMap;
use std::ops::Range;

use serde_saphyr::granit_parser::{Event, Parser, ScalarStyle, ScanError, Span, StrInput};

use super::{Problem, SourceFile, TableEntry, TreeNode, Value};

/// Deeper than any file of ours. The limit keeps a hostile file from using up the stack.
const MAX_DEPTH: usize = 16;

/// Parses the first document of the file; `None` when there is nothing in it but comments.
///
/// # Errors
/// The first syntax error.
pub(crate) fn parse(source: &SourceFile) -> Result<Option<TreeNode>, Problem> {
    let mut reader = Reader {
        source,
        events: Parser::new_from_str(&source.text),
        anchors: HashMap::new(),
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
            Event::Alias(id) => match self.anchors.get(&id) {
                // Only single values: a few lines of nested aliases can stand for gigabytes.
                Some(value) if !matches!(value, Value::List(_) | Value::Table(_)) => (value.clone(), 0),
                _ => return Err(self.problem("an alias of a list or table is not supported", &at)),
            },
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
        loop {
            let key = match self.event()? {
                Some((Event::MappingEnd, end)) => {
                    at.end = at.end.max(range(&end).end);
                    return Ok(entries);
                }
                Some((event, span)) => self.node(event, &span, depth + 1)?,
                None => return Err(self.problem("the table has no end", at)),
            };
            let (Value::Text(name) | Value::Plain(name)) = key.value else {
                return Err(self.problem("a key must be a word", &key.span));
            };
            let Some((event, span)) = self.event()? else {
                return Err(self.problem("a value is missing", &key.span));
            };
            entries.push(TableEntry {
                key: name,
                key_span: key.span,
                node: self.node(event, &span, depth + 1)?,
            });
        }
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
        return Value::Text(text.to_owned());
    }
    match text {
        "" | "~" | "null" | "Null" | "NULL" => Value::Nothing,
        _ => Value::Plain(text.to_owned()),
    }
}
