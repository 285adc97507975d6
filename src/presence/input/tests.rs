// SPDX-License-Identifier: GPL-3.0-or-later

//! Named pipes in the place of devices: the kernel lets nobody make one of those here.

use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::{OpenOptionsExt as _, symlink};
use std::path::PathBuf;

use nix::libc;
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use tempfile::TempDir;
use tokio::time::{Instant, timeout};

use super::*;

struct Machine {
    dev: TempDir,
    signs: Signs,
}

impl Machine {
    fn new() -> Self {
        Self {
            dev: TempDir::new().unwrap(),
            signs: Signs::new(None, &[]),
        }
    }

    fn folder(&self) -> PathBuf {
        self.dev.path().join("input")
    }

    fn plug(&self, name: &str) {
        fs::create_dir_all(self.folder()).unwrap();
        mkfifo(&self.folder().join(name), Mode::S_IRWXU).unwrap();
    }

    /// Has a device open that the other side reads; `None` as long as it does not.
    fn open(&self, name: &str) -> Option<File> {
        let mut options = OpenOptions::new();
        options.write(true).custom_flags(libc::O_NONBLOCK);
        options.open(self.folder().join(name)).ok()
    }

    async fn opened(&self, name: &str) -> File {
        loop {
            match self.open(name) {
                Some(file) => return file,
                None => sleep(Duration::from_millis(1)).await,
            }
        }
    }

    /// A moment after this one.
    async fn sign(&self) -> Instant {
        let now = Instant::now();
        let mut seen = self.signs.watch();
        let seen = seen.wait_for(|seen| seen.last.is_some_and(|last| last >= now)).await;
        seen.unwrap().last.unwrap()
    }

    /// Runs `test` beside the watch.
    async fn run(&self, test: impl AsyncFnOnce()) {
        let folder = self.folder();
        let both = async {
            tokio::select! {
                () = test() => {}
                never = watch(&folder, Duration::from_secs(600), &self.signs) => match never {},
            }
        };
        timeout(Duration::from_secs(60), both).await.unwrap();
    }
}

#[tokio::test]
async fn m10_a_device_that_says_something_is_a_sign_and_silence_none() {
    let machine = Machine::new();
    machine.plug("event0");
    machine.plug("mouse0");
    machine
        .run(async || {
            let mut device = machine.opened("event0").await;
            assert!(machine.open("mouse0").is_none());
            assert!(timeout(Duration::from_millis(50), machine.sign()).await.is_err());
            device.write_all(&[0; 24]).unwrap();
            machine.sign().await;
            // More is read after the rest, and all of it: it does not fill up.
            let filled = loop {
                if let Err(error) = device.write_all(&[0; 24]) {
                    break error;
                }
            };
            assert_eq!(filled.kind(), std::io::ErrorKind::WouldBlock);
            machine.sign().await;
            device.write_all(&[0; 24]).unwrap();
        })
        .await;
}

#[tokio::test]
async fn m10_devices_come_go_and_come_back_and_so_does_their_folder() {
    let machine = Machine::new();
    machine
        .run(async || {
            machine.plug("event7");
            machine.opened("event7").await.write_all(b"x").unwrap();
            machine.sign().await;
            // It has hung up, and is opened anew.
            machine.opened("event7").await.write_all(b"x").unwrap();
            machine.sign().await;
            // Unplugged while it is open, and another comes by its name.
            let old = machine.opened("event7").await;
            fs::remove_file(machine.folder().join("event7")).unwrap();
            machine.plug("event7");
            machine.opened("event7").await.write_all(b"x").unwrap();
            machine.sign().await;
            drop(old);
            fs::remove_dir_all(machine.folder()).unwrap();
            machine.plug("event8");
            machine.opened("event8").await.write_all(b"x").unwrap();
            machine.sign().await;
        })
        .await;
}

#[tokio::test]
async fn m10_odd_files_among_the_devices_do_no_harm() {
    let machine = Machine::new();
    machine.plug("event5");
    let folder = machine.folder();
    fs::write(folder.join("event0"), "a file is always ready").unwrap();
    fs::create_dir(folder.join("event1")).unwrap();
    symlink("nowhere", folder.join("event2")).unwrap();
    symlink("/dev/zero", folder.join("event3")).unwrap();
    symlink("event4", folder.join("event4")).unwrap();
    symlink("/dev/null", folder.join("event6")).unwrap();
    let survey = survey(&folder, &std::collections::BTreeMap::default());
    assert_eq!(survey.names(), ["event3", "event5", "event6"]);
    assert_eq!((survey.denied.len(), survey.left_out.len()), (0, 0));
    machine
        .run(async || {
            machine.opened("event5").await.write_all(b"x").unwrap();
            machine.sign().await;
        })
        .await;
}
