// SPDX-License-Identifier: GPL-3.0-or-later

//! `contrib/runit`, below `runsvdir`.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::sys::signal::Signal;

use crate::promises::{promises, two_workers};
use crate::site::{Root, SERVICE, Site, Supervisor};

pub(crate) struct Runit(Option<Root>);

impl Runit {
    fn control(&self, site: &Site, words: &[&str]) -> String {
        site.run(Command::new("sv").args(words).arg(site.place("sv").join(SERVICE)))
    }
}

impl Supervisor for Runit {
    const PROGRAMS: &'static [&'static str] = &["runsvdir", "sv", "chpst", "svlogd"];

    fn new() -> Self {
        Self(None)
    }

    fn log(service: &str) -> PathBuf {
        Path::new("log").join(service).join("current")
    }

    fn install(&mut self, site: &Site, service: &str) {
        let (folder, scan) = (site.place("sv").join(service), site.place("service"));
        site.ship("runit/flamenco-worker", &folder);
        fs::create_dir_all(&scan).unwrap();
        symlink(&folder, scan.join(service)).unwrap();
        // SIGHUP: the services are told to end, too.
        self.0
            .get_or_insert_with(|| Root::start(Command::new("runsvdir").arg(scan), Signal::SIGHUP));
    }

    fn start(&self, site: &Site) {
        self.control(site, &["up"]);
    }

    fn stop(&self, site: &Site) {
        let said = self.control(site, &["-w", "30", "down"]);
        assert!(said.starts_with("ok: down"), "{said}");
    }

    fn drain(&self, site: &Site) {
        self.control(site, &["quit"]);
    }

    fn reload(&self, site: &Site) {
        self.control(site, &["hup"]);
    }

    fn is_down(&self, site: &Site) -> bool {
        let said = self.control(site, &["status"]);
        // "down: ..., want up" is one that will be started again.
        said.starts_with("down:") && !said.contains("want up")
    }

    fn end(&mut self, _site: &Site) {
        self.0 = None;
    }
}

promises!(Runit);

#[test]
fn e14_g2_two_workers_on_a_host_have_each_a_home_and_a_name() {
    two_workers::<Runit>("flamenco-worker-gpu1");
}
