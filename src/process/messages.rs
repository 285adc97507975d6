// SPDX-License-Identifier: GPL-3.0-or-later

//! What the worker and a guard say to each other over their socket.
//!
//! ```text
//! worker ── SpawnRequest (once) ───► guard    frame: length (u32, little endian), body
//!        ── GuardCommand (a byte) ─►          SpawnRequest: RequestHeader as JSON, NUL, then each word and a NUL
//!        ◄─ GuardMessage ──────────           GuardMessage: JSON
//! ```
//!
//! Command lines and environments need not be UTF-8 and can be megabytes, but cannot contain a NUL: they travel as the
//! kernel wants them in the end. A request is read by the binary that wrote it. Commands and messages may come from another
//! version: a guard outlives the program that started it where that is reloaded. So what either side does not know it passes
//! over, and what there is keeps its meaning (see `handover/envelope.rs`).

use std::ffi::{CString, OsStr};
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::signal::Signal;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::end_note::EndNote;
use super::exit_report::ExitReport;
use super::kill_sequence::KillSequence;
use super::spec::{ProcessSpec, StartError};
use super::stray::Stray;
use super::sweep::SweepLimits;
use crate::sandbox::{Around, Confinement};

/// The longest request, in bytes. No program can be given more than 6 MiB of arguments and environment: three quarters
/// of the kernel's `_STK_LIM` (execve(2)).
const LONGEST_REQUEST: usize = 8 << 20;
/// The longest message of a guard, in bytes. The longest there are name two hundred processes in 15 bytes each, and 32
/// files in 1 KiB each, every byte escaped.
const LONGEST_MESSAGE: usize = 256 << 10;

/// All a guard needs to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SpawnRequest {
    pub(super) program: CString,
    /// The arguments, `argv[0]` included.
    pub(super) argv: Vec<CString>,
    pub(super) directory: Option<CString>,
    /// `NAME=value` sets a variable, `NAME` alone takes it away.
    pub(super) environment: Vec<CString>,
    pub(super) kill_sequence: KillSequence,
    pub(super) options: SpawnOptions,
    pub(super) confinement: Option<Confinement>,
    /// Where given, the guard waits after its last message for [`GuardCommand::Release`], and notes the end here where
    /// that does not come.
    pub(super) note: Option<EndNote>,
}

/// What is the same for every program of this node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct SpawnOptions {
    pub(super) oom_score_adj: Option<i32>,
    pub(super) nice: Option<i32>,
    /// The worker was started with SIGHUP ignored (nohup), and so is the program.
    pub(super) ignore_hangup: bool,
    /// What the program's own control group is called up to its guard's pid, where it can have one.
    pub(super) cgroups: Option<String>,
    /// How many bytes of memory all of a program may use together, where it has a group that can be limited.
    pub(super) memory: Option<u64>,
    /// How long the output of what outlived the program is waited for.
    pub(super) drain: Duration,
    /// After so long without work a process that holds the output counts as idle.
    pub(super) linger: Duration,
    /// After so long a process that took SIGKILL counts as unkillable.
    pub(super) unkillable: Duration,
}

/// A command from the worker to the guard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum GuardCommand {
    /// Begin the kill sequence.
    Terminate,
    /// Kill without any grace.
    Kill,
    /// The end of the program is on disk, or of no interest any more: leave.
    Release,
    /// Have all stand still, as soon as the program runs; what is being ended does not.
    Freeze,
    /// Let all go on.
    Thaw,
}

/// A message from the guard to the worker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum GuardMessage {
    /// The program runs.
    Started { pid: i32 },
    /// The answer to each [`GuardCommand`]: a guard that answers is at work.
    CommandReceived,
    /// The program has ended; what it left is not seen to yet. Should the guard die now, this stands, unless something
    /// that still held the output died with it.
    Exited(ExitReport),
    /// The program has ended well, and these hold its output: they are waited for while they work. It is sent once.
    LeftRunning(Vec<Stray>),
    /// These cannot be frozen: they are another user's. It is sent once.
    NotFrozen(Vec<Stray>),
    /// Nothing follows this.
    Final(FinalMessage),
}

/// The last message of a guard.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum FinalMessage {
    /// Nothing runs: the kernel has no process, descriptor or memory to give, which is not the program's fault.
    NotForked { errno: i32 },
    /// Nothing runs: the errno of exec, or of what comes right before it.
    NotStarted { errno: i32 },
    /// Nothing runs: PATH has no such program.
    NotOnPath,
    /// The program has ended, and nothing of it is left but what the report calls unkillable.
    Ended(ExitReport),
}

#[derive(Debug, Serialize, Deserialize)]
struct RequestHeader {
    arguments: usize,
    has_directory: bool,
    kill_sequence: Vec<(i32, Duration)>,
    options: SpawnOptions,
    confinement: Option<Confinement>,
    note: Option<EndNote>,
}

/// The frame that tells a guard what to run.
///
/// # Errors
/// [`StartError::Nul`] when a word cannot be passed on; [`StartError::Exec`] with `E2BIG` when no kernel would take that
/// many.
pub(super) fn encode_request(
    spec: &ProcessSpec,
    options: &SpawnOptions,
    note: Option<&EndNote>,
) -> Result<Vec<u8>, StartError> {
    let header = RequestHeader {
        arguments: spec.args.len(),
        has_directory: spec.directory.is_some(),
        kill_sequence: spec
            .kill_sequence
            .0
            .iter()
            .map(|(signal, grace)| (*signal as i32, *grace))
            .collect(),
        options: options.clone(),
        confinement: spec.confinement.clone(),
        note: note.cloned(),
    };
    let json = serde_json::to_vec(&header).map_err(|error| StartError::Guard(error.into()))?;
    let mut body = RequestBody(json);
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
    if body.0.len() > LONGEST_REQUEST {
        return Err(StartError::Exec(Errno::E2BIG));
    }
    frame(&body.0).map_err(StartError::Guard)
}

/// The body of a request, as it grows.
struct RequestBody(Vec<u8>);

impl RequestBody {
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

impl SpawnRequest {
    /// Reads the frame that [`encode_request`] made, and waits for all of it.
    ///
    /// # Errors
    /// When the socket ends before (`UnexpectedEof`), or what it gives is no request.
    pub(super) fn read(from: &mut impl Read) -> io::Result<Self> {
        let mut length = [0; 4];
        from.read_exact(&mut length)?;
        let length = checked_length(length, LONGEST_REQUEST)?;
        let mut body = vec![0; length];
        from.read_exact(&mut body)?;
        Self::parse(&body)
    }

    /// Holds the program to a ruleset, which comes beside the request, as well.
    pub(super) fn hold_to(&mut self, ruleset: Option<OwnedFd>) {
        if let Some(confinement) = &mut self.confinement {
            confinement.around = ruleset.map(Around::received);
        }
    }

    fn parse(body: &[u8]) -> io::Result<Self> {
        let end = body.iter().position(|byte| *byte == 0).unwrap_or(body.len());
        let header: RequestHeader = serde_json::from_slice(&body[..end])?;
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
        let step = |(signal, grace)| Ok((Signal::try_from(signal)?, grace));
        let kill_sequence = header.kill_sequence.into_iter().map(step).collect::<io::Result<_>>()?;
        Ok(Self {
            program,
            argv,
            directory,
            environment: words.collect::<io::Result<_>>()?,
            kill_sequence: KillSequence(kill_sequence),
            options: header.options,
            confinement: header.confinement,
            note: header.note,
        })
    }
}

impl SpawnOptions {
    pub(super) fn sweep_limits(&self) -> SweepLimits {
        SweepLimits {
            unkillable: self.unkillable,
            refused: self.drain,
        }
    }
}

impl GuardCommand {
    pub(super) fn byte(self) -> u8 {
        match self {
            Self::Terminate => b'c',
            Self::Kill => b'f',
            Self::Release => b't',
            Self::Freeze => b'p',
            Self::Thaw => b'r',
        }
    }

    /// The command of a byte; `None` for one of a later version.
    pub(super) fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            b'c' => Some(Self::Terminate),
            b'f' => Some(Self::Kill),
            b't' => Some(Self::Release),
            b'p' => Some(Self::Freeze),
            b'r' => Some(Self::Thaw),
            _ => None,
        }
    }
}

impl GuardMessage {
    pub(super) fn frame(&self) -> io::Result<Vec<u8>> {
        frame(&serde_json::to_vec(self)?)
    }
}

/// The bytes of messages, as they come from a guard.
#[derive(Debug, Default)]
pub(super) struct MessageBuffer(pub(super) Vec<u8>);

impl MessageBuffer {
    /// Takes one message, if it is complete. One that only a later version knows is passed over.
    ///
    /// # Errors
    /// When the bytes are no message.
    pub(super) fn next(&mut self) -> io::Result<Option<GuardMessage>> {
        loop {
            let Some((length, rest)) = self.0.split_first_chunk::<4>() else {
                return Ok(None);
            };
            let length = checked_length(*length, LONGEST_MESSAGE)?;
            let Some(body) = rest.get(..length) else {
                return Ok(None);
            };
            let any: Value = serde_json::from_slice(body)?;
            self.0.drain(..4 + length);
            if let Ok(message) = GuardMessage::deserialize(&any) {
                return Ok(Some(message));
            }
        }
    }
}

/// The length of a frame's body. It is checked before anything is kept of the body: another process than the guard may
/// have written it.
fn checked_length(length: [u8; 4], longest: usize) -> io::Result<usize> {
    let length = u32::from_le_bytes(length) as usize;
    if length > longest {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            format!("a message of {length} bytes, where none has more than {longest}"),
        ));
    }
    Ok(length)
}

fn frame(body: &[u8]) -> io::Result<Vec<u8>> {
    let length = u32::try_from(body.len()).map_err(|_| io::ErrorKind::FileTooLarge)?;
    let mut frame = Vec::with_capacity(4 + body.len());
    frame.extend_from_slice(&length.to_le_bytes());
    frame.extend_from_slice(body);
    Ok(frame)
}

#[cfg(test)]
#[path = "messages_tests.rs"]
mod tests;
