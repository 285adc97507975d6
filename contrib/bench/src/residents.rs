// SPDX-License-Identifier: GPL-3.0-or-later

//! Many workers in one process, where a machine has no memory for as many processes: each with its own home, its own HTTP
//! client and the real state machine, but without a program of its own. Fit for `echo`, not for tasks that start programs.
//!
//! They leave when standard input ends.

#![expect(clippy::print_stderr, reason = "a role without a log")]

use std::ffi::OsString;
use std::io::Read;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use flamenco_worker::cli::Arguments;
use flamenco_worker::config::{Config, Environment};
use flamenco_worker::home::Home;
use flamenco_worker::manager::push::{PushListener, hint_channel};
use flamenco_worker::manager::{HttpManager, Introduction, Reach, Session};
use flamenco_worker::node::{Node, Requirements};
use flamenco_worker::process::{Launcher, LauncherOptions};
use flamenco_worker::report::Pictures;
use flamenco_worker::signals::Order;
use flamenco_worker::spool::{Limits, Spool};
use flamenco_worker::systemd::Systemd;
use flamenco_worker::task::{Said, Scratch, Tools};
use flamenco_worker::worker::{Inbox, Surroundings, Worker};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::task::{JoinSet, LocalSet};
use tokio::time::sleep;

/// The first argument that makes this program a home of workers.
pub(crate) const ROLE: &str = "residents";

/// `residents COUNT MILLISECONDS FOLDER WORKER_ARGUMENT ...`: they start so many milliseconds apart; the arguments are a worker's.
pub(crate) fn main(words: &[OsString]) -> ExitCode {
    let [count, apart, folder, arguments @ ..] = words else {
        return ExitCode::from(2);
    };
    let number = |word: &OsString| word.to_str().and_then(|word| word.parse().ok());
    let (Some(count), Some(apart)) = (number(count), number(apart)) else {
        return ExitCode::from(2);
    };
    let house = House {
        count,
        apart: Duration::from_millis(apart.into()),
        folder: folder.into(),
    };
    match house.open(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: residents: {error}");
            ExitCode::FAILURE
        }
    }
}

struct House {
    count: u32,
    apart: Duration,
    folder: PathBuf,
}

impl House {
    fn open(&self, arguments: &[OsString]) -> Result<(), String> {
        let words = std::iter::once(OsString::from(ROLE)).chain(arguments.iter().cloned());
        let arguments = Arguments::parse(words).map_err(said)?;
        let (config, _warnings) = Config::load(&arguments, &Environment::capture()).map_err(said)?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        LocalSet::new().block_on(&runtime.map_err(said)?, self.keep(&config))
    }

    async fn keep(&self, config: &Config) -> Result<(), String> {
        let options = LauncherOptions {
            guard: "/proc/self/exe".into(),
            mark: ROLE.to_owned(),
            oom_score_adj: None,
            nice: None,
            memory: None,
            timings: config.timings.clone(),
        };
        let (launcher, reaper) = Launcher::new(options).map_err(said)?;
        let mut background = JoinSet::new();
        background.spawn_local(reaper.run());
        let (mut workers, mut doors) = (JoinSet::new(), Vec::new());
        for number in 0..self.count {
            let (tell, orders) = unbounded_channel();
            doors.push(tell);
            let resident = Resident {
                name: format!("resident-{number}"),
                home: self.folder.join(number.to_string()),
                config: config.clone(),
                launcher: launcher.clone(),
            };
            workers.spawn_local(resident.live(self.apart * number, orders));
        }
        until_input_ends().await;
        for tell in doors {
            let _left_already = tell.send(Order::Stop);
        }
        while let Some(left) = workers.join_next().await {
            left.map_err(said)??;
        }
        Ok(())
    }
}

async fn until_input_ends() {
    let (gone, end) = tokio::sync::oneshot::channel::<()>();
    std::thread::spawn(move || {
        let _all = std::io::stdin().read_to_end(&mut Vec::new());
        drop(gone);
    });
    let _ended = end.await;
}

struct Resident {
    name: String,
    home: PathBuf,
    config: Config,
    launcher: Launcher,
}

impl Resident {
    /// As `app` does it, without what one process has only once.
    async fn live(self, wait: Duration, orders: UnboundedReceiver<Order>) -> Result<(), String> {
        sleep(wait).await;
        let timings = self.config.timings;
        let url = self.config.manager.ok_or("no Manager is named")?;
        let home = Home::open(self.home, timings.lock_timeout).await.map_err(said)?;
        let manager = HttpManager::new(&url, Reach::default(), &timings).map_err(said)?;
        let (spool, sender) = Spool::open(&home.spool_dir(), Limits::default(), &timings).map_err(said)?;
        let (pictures, _no_pictures) = Pictures::new(home.dir(), &timings);
        let scratch = Scratch {
            folder: home.dir().to_owned(),
            spare: home.dir().to_owned(),
            mark: home.mark().to_owned(),
            said: Said::default(),
        };
        let (hints, source) = hint_channel(&timings);
        let listener = self.config.push.then(|| PushListener::new(source, &timings));
        let introduction = Introduction {
            name: self.name,
            task_types: self.config.task_types,
            software_version: ROLE.to_owned(),
            can_restart: false,
        };
        let around = Surroundings {
            home: &home,
            spool,
            pictures,
            tools: Tools::new(self.launcher, &timings, PathBuf::new(), scratch),
            orders: Inbox::new(orders, Systemd::default()),
            hints,
            node: Node::new(Requirements::default(), &timings),
            strikes: self.config.node.strikes,
            restart_code: None,
            timings: timings.clone(),
        };
        let session = Session::new(&manager, &home, introduction, &timings);
        let listen = async {
            match listener {
                Some(listener) => listener.run(&manager).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _departure = Worker::new(&manager, session, around).run(async {}) => Ok(()),
            never = sender.run(&manager) => match never {},
            never = listen => match never {},
        }
    }
}

fn said(error: impl std::error::Error) -> String {
    error.to_string()
}
