// SPDX-License-Identifier: GPL-3.0-or-later

//! Messages of D-Bus: calls with texts for arguments are written, and of what comes as much is read as we ask for. Each length
//! in it is a stranger's word.

use super::Object;

/// The longest message that is taken. Properties of one object have a few hundred bytes.
pub(super) const LONGEST: usize = 64 << 10;

/// The order of the bytes in a number: ours, which is that of all who are on this machine.
const MARK: u8 = if cfg!(target_endian = "big") { b'B' } else { b'l' };

/// What comes before the fields of a header.
const FIXED: usize = 16;

/// Nobody is to be started to answer a call.
const NO_AUTO_START: u8 = 2;

/// A value of one of the types that we ask for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Value {
    /// `s`, `o`
    Text(String),
    /// `b`
    Flag(bool),
    /// `(so)`: a name and an object's path.
    Named(String, String),
}

/// A call of a method whose arguments are texts.
#[derive(Debug)]
pub(super) struct MethodCall<'a> {
    pub(super) serial: u32,
    pub(super) object: Object<'a>,
    pub(super) member: &'a str,
    pub(super) arguments: &'a [&'a str],
}

/// What a message is for us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Of a call: that it was done, or an error.
    Answer,
    Signal,
    /// A call to us, or what a later version of the protocol has.
    Other,
}

/// A message that came.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Message {
    pub(super) kind: Kind,
    /// The number of the call that it answers.
    pub(super) reply_to: Option<u32>,
    /// The name of the error that it is.
    pub(super) error: Option<String>,
    /// The types of what it carries.
    signature: String,
    body: Vec<u8>,
}

/// The length of the message that begins here. `Some(None)`: that is not to be seen yet; `None`: it is no message that we take.
#[expect(clippy::option_option, reason = "a refusal, and what is not known yet")]
pub(super) fn length(bytes: &[u8]) -> Option<Option<usize>> {
    let Some(fixed) = bytes.get(..FIXED) else {
        return Some(None);
    };
    if fixed[0] != MARK {
        return None;
    }
    let number = |at| Reader { bytes: fixed, at }.number();
    let body = usize::try_from(number(4)?).ok()?;
    let fields = usize::try_from(number(12)?).ok()?;
    let header = FIXED.checked_add(fields)?.checked_next_multiple_of(8)?;
    let length = header.checked_add(body)?;
    (length <= LONGEST).then_some(Some(length))
}

impl MethodCall<'_> {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut body = Writer::default();
        self.arguments.iter().for_each(|text| body.text(text));
        let mut call = Writer::default();
        call.0.extend([MARK, 1, NO_AUTO_START, 1]);
        call.length(body.0.len());
        call.number(self.serial);
        // The length of the fields, when they are written.
        call.number(0);
        let signature = "s".repeat(self.arguments.len());
        let fields = [
            (1, 'o', self.object.path),
            (2, 's', self.object.interface),
            (3, 's', self.member),
            (6, 's', self.object.service),
            (8, 'g', &signature),
        ];
        for (number, kind, text) in fields.into_iter().filter(|(_, _, text)| !text.is_empty()) {
            call.align(8);
            call.0.push(number);
            call.signature(kind.encode_utf8(&mut [0; 4]));
            match kind {
                'g' => call.signature(text),
                _ => call.text(text),
            }
        }
        let fields = u32::try_from(call.0.len() - FIXED).unwrap_or(u32::MAX);
        call.0[12..FIXED].copy_from_slice(&fields.to_ne_bytes());
        call.align(8);
        call.0.extend(body.0);
        call.0
    }
}

impl Message {
    /// Reads a whole message. `None`: it is none.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let mut message = Self {
            kind: match bytes.get(1)? {
                2 | 3 => Kind::Answer,
                4 => Kind::Signal,
                _ => Kind::Other,
            },
            reply_to: None,
            error: None,
            signature: String::new(),
            body: Vec::new(),
        };
        let fields = usize::try_from(Reader { bytes, at: 12 }.number()?).ok()?;
        let end = FIXED.checked_add(fields)?;
        let mut reader = Reader {
            bytes: bytes.get(..end)?,
            at: FIXED,
        };
        while reader.at < end {
            message.field(&mut reader)?;
        }
        message.body = bytes.get(end.checked_next_multiple_of(8)?..)?.to_vec();
        let is_error = bytes[1] == 3;
        (message.error.is_some() == is_error).then_some(message)
    }

    /// Reads one field of the header. Those of other numbers have one of the same types.
    fn field(&mut self, reader: &mut Reader<'_>) -> Option<()> {
        reader.align(8)?;
        let number = reader.byte()?;
        let kind = reader.signature()?;
        match (number, kind) {
            (4, "s") => self.error = Some(reader.text()?.to_owned()),
            (5, "u") => self.reply_to = Some(reader.number()?),
            (8, "g") => reader.signature()?.clone_into(&mut self.signature),
            (_, "s" | "o") => drop(reader.text()?),
            (_, "g") => drop(reader.signature()?),
            (_, "u" | "b" | "i" | "h") => drop(reader.number()?),
            (_, "y") => drop(reader.byte()?),
            _ => return None,
        }
        Some(())
    }

    /// The text that it begins with.
    pub(super) fn text(&self) -> Option<String> {
        let mut body = Reader {
            bytes: &self.body,
            at: 0,
        };
        self.signature
            .starts_with('s')
            .then(|| body.text().map(str::to_owned))?
    }

    /// The value that it is, in a variant.
    pub(super) fn value(&self) -> Option<Value> {
        let mut body = Reader {
            bytes: &self.body,
            at: 0,
        };
        if self.signature != "v" {
            return None;
        }
        let value = match body.signature()? {
            "s" | "o" => Value::Text(body.text()?.to_owned()),
            "b" => Value::Flag(body.number()? != 0),
            "(so)" => {
                body.align(8)?;
                Value::Named(body.text()?.to_owned(), body.text()?.to_owned())
            }
            _ => return None,
        };
        Some(value)
    }
}

/// What is written.
#[derive(Debug, Default)]
struct Writer(Vec<u8>);

impl Writer {
    fn align(&mut self, to: usize) {
        self.0.resize(self.0.len().next_multiple_of(to), 0);
    }

    fn number(&mut self, number: u32) {
        self.align(4);
        self.0.extend(number.to_ne_bytes());
    }

    /// A length that no text of ours reaches.
    fn length(&mut self, length: usize) {
        self.number(u32::try_from(length).unwrap_or(u32::MAX));
    }

    fn text(&mut self, text: &str) {
        self.length(text.len());
        self.0.extend(text.bytes().chain([0]));
    }

    fn signature(&mut self, text: &str) {
        self.0.push(u8::try_from(text.len()).unwrap_or(u8::MAX));
        self.0.extend(text.bytes().chain([0]));
    }
}

/// What is read, from a place in it on.
#[derive(Debug)]
struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let end = self.at.checked_add(length)?;
        let taken = self.bytes.get(self.at..end)?;
        self.at = end;
        Some(taken)
    }

    fn align(&mut self, to: usize) -> Option<()> {
        let padding = self.at.checked_next_multiple_of(to)? - self.at;
        self.take(padding).map(drop)
    }

    fn byte(&mut self) -> Option<u8> {
        self.take(1).map(|byte| byte[0])
    }

    fn number(&mut self) -> Option<u32> {
        self.align(4)?;
        Some(u32::from_ne_bytes(self.take(4)?.try_into().ok()?))
    }

    fn text(&mut self) -> Option<&'a str> {
        let length = usize::try_from(self.number()?).ok()?;
        self.ended(length)
    }

    fn signature(&mut self) -> Option<&'a str> {
        let length = self.byte()?;
        self.ended(length.into())
    }

    /// A text of that length, and the NUL after it.
    fn ended(&mut self, length: usize) -> Option<&'a str> {
        let text = self.take(length)?;
        (self.byte()? == 0).then_some(())?;
        std::str::from_utf8(text).ok()
    }
}

#[cfg(test)]
pub(super) mod testing;
