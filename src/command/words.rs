// SPDX-License-Identifier: GPL-3.0-or-later

//! Splits `exeArgs` into words, with the rules of the Go worker (google/shlex). They are not quite a
//! shell's: a backslash takes the next character as it is, also inside double quotes and before a line
//! end; blanks are space, tab, CR and LF; `#` begins a comment where a word would begin. The `shlex`
//! crate follows a shell in both places, so it cannot be used here.

use std::fmt;

/// A text that ends too early.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unfinished {
    Quote(char),
    Escape,
}

impl fmt::Display for Unfinished {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Quote(quote) => write!(f, "words with a closing {quote} for each opening one"),
            Self::Escape => f.write_str("a character after the backslash at the end"),
        }
    }
}

#[derive(Clone, Copy)]
enum Place {
    Between,
    Comment,
    Word,
    Escaped,
    Quoted(char),
    EscapedInQuotes,
}

/// The words of `text`.
pub(super) fn split(text: &str) -> Result<Vec<String>, Unfinished> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut place = Place::Between;
    for c in text.chars() {
        place = match (place, c) {
            (Place::Comment, '\n') => Place::Between,
            (Place::Comment, _) => Place::Comment,
            (Place::Between, '#') => Place::Comment,
            (Place::Between, ' ' | '\t' | '\r' | '\n') => Place::Between,
            (Place::Word, ' ' | '\t' | '\r' | '\n') => {
                words.push(std::mem::take(&mut word));
                Place::Between
            }
            (Place::Between | Place::Word, '\\') => Place::Escaped,
            (Place::Between | Place::Word, '"' | '\'') => Place::Quoted(c),
            (Place::Quoted('"'), '\\') => Place::EscapedInQuotes,
            (Place::Quoted(quote), _) if c == quote => Place::Word,
            (Place::Quoted(_) | Place::EscapedInQuotes, _) => {
                word.push(c);
                if let Place::Quoted(quote) = place {
                    Place::Quoted(quote)
                } else {
                    Place::Quoted('"')
                }
            }
            (Place::Between | Place::Word | Place::Escaped, _) => {
                word.push(c);
                Place::Word
            }
        };
    }
    match place {
        Place::Between | Place::Comment => Ok(words),
        Place::Word => {
            words.push(word);
            Ok(words)
        }
        Place::Escaped | Place::EscapedInQuotes => Err(Unfinished::Escape),
        Place::Quoted(quote) => Err(Unfinished::Quote(quote)),
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
            assert_eq!(split(text).unwrap(), *words, "{text:?}");
        }
    }

    #[test]
    fn a_text_that_ends_too_early_is_refused() {
        for text in ["\"abc", "a'", "a \"b\" 'c"] {
            assert!(matches!(split(text), Err(Unfinished::Quote(_))), "{text:?}");
        }
        for text in ["\\", "abc\\", "\"abc\\"] {
            assert_eq!(split(text), Err(Unfinished::Escape), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn no_text_is_too_much(text in r#"[ab"'\\# \n\t]{0,40}"#) {
            let _words = split(&text);
        }

        #[test]
        fn words_in_single_quotes_come_back(words in proptest::collection::vec("[^']{0,9}", 0..5)) {
            let text: Vec<_> = words.iter().map(|word| format!("'{word}'")).collect();
            prop_assert_eq!(split(&text.join(" ")), Ok(words));
        }
    }
}
