// SPDX-License-Identifier: GPL-3.0-or-later

//! A terminal with a window that tests look at: what programs write in it is drawn by an emulator, and kept as it came.
//!
//! ```text
//! program ── slave ══ master ── a thread ──► the emulator's screen, all bytes so far, a file if need be
//!               ▲          ▲
//!               │          └─ keys        nobody reads while it is held
//!               └─ size
//! ```

use std::fs::File;
use std::io::{Read, Write as _};
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::pty::openpty;
use rustix::termios::{Winsize, tcsetwinsize};
use vt100::{Parser, Screen};

/// A terminal. Its reader ends with the last process that has it open.
pub struct Terminal {
    master: File,
    slave: Option<File>,
    window: Arc<Mutex<Window>>,
    reader: Option<JoinHandle<()>>,
}

/// What was written in it.
struct Window {
    parser: Parser,
    bytes: Vec<u8>,
    copy: Option<File>,
}

impl Terminal {
    /// One of this size.
    ///
    /// # Panics
    /// The system gives us none.
    #[must_use]
    pub fn new(rows: u16, columns: u16) -> Self {
        let pair = openpty(None, None).unwrap();
        tcsetwinsize(&pair.master, size(rows, columns)).unwrap();
        for end in [&pair.master, &pair.slave] {
            // Another test may start a program at any moment, and must not hand them on.
            fcntl(end, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC)).unwrap();
        }
        let window = Window {
            parser: Parser::new(rows, columns, 1000),
            bytes: Vec::new(),
            copy: None,
        };
        let window = Arc::new(Mutex::new(window));
        let master = File::from(pair.master);
        let reader = {
            let (window, mut master) = (Arc::clone(&window), master.try_clone().unwrap());
            std::thread::spawn(move || {
                let mut bytes = [0; 4096];
                // The last one who could write to it is gone: an error says so, on Linux.
                while let Ok(some @ 1..) = master.read(&mut bytes) {
                    lock(&window).take(&bytes[..some]);
                }
            })
        };
        Self {
            master,
            slave: Some(pair.slave.into()),
            window,
            reader: Some(reader),
        }
    }

    /// Keeps all that is written also in this file, from now on.
    ///
    /// # Panics
    /// It cannot be opened.
    pub fn copy_to(&self, file: &Path) {
        lock(&self.window).copy = Some(File::options().create(true).append(true).open(file).unwrap());
    }

    /// Makes it the input and output of a program.
    ///
    /// # Panics
    /// There are too many open files.
    pub fn lend(&self, command: &mut Command) {
        let slave = || {
            self.slave
                .as_ref()
                .expect("it is lent before it is dropped")
                .try_clone()
                .unwrap()
        };
        command.stdin(slave()).stdout(slave()).stderr(slave());
    }

    /// Makes its window larger or smaller.
    ///
    /// # Panics
    /// The system refuses.
    pub fn resize(&self, rows: u16, columns: u16) {
        let mut window = lock(&self.window);
        window.parser.screen_mut().set_size(rows, columns);
        tcsetwinsize(&self.master, size(rows, columns)).unwrap();
    }

    /// Types these keys.
    ///
    /// # Panics
    /// It is closed.
    pub fn type_in(&self, keys: &str) {
        (&self.master).write_all(keys.as_bytes()).unwrap();
    }

    /// Reads nothing of it as long as this lives.
    pub fn hold(&self) -> impl Sized {
        lock(&self.window)
    }

    /// Looks at what it shows.
    pub fn look<T>(&self, at: impl FnOnce(&Screen) -> T) -> T {
        at(lock(&self.window).parser.screen())
    }

    /// The rows that it shows, without blanks at their ends.
    #[must_use]
    pub fn rows(&self) -> Vec<String> {
        self.look(|screen| {
            let (_, columns) = screen.size();
            screen.rows(0, columns).map(|row| row.trim_end().to_owned()).collect()
        })
    }

    /// All that was ever written, as it came.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        lock(&self.window).bytes.clone()
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        self.slave = None;
        // Where a program still has it the thread goes on, and ends with that.
        if let Some(reader) = self.reader.take().filter(JoinHandle::is_finished) {
            reader.join().ok();
        }
    }
}

impl Window {
    fn take(&mut self, bytes: &[u8]) {
        self.parser.process(bytes);
        self.bytes.extend_from_slice(bytes);
        if let Some(copy) = &mut self.copy {
            copy.write_all(bytes).ok();
        }
    }
}

fn lock(window: &Mutex<Window>) -> MutexGuard<'_, Window> {
    window.lock().unwrap_or_else(PoisonError::into_inner)
}

fn size(rows: u16, columns: u16) -> Winsize {
    Winsize {
        ws_row: rows,
        ws_col: columns,
        ws_xpixel: 0,
        ws_ypixel: 0,
    }
}
