// SPDX-License-Identifier: GPL-3.0-or-later

//! `contrib/supervisord`, below `supervisord -n`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::sys::signal::Signal;

use crate::promises::promises;
use crate::site::{Root, SERVICE, Site, Supervised, Supervisor};
use test_bed::until;

/// What a distribution ships, less what is not needed here.
const MAIN: &str = "[unix_http_server]
file=%/run/supervisor.sock
[supervisord]
logfile=%/log/supervisord.log
pidfile=%/run/supervisord.pid
childlogdir=%/log
[rpcinterface:supervisor]
supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface
[supervisorctl]
serverurl=unix://%/run/supervisor.sock
[include]
files=%/etc/flamenco-worker.conf
";

pub(crate) struct Supervisord(Option<Root>);

impl Supervisord {
    fn control(&self, site: &Site, words: &[&str]) -> String {
        site.run(
            Command::new("supervisorctl")
                .arg("-c")
                .arg(site.place("supervisord.conf"))
                .args(words),
        )
    }

    /// Starts it with the service's file as it is in the site.
    fn begin(&mut self, site: &Site) {
        let main = site.place("supervisord.conf");
        fs::write(&main, MAIN.replace('%', &site.place("").display().to_string())).unwrap();
        let mut command = Command::new("supervisord");
        self.0 = Some(Root::start(command.arg("-n").arg("-c").arg(main), Signal::SIGTERM));
    }
}

impl Supervisor for Supervisord {
    const PROGRAMS: &'static [&'static str] = &["supervisord", "supervisorctl"];

    fn new() -> Self {
        Self(None)
    }

    fn log(service: &str) -> PathBuf {
        Path::new("log").join(format!("{service}.log"))
    }

    fn install(&mut self, site: &Site, service: &str) {
        site.ship(
            "supervisord/flamenco-worker.conf",
            &site.place("etc").join(format!("{service}.conf")),
        );
        self.begin(site);
    }

    fn start(&self, site: &Site) {
        let said = self.control(site, &["start", SERVICE]);
        assert!(said.contains("started"), "{said}");
    }

    fn stop(&self, site: &Site) {
        let said = self.control(site, &["stop", SERVICE]);
        assert!(said.contains("stopped") || said.contains("not running"), "{said}");
    }

    fn drain(&self, site: &Site) {
        let said = self.control(site, &["signal", "QUIT", SERVICE]);
        assert!(said.contains("signalled"), "{said}");
    }

    fn reload(&self, site: &Site) {
        let said = self.control(site, &["signal", "HUP", SERVICE]);
        assert!(said.contains("signalled"), "{said}");
    }

    fn is_down(&self, site: &Site) -> bool {
        let said = self.control(site, &["status", SERVICE]);
        said.contains("STOPPED") || said.contains("EXITED")
    }

    fn end(&mut self, _site: &Site) {
        self.0 = None;
    }
}

promises!(Supervisord);

/// As the comment at the end of the shipped file has it.
#[test]
fn e14_g2_two_workers_on_a_host_have_each_a_home_and_a_name() {
    let Some(site) = Site::of::<Supervisord>() else { return };
    let nodes = [0, 1].map(|number| site.node::<Supervisord>(&format!("{SERVICE}-{number}")));
    let file = site.place("etc/flamenco-worker.conf");
    site.ship("supervisord/flamenco-worker.conf", &file);
    let text = fs::read_to_string(&file).unwrap();
    let more: Vec<_> = text
        .lines()
        .filter_map(|line| line.strip_prefix(';').filter(|rest| !rest.starts_with(' ')))
        .collect();
    let says = |line: &&str, key: &str| line.starts_with(&format!("{key}="));
    let kept = text.lines().filter(|line| {
        !["directory", "environment", "stdout_logfile"]
            .iter()
            .any(|key| says(line, key))
    });
    let text: Vec<_> = kept.chain(more).collect();
    fs::write(&file, text.join("\n")).unwrap();
    let mut supervisord = Supervisord::new();
    supervisord.begin(&site);
    site.awake(2);
    let mut names: Vec<_> = site
        .farm
        .manager
        .workers()
        .iter()
        .map(|worker| worker.name.clone())
        .collect();
    names.sort();
    assert!(names[0].ends_with("-0") && names[1].ends_with("-1"), "{names:?}");
    supervisord.end(&site);
    nodes.iter().for_each(test_bed::Node::nothing_left);
}

#[test]
fn a_shut_down_within_the_first_second_stays_down_too() {
    let Some(site) = Site::of::<Supervisord>() else { return };
    let mut supervised = Supervised::<Supervisord>::started(site.with_exit_code(0));
    let exited = || {
        supervised
            .supervisor
            .control(&supervised.site, &["status", SERVICE])
            .contains("EXITED")
    };
    until("it to have exited", || exited().then_some(()), || supervised.node.log());
    supervised.end();
}
