// SPDX-License-Identifier: GPL-3.0-or-later

//! Parses the parameters of a command into typed values. The rules are the Go worker's, but the error texts say more.

use std::fmt;

use serde_json::{Map, Number, Value};

use super::text::{plain, quoted};
use super::word_split::split_words;
use crate::protocol::WireCommand;

/// The longest value that is shown in an error, in characters.
const SHOWN: usize = 200;

/// A parameter that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ParameterError {
    /// The command's name.
    pub command: String,
    /// The parameter's name.
    pub parameter: &'static str,
    /// Its value as text; `None` if it is missing.
    pub value: Option<String>,
    /// What would have been accepted.
    pub expected: String,
}

impl fmt::Display for ParameterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            command,
            parameter,
            value,
            expected,
        } = self;
        match value {
            None => write!(
                f,
                "{command}: mandatory parameter \"{parameter}\" is missing: expected {expected}"
            ),
            Some(value) => write!(
                f,
                "{command}: parameter \"{parameter}\" has invalid value {value}: expected {expected}"
            ),
        }
    }
}

impl std::error::Error for ParameterError {}

/// The parameters of one command, which are asked for by name. Other parameters are ignored.
#[derive(Debug, Clone, Copy)]
pub(super) struct Parameters<'a> {
    command: &'a str,
    values: &'a Map<String, Value>,
}

impl<'a> Parameters<'a> {
    pub(super) fn of(command: &'a WireCommand) -> Self {
        Self {
            command: &command.name,
            values: &command.parameters,
        }
    }

    /// Any value, also `null`.
    pub(super) fn any(&self, name: &'static str, expected: &str) -> Result<&'a Value, ParameterError> {
        self.values.get(name).ok_or_else(|| self.error(name, expected))
    }

    /// A text that is not empty.
    pub(super) fn text(&self, name: &'static str, expected: &str) -> Result<&'a str, ParameterError> {
        self.text_or_empty(name, expected).and_then(|text| match text {
            "" => Err(self.error(name, expected)),
            _ => Ok(text),
        })
    }

    /// A text that may be empty but must not be missing.
    pub(super) fn text_or_empty(&self, name: &'static str, expected: &str) -> Result<&'a str, ParameterError> {
        match self.values.get(name) {
            Some(Value::String(text)) => Ok(text),
            Some(_) | None => Err(self.error(name, expected)),
        }
    }

    /// A list of texts; other values in the list become text. A missing list is empty, and anything but a list (also `null`) is
    /// an error.
    pub(super) fn list(&self, name: &'static str) -> Result<Vec<String>, ParameterError> {
        match self.values.get(name) {
            None => Ok(Vec::new()),
            Some(Value::Array(values)) => Ok(values.iter().map(plain).collect()),
            Some(_) => Err(self.error(name, "a list of texts")),
        }
    }

    /// One text, split into words. A value that is no text counts as missing, as for the Go worker; the Manager's variables make
    /// sure that it is a text.
    pub(super) fn words(&self, name: &'static str) -> Result<Vec<String>, ParameterError> {
        match self.values.get(name) {
            Some(Value::String(text)) => split_words(text).map_err(|error| self.error(name, &error.to_string())),
            Some(_) | None => Ok(Vec::new()),
        }
    }

    /// A number.
    pub(super) fn number(&self, name: &'static str, expected: &str) -> Result<&'a Number, ParameterError> {
        match self.values.get(name) {
            Some(Value::Number(number)) => Ok(number),
            Some(_) | None => Err(self.error(name, expected)),
        }
    }

    /// The error for the parameter `name`, with its value or with a parameter whose name differs only in case.
    pub(super) fn error(&self, name: &'static str, expected: &str) -> ParameterError {
        let mut expected = expected.to_owned();
        let value = self.values.get(name).map(shown);
        let alike = self
            .values
            .keys()
            .find(|key| key.eq_ignore_ascii_case(name) && key.as_str() != name);
        if let (None, Some(alike)) = (&value, alike) {
            expected = format!(
                "{expected} (there is {}, but the case of letters counts)",
                quoted(alike)
            );
        }
        ParameterError {
            command: self.command.to_owned(),
            parameter: name,
            value,
            expected,
        }
    }
}

fn shown(value: &Value) -> String {
    let text = match value {
        Value::String(text) => quoted(text),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => plain(value),
    };
    match text.char_indices().nth(SHOWN) {
        Some((cut, _)) => format!("{}...", &text[..cut]),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn wire(parameters: &Value) -> WireCommand {
        serde_json::from_value(json!({"name": "exec", "parameters": parameters})).unwrap()
    }

    fn text_error(parameters: &Value) -> String {
        Parameters::of(&wire(parameters))
            .text("exe", "a program")
            .unwrap_err()
            .to_string()
    }

    #[test]
    fn a_text_that_is_missing_or_of_another_type_is_named_with_its_value() {
        let missing = "exec: mandatory parameter \"exe\" is missing: expected a program";
        assert_eq!(text_error(&json!(null)), missing);
        assert_eq!(text_error(&json!({"args": []})), missing);
        for (value, text) in [
            (json!(5), "5"),
            (json!(null), "<nil>"),
            (json!(""), "\"\""),
            (json!(["a"]), "[a]"),
        ] {
            let expected = format!("exec: parameter \"exe\" has invalid value {text}: expected a program");
            assert_eq!(text_error(&json!({"exe": value})), expected);
        }
    }

    #[test]
    fn a_name_in_another_case_is_pointed_out() {
        assert!(text_error(&json!({"Exe": "a"})).ends_with("(there is \"Exe\", but the case of letters counts)"));
    }

    #[test]
    fn a_long_value_is_cut_at_a_character() {
        let error = text_error(&json!({"exe": ["ü".repeat(500)]}));
        assert!(
            error.contains("üüü...: expected a program") && error.len() < 500,
            "{error}"
        );
    }

    #[test]
    fn lists_hold_texts_and_make_them_of_other_values() {
        let command =
            wire(&json!({"args": ["a b", 1, 24.5, true, null, 5_000_000, ["n"], {"k": "v"}], "no": null, "text": ""}));
        let parameters = Parameters::of(&command);
        let args = parameters.list("args").unwrap();
        assert_eq!(
            args,
            ["a b", "1", "24.5", "true", "<nil>", "5000000", "[n]", "map[k:v]"]
        );
        assert_eq!(parameters.list("missing").unwrap(), Vec::<String>::new());
        let error = parameters.list("no").unwrap_err();
        assert_eq!(
            (error.value.as_deref(), error.expected.as_str()),
            (Some("<nil>"), "a list of texts")
        );
        assert_eq!(parameters.list("text").unwrap_err().value.as_deref(), Some("\"\""));
    }

    #[test]
    fn words_that_are_no_text_count_as_nothing() {
        let command = wire(&json!({"exeArgs": ["-b"], "broken": "\"abc"}));
        let parameters = Parameters::of(&command);
        assert_eq!(parameters.words("exeArgs").unwrap(), Vec::<String>::new());
        let error = parameters.words("broken").unwrap_err().to_string();
        assert_eq!(
            error,
            r#"exec: parameter "broken" has invalid value "\"abc": expected words with a closing " for each opening one"#
        );
    }
}
