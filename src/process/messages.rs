// SPDX-License-Identifier: GPL-3.0-or-later

//! What the worker and a guard say to each other over their socket.
//!
//! ```text
//! worker ── Brief (once) ──► guard        frame: length (u32, little endian), body
//!        ── Order (a byte) ─►             Brief: Header as JSON, NUL, then each word and a NUL
//!        ◄─ Said ───────────              Said:  JSON
//! ```
//!
//! Command lines and environments need not be UTF-8 and can be megabytes, but cannot contain a NUL:
//! they travel as the kernel wants them in the end. Both sides are the same binary, so nothing here
//! needs to be understood by another version.

use std::ffi::{CString, OsStr, OsString};
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::time::Duration;

use nix::sys::signal::Signal;
use serde::{Deserialize, Serialize};

use super::tree::Patience;
use super::{Ladder, ProcessSpec, StartError, Strays, Usage};

/// All a guard needs to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Brief {
    pub(super) program: CString,
    /// `argv[0]` included.
    pub(super) argv: Vec<CString>,
    pub(super) directory: Option<CString>,
    /// `NAME=value` sets, `NAME` alone takes away.
    pub(super) environment: Vec<CString>,
    pub(super) ladder: Ladder,
    pub(super) terms: Terms,
}

/// What is the same for every program of this node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Terms {
    pub(super) oom_score_adj: Option<i32>,
    pub(super) nice: Option<i32>,
    /// The worker was started with SIGHUP ignored (nohup), and so is the program.
    pub(super) ignore_hangup: bool,
    /// What the program's own control group is called up to its guard's pid, where it can have one.
    pub(super) cgroups: Option<String>,
    /// How many bytes of memory all of a program may use together, where it has a group that can be limited.
    pub(super) memory: Option<u64>,
    pub(super) drain: Duration,
    pub(super) unkillable: Duration,
}

/// From the worker to the guard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    /// Climb the ladder.
    Climb,
    /// No grace.
    Force,
}

/// From the guard to the worker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Said {
    Started {
        pid: i32,
    },
    /// Nothing runs: the errno of fork or exec.
    NotStarted {
        errno: i32,
    },
    /// Nothing runs: PATH has no such program.
    NotOnPath,
    /// The program has ended; what it left is not seen to yet. Should the guard die now, this stands.
    Exited(LastWord),
    Ended(LastWord),
}

/// What became of the program.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct LastWord {
    /// As `waitpid` gave it; `None` when the program itself cannot be killed.
    pub(super) status: Option<i32>,
    /// It was told to end before it had ended by itself.
    pub(super) asked: bool,
    /// The kernel killed for want of memory while it ran.
    pub(super) oom: bool,
    pub(super) usage: Usage,
    pub(super) strays: Strays,
    pub(super) output_held: bool,
}

#[derive(Debug, Serialize, Deserialize)]
struct Header {
    arguments: usize,
    has_directory: bool,
    ladder: Vec<(i32, Duration)>,
    terms: Terms,
}

/// The frame that tells a guard about `spec`.
///
/// # Errors
/// [`StartError::Nul`] when a word cannot be passed on.
pub(super) fn brief(spec: &ProcessSpec, terms: &Terms) -> Result<Vec<u8>, StartError> {
    let header = Header {
        arguments: spec.args.len(),
        has_directory: spec.directory.is_some(),
        ladder: spec
            .ladder
            .0
            .iter()
            .map(|(signal, grace)| (*signal as i32, *grace))
            .collect(),
        terms: terms.clone(),
    };
    let json = serde_json::to_vec(&header).map_err(|error| StartError::Guard(error.into()))?;
    let mut body = Body(json);
    body.0.push(0);
    body.word("the program's name", [spec.program.as_os_str()])?;
    body.word("argv[0]", [spec.argv0.as_deref().unwrap_or(&spec.program)])?;
    if let Some(directory) = &spec.directory {
        body.word("the working directory", [directory.as_os_str()])?;
    }
    for argument in &spec.args {
        body.word("an argument", [argument.as_os_str()])?;
    }
    for (name, value) in &spec.env {
        match value {
            Some(value) => body.word("the environment", [name.as_os_str(), OsStr::new("="), value])?,
            None => body.word("the environment", [name.as_os_str()])?,
        }
    }
    frame(&body.0).map_err(StartError::Guard)
}

struct Body(Vec<u8>);

impl Body {
    fn word<'a>(&mut self, what: &str, parts: impl IntoIterator<Item = &'a OsStr>) -> Result<(), StartError> {
        for part in parts {
            if part.as_bytes().contains(&0) {
                return Err(StartError::Nul(what.to_owned()));
            }
            self.0.extend_from_slice(part.as_bytes());
        }
        self.0.push(0);
        Ok(())
    }
}

impl Brief {
    /// Reads the frame that [`brief`] made; waits for all of it.
    pub(super) fn read(from: &mut impl Read) -> io::Result<Self> {
        let mut length = [0; 4];
        from.read_exact(&mut length)?;
        let mut body = Vec::new();
        let length = u64::from(u32::from_le_bytes(length));
        if from.take(length).read_to_end(&mut body)? as u64 != length {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Self::parse(&body)
    }

    fn parse(body: &[u8]) -> io::Result<Self> {
        let end = body.iter().position(|byte| *byte == 0).unwrap_or(body.len());
        let header: Header = serde_json::from_slice(&body[..end])?;
        let mut words = body[end..].split_inclusive(|byte| *byte == 0).skip(1).map(|word| {
            CString::from_vec_with_nul(word.to_vec()).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
        });
        let mut next = || words.next().unwrap_or_else(|| Err(io::ErrorKind::UnexpectedEof.into()));
        let program = next()?;
        let mut argv = vec![next()?];
        let directory = header.has_directory.then(&mut next).transpose()?;
        for _ in 0..header.arguments {
            argv.push(next()?);
        }
        let rung = |(signal, grace)| Ok((Signal::try_from(signal)?, grace));
        let ladder = header.ladder.into_iter().map(rung).collect::<io::Result<_>>()?;
        Ok(Self {
            program,
            argv,
            directory,
            environment: words.collect::<io::Result<_>>()?,
            ladder: Ladder(ladder),
            terms: header.terms,
        })
    }
}

impl Terms {
    pub(super) fn patience(&self) -> Patience {
        Patience {
            unkillable: self.unkillable,
            refused: self.drain,
        }
    }
}

impl Order {
    pub(super) fn byte(self) -> u8 {
        match self {
            Self::Climb => b'c',
            Self::Force => b'f',
        }
    }

    /// What a byte means; no other is ever sent, so whatever else comes is the greater one.
    pub(super) fn from_byte(byte: u8) -> Self {
        if byte == Self::Climb.byte() {
            Self::Climb
        } else {
            Self::Force
        }
    }
}

impl Said {
    pub(super) fn frame(&self) -> io::Result<Vec<u8>> {
        frame(&serde_json::to_vec(self)?)
    }
}

/// Bytes from a guard, as they come.
#[derive(Debug, Default)]
pub(super) struct Inbox(pub(super) Vec<u8>);

impl Inbox {
    /// Takes one message, if it is complete.
    pub(super) fn next(&mut self) -> io::Result<Option<Said>> {
        let Some((length, rest)) = self.0.split_first_chunk::<4>() else {
            return Ok(None);
        };
        let length = u32::from_le_bytes(*length) as usize;
        let Some(body) = rest.get(..length) else {
            return Ok(None);
        };
        let said = serde_json::from_slice(body)?;
        self.0.drain(..4 + length);
        Ok(Some(said))
    }
}

fn frame(body: &[u8]) -> io::Result<Vec<u8>> {
    let length = u32::try_from(body.len()).map_err(|_| io::ErrorKind::FileTooLarge)?;
    let mut frame = Vec::with_capacity(4 + body.len());
    frame.extend_from_slice(&length.to_le_bytes());
    frame.extend_from_slice(body);
    Ok(frame)
}

/// What the guard is called in a process list: `flamenco-guard: <label> <program>`.
pub(super) fn guard_title(spec: &ProcessSpec) -> OsString {
    let mut title = OsString::from(format!("flamenco-guard: {} ", spec.label));
    title.push(&spec.program);
    let clean: Vec<u8> = title
        .as_bytes()
        .iter()
        .map(|byte| if *byte == 0 { b' ' } else { *byte })
        .collect();
    OsStr::from_bytes(&clean).to_owned()
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStringExt;

    use proptest::prelude::*;

    use super::*;

    fn terms() -> Terms {
        Terms {
            oom_score_adj: Some(500),
            nice: None,
            ignore_hangup: true,
            cgroups: Some("/sys/fs/cgroup/flamenco-1-2.".into()),
            memory: Some(1 << 30),
            drain: Duration::from_millis(5),
            unkillable: Duration::from_secs(15),
        }
    }

    fn word() -> impl Strategy<Value = OsString> {
        prop::collection::vec(1..=255u8, 0..20).prop_map(OsString::from_vec)
    }

    fn spec() -> impl Strategy<Value = ProcessSpec> {
        let env = prop::collection::vec((word(), prop::option::of(word())), 0..4);
        let args = prop::collection::vec(word(), 0..6);
        (word(), prop::option::of(word()), args, env, prop::option::of(word())).prop_map(
            |(program, argv0, args, env, directory)| ProcessSpec {
                program,
                argv0,
                args,
                env,
                directory: directory.map(Into::into),
                ladder: Ladder(vec![(Signal::SIGINT, Duration::from_millis(8001))]),
                label: "shot 1".into(),
            },
        )
    }

    fn bytes(words: &[CString]) -> Vec<Vec<u8>> {
        words.iter().map(|word| word.as_bytes().to_vec()).collect()
    }

    proptest! {
        #[test]
        fn a_brief_arrives_as_it_was_sent(spec in spec()) {
            let frame = brief(&spec, &terms()).unwrap();
            let got = Brief::read(&mut frame.as_slice()).unwrap();
            prop_assert_eq!(got.program.as_bytes(), spec.program.as_bytes());
            let argv = std::iter::once(spec.argv0.as_ref().unwrap_or(&spec.program)).chain(&spec.args);
            prop_assert_eq!(bytes(&got.argv), argv.map(|word| word.as_bytes().to_vec()).collect::<Vec<_>>());
            prop_assert_eq!(got.directory.map(CString::into_bytes), spec.directory.map(|path| path.into_os_string().into_vec()));
            let env = spec.env.iter().map(|(name, value)| match value {
                Some(value) => [name.as_bytes(), b"=", value.as_bytes()].concat(),
                None => name.as_bytes().to_vec(),
            });
            prop_assert_eq!(bytes(&got.environment), env.collect::<Vec<_>>());
            prop_assert_eq!((got.ladder, got.terms), (spec.ladder, terms()));
        }

        #[test]
        fn a_brief_that_was_cut_is_refused(spec in spec(), cut in any::<prop::sample::Index>()) {
            let frame = brief(&spec, &terms()).unwrap();
            prop_assert!(Brief::read(&mut &frame[..cut.index(frame.len())]).is_err());
        }
    }

    #[test]
    fn a_nul_byte_is_refused_before_anything_runs() {
        let spec = ProcessSpec {
            program: "x".into(),
            argv0: None,
            args: vec!["a\0b".into()],
            env: Vec::new(),
            directory: None,
            ladder: Ladder(Vec::new()),
            label: "a\0b".into(),
        };
        assert!(matches!(brief(&spec, &terms()), Err(StartError::Nul(what)) if what == "an argument"));
        assert_eq!(guard_title(&spec), "flamenco-guard: a b x");
    }

    #[test]
    fn messages_come_out_of_the_inbox_whole_and_in_order() {
        let said = [Said::Started { pid: 7 }, Said::NotStarted { errno: 2 }, Said::NotOnPath];
        let stream: Vec<u8> = said.iter().flat_map(|one| one.frame().unwrap()).collect();
        let (mut inbox, mut got) = (Inbox::default(), Vec::new());
        for byte in stream {
            inbox.0.push(byte);
            got.extend(inbox.next().unwrap());
        }
        assert_eq!(got, said);
        assert!(inbox.0.is_empty());
    }

    #[test]
    fn an_order_is_a_byte() {
        for order in [Order::Climb, Order::Force] {
            assert_eq!(Order::from_byte(order.byte()), order);
        }
    }
}
