// SPDX-License-Identifier: GPL-3.0-or-later

//! `contrib/s6`, below `s6-svscan`.

use std::path::{Path, PathBuf};
use std::process::Command;

use nix::sys::signal::Signal;

use crate::promises::{promises, two_workers};
use crate::site::{Root, SERVICE, Site, Supervisor};

pub(crate) struct S6(Option<Root>);

impl S6 {
    fn control(&self, site: &Site, words: &[&str]) -> String {
        site.run(Command::new("s6-svc").args(words).arg(site.place("scan").join(SERVICE)))
    }
}

impl Supervisor for S6 {
    const PROGRAMS: &'static [&'static str] = &["s6-svscan", "s6-svscanctl", "s6-svc", "s6-svstat", "s6-setuidgid"];

    fn new() -> Self {
        Self(None)
    }

    fn log(service: &str) -> PathBuf {
        Path::new("log").join(service).join("current")
    }

    fn install(&mut self, site: &Site, service: &str) {
        let scan = site.place("scan");
        site.ship("s6/flamenco-worker", &scan.join(service));
        if self.0.is_some() {
            site.run(Command::new("s6-svscanctl").arg("-a").arg(&scan));
            return;
        }
        self.0 = Some(Root::start(Command::new("s6-svscan").arg(&scan), Signal::SIGTERM));
    }

    fn start(&self, site: &Site) {
        self.control(site, &["-u"]);
    }

    fn stop(&self, site: &Site) {
        let said = self.control(site, &["-wD", "-T30000", "-d"]);
        assert_eq!(said, "");
    }

    fn drain(&self, site: &Site) {
        self.control(site, &["-q"]);
    }

    fn reload(&self, site: &Site) {
        self.control(site, &["-h"]);
    }

    fn is_down(&self, site: &Site) -> bool {
        let mut status = Command::new("s6-svstat");
        let said = site.run(status.args(["-o", "up,wantedup"]).arg(site.place("scan").join(SERVICE)));
        said.trim() == "false false"
    }

    fn end(&mut self, _site: &Site) {
        self.0 = None;
    }
}

promises!(S6);

#[test]
fn e14_g2_two_workers_on_a_host_have_each_a_home_and_a_name() {
    two_workers::<S6>("flamenco-worker-gpu1");
}
