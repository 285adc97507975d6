// SPDX-License-Identifier: GPL-3.0-or-later

//! Splits `exeArgs` into words, by the rules of the Go worker (google/shlex). They differ from a
//! shell's rules: a backslash takes the next character as it is, also inside double quotes and before a line
//! end; blanks are space, tab, CR and LF; `#` begins a comment where a word could begin. The `shlex`
//! crate follows a shell in both places, so it cannot be used here.

use std::fmt;

/// A text that ends inside a quotation or after a backslash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SplitError {
    /// This quotation mark is not closed.
    UnclosedQuote(char),
    /// No character follows the last backslash.
    TrailingBackslash,
}

impl fmt::Display for SplitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnclosedQuote(quote) => write!(f, "words with a closing {quote} for each opening one"),
            Self::TrailingBackslash => f.write_str("a character after the backslash at the end"),
        }
    }
}

/// Where the next character stands.
#[derive(Clone, Copy)]
enum SplitState {
    BetweenWords,
    Comment,
    InWord,
    Escaped,
    Quoted(char),
    EscapedInQuotes,
}

/// Splits `text` into words.
///
/// # Errors
/// Fails if the text ends too early.
pub(super) fn split_words(text: &str) -> Result<Vec<String>, SplitError> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut state = SplitState::BetweenWords;
    for c in text.chars() {
        state = match (state, c) {
            (SplitState::Comment, '\n') => SplitState::BetweenWords,
            (SplitState::Comment, _) => SplitState::Comment,
            (SplitState::BetweenWords, '#') => SplitState::Comment,
            (SplitState::BetweenWords, ' ' | '\t' | '\r' | '\n') => SplitState::BetweenWords,
            (SplitState::InWord, ' ' | '\t' | '\r' | '\n') => {
                words.push(std::mem::take(&mut word));
                SplitState::BetweenWords
            }
            (SplitState::BetweenWords | SplitState::InWord, '\\') => SplitState::Escaped,
            (SplitState::BetweenWords | SplitState::InWord, '"' | '\'') => SplitState::Quoted(c),
            (SplitState::Quoted('"'), '\\') => SplitState::EscapedInQuotes,
            (SplitState::Quoted(quote), _) if c == quote => SplitState::InWord,
            (SplitState::Quoted(_) | SplitState::EscapedInQuotes, _) => {
                word.push(c);
                if let SplitState::Quoted(quote) = state {
                    SplitState::Quoted(quote)
                } else {
                    SplitState::Quoted('"')
                }
            }
            (SplitState::BetweenWords | SplitState::InWord | SplitState::Escaped, _) => {
                word.push(c);
                SplitState::InWord
            }
        };
    }
    match state {
        SplitState::BetweenWords | SplitState::Comment => Ok(words),
        SplitState::InWord => {
            words.push(word);
            Ok(words)
        }
        SplitState::Escaped | SplitState::EscapedInQuotes => Err(SplitError::TrailingBackslash),
        SplitState::Quoted(quote) => Err(SplitError::UnclosedQuote(quote)),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn words_are_split_as_the_go_worker_does() {
        let table: &[(&str, &[&str])] = &[
            ("", &[]),
            ("  ", &[]),
            ("#all", &[]),
            ("''", &[""]),
            (r#""""#, &[""]),
            ("a ''  b", &["a", "", "b"]),
            ("a'b c'd", &["ab cd"]),
            (r#"a"b c"d"#, &["ab cd"]),
            (r#""a""b"'c'"#, &["abc"]),
            (r#"--x="a b" --y='c d'e"f""#, &["--x=a b", "--y=c def"]),
            ("a#b", &["a#b"]),
            (r##"""#x"##, &["#x"]),
            ("a #b c", &["a"]),
            ("a #", &["a"]),
            ("a # \"never closed", &["a"]),
            ("a #b\nc d", &["a", "c", "d"]),
            ("a#b #c\nd", &["a#b", "d"]),
            (r##"'#a' "#b" \#c"##, &["#a", "#b", "#c"]),
            ("a\tb\rc\nd", &["a", "b", "c", "d"]),
            ("a\r\nb", &["a", "b"]),
            (r"a\nb", &["anb"]),
            (r#""a\nb""#, &["anb"]),
            ("a\\\nb", &["a\nb"]),
            ("\"a\\\nb\"", &["a\nb"]),
            (r#""\$HOME""#, &["$HOME"]),
            (r"C:\Users\x", &["C:Usersx"]),
            (r#""C:\Users\x y""#, &["C:Usersx y"]),
            (r"'C:\Users\x y'", &[r"C:\Users\x y"]),
            (r"'\'", &[r"\"]),
            (r"\\\\srv\\share", &[r"\\srv\share"]),
            (r"'it'\''s'", &["it's"]),
            (r"\'a\'", &["'a'"]),
            (r"a\ b", &["a b"]),
            (r"\ a", &[" a"]),
            ("$HOME ${X} $(ls) * ? ~", &["$HOME", "${X}", "$(ls)", "*", "?", "~"]),
            ("a;b|c&d<e>f", &["a;b|c&d<e>f"]),
            ("a\u{b}b\u{c}c", &["a\u{b}b\u{c}c"]),
            ("a\u{a0}b", &["a\u{a0}b"]),
        ];
        for (text, words) in table {
            assert_eq!(split_words(text).unwrap(), *words, "{text:?}");
        }
    }

    #[test]
    fn a_text_that_ends_too_early_is_refused() {
        for text in ["\"abc", "a'", "a \"b\" 'c"] {
            assert!(
                matches!(split_words(text), Err(SplitError::UnclosedQuote(_))),
                "{text:?}"
            );
        }
        for text in ["\\", "abc\\", "\"abc\\"] {
            assert_eq!(split_words(text), Err(SplitError::TrailingBackslash), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn no_text_is_too_much(text in r#"[ab"'\\# \n\t]{0,40}"#) {
            let _words = split_words(&text);
        }

        #[test]
        fn words_in_single_quotes_come_back(words in proptest::collection::vec("[^']{0,9}", 0..5)) {
            let text: Vec<_> = words.iter().map(|word| format!("'{word}'")).collect();
            prop_assert_eq!(split_words(&text.join(" ")), Ok(words));
        }
    }
}
