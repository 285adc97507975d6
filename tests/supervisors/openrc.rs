// SPDX-License-Identifier: GPL-3.0-or-later

//! `contrib/openrc`, as `rc-service` runs it. OpenRC keeps its state in `/run/openrc` and works only where it finds
//! that it booted the host: each command sees a folder of the site there.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::promises::{promises, two_workers};
use crate::site::{SERVICE, Site, Supervisor};

/// What is there once OpenRC has booted a host.
const STATE: &[&str] = &[
    "daemons",
    "exclusive",
    "failed",
    "hotplugged",
    "inactive",
    "options",
    "scheduled",
    "started",
    "starting",
    "stopping",
    "tmp",
    "wasinactive",
];

pub(crate) struct OpenRc(Vec<String>);

impl OpenRc {
    fn script(&self, site: &Site, service: &str, word: &str) -> String {
        let state = site.place("run/openrc");
        let script = site.place("init.d").join(service);
        site.run(
            Command::new("unshare")
                .args(["--mount", "sh", "-c"])
                .arg("mount -t tmpfs run /run && mkdir /run/openrc && mount --bind \"$0\" /run/openrc && exec \"$@\"")
                .arg(state)
                .arg(script)
                .arg(word),
        )
    }
}

impl Supervisor for OpenRc {
    const PROGRAMS: &'static [&'static str] = &["unshare", "setpriv", "supervise-daemon", "/sbin/openrc-run"];

    fn new() -> Self {
        Self(Vec::new())
    }

    fn log(service: &str) -> PathBuf {
        Path::new("log").join(format!("{service}.log"))
    }

    fn install(&mut self, site: &Site, service: &str) {
        for folder in ["init.d", "conf.d", "run/openrc"] {
            fs::create_dir_all(site.place(folder)).unwrap();
        }
        for state in STATE {
            fs::create_dir_all(site.place("run/openrc").join(state)).unwrap();
        }
        let script = site.place("init.d").join(service);
        if service == SERVICE {
            site.ship("openrc/init.d/flamenco-worker", &script);
            site.ship("openrc/conf.d/flamenco-worker", &site.place("conf.d").join(service));
            fs::write(site.place("run/openrc/softlevel"), "default\n").unwrap();
        } else {
            symlink(SERVICE, &script).unwrap();
        }
        self.0.push(service.to_owned());
        let said = self.script(site, service, "start");
        assert!(!said.contains("ERROR"), "{said}");
    }

    fn start(&self, site: &Site) {
        self.script(site, SERVICE, "start");
    }

    fn stop(&self, site: &Site) {
        let said = self.script(site, SERVICE, "stop");
        assert!(!said.contains("ERROR"), "{said}");
    }

    fn drain(&self, site: &Site) {
        self.script(site, SERVICE, "drain");
    }

    fn reload(&self, site: &Site) {
        self.script(site, SERVICE, "reload");
    }

    fn is_down(&self, site: &Site) -> bool {
        self.script(site, SERVICE, "status").contains("status: stopped")
    }

    fn end(&mut self, site: &Site) {
        for service in self.0.drain(..).collect::<Vec<_>>() {
            self.script(site, &service, "stop");
        }
    }
}

promises!(OpenRc);

#[test]
fn e14_g2_two_workers_on_a_host_have_each_a_home_and_a_name() {
    two_workers::<OpenRc>("flamenco-worker.gpu1");
}
