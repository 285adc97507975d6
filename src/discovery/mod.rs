// SPDX-License-Identifier: GPL-3.0-or-later

//! Finds the Manager on the networks of this machine, by SSDP as the Go worker does.
//!
//! ```text
//! question ──► every network ──► answers (datagrams) ──► LOCATIONs ──► candidates ──► "which version are you?", side by side
//!    ▲                                                                                      │
//!    └── again, ever more seldom ◄── nobody, or more than one ◄── how many Managers? ◄──────┘
//! ```
//!
//! The first Manager that answers is not taken while another one may yet be slow to answer: that would make the choice for
//! the operator, and for the idle one.
//!
//! Whoever is on these networks can answer, and forge any number of answers. What an answer costs is bounded: datagrams and
//! URLs in each search, the length of each, the time and size of each try. Nothing of the configuration is sent to a
//! candidate. But a worker does what its Manager says: who cannot trust a network names the Manager.

mod candidates;
mod sockets;
mod ssdp;

use std::pin::Pin;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use tokio::time::{Instant, sleep_until};
use tracing::debug;
use url::Host;

use self::candidates::Candidates;
pub(crate) use self::candidates::FoundManager;
use self::sockets::{Received, Sockets};
use crate::chain::chain;
use crate::manager::{ManagerInfo, VersionError, ask_version};
use crate::manager_url::ManagerUrl;
use crate::random::random;

/// So long after a question all have answered who do as they are told.
const ANSWER_TIME: Duration = Duration::from_secs(ssdp::SECONDS_TO_ANSWER);

/// The pause after the first question, for a datagram that was lost; it doubles each time.
const FIRST_PAUSE: Duration = Duration::from_secs(1);

/// Where that pause stops growing: a Manager that comes up is found so soon. Shorter ones would cost it more: a farm of 500
/// workers asks 50 times a second as it is, and it answers some two.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// How long a candidate may take, and how long another one is waited for. A busy Manager was seen to take seconds.
const PATIENCE: Duration = Duration::from_secs(5);

/// So many datagrams are read after each question. A Manager sends one for each address it has.
const MOST_DATAGRAMS: u32 = 1000;

/// What a search came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum SearchOutcome {
    /// There is one Manager.
    Found(FoundManager),
    /// There are several, and which is meant cannot be told.
    Several(Vec<FoundManager>),
}

/// What was done so far, in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SearchReport {
    /// From where was asked: an interface with its address each, or why it was not possible.
    pub networks: Vec<String>,
    /// The URLs that were named, each with who did so and what became of it.
    pub answers: Vec<String>,
}

/// The end of a try.
type Trial = Pin<Box<dyn Future<Output = (ManagerUrl, Result<ManagerInfo, VersionError>)>>>;

/// A search, until it is dropped.
pub(crate) struct Search {
    sockets: Sockets,
    candidates: Candidates,
    trials: FuturesUnordered<Trial>,
    pause: Duration,
    next_question: Instant,
    /// When all have answered the last question.
    all_answered: Instant,
    /// Datagrams since the last question.
    datagrams: u32,
    several: Several,
    /// Since when one Manager has answered and no other.
    alone_since: Option<Instant>,
    /// Whether an outcome was told since the last question.
    is_told: bool,
}

/// What is made of several Managers: perhaps an answer was lost that makes them one. So a second look is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Several {
    /// There were not several.
    No,
    /// They were seen since the last question.
    Seen,
    /// They were seen before it, and are looked for again.
    Doubted,
}

impl Search {
    /// One that has not begun.
    pub(crate) fn new() -> Self {
        let now = Instant::now();
        Self {
            sockets: Sockets::default(),
            candidates: Candidates::default(),
            trials: FuturesUnordered::new(),
            pause: FIRST_PAUSE,
            next_question: now,
            all_answered: now,
            datagrams: 0,
            several: Several::No,
            alone_since: None,
            is_told: false,
        }
    }

    /// Searches until something has come of it, for ever if need be. Called again, it goes on with the next question. Cancel
    /// safe.
    pub(crate) async fn next(&mut self) -> SearchOutcome {
        loop {
            let now = Instant::now();
            if let Some(verdict) = self.verdict(now) {
                return verdict;
            }
            if now >= self.next_question {
                self.ask(now);
            }
            let others = self.alone_since.map(|since| since + PATIENCE);
            let dues = [Some(self.all_answered), others].into_iter().flatten();
            let due = dues.filter(|due| *due > now).fold(self.next_question, Instant::min);
            tokio::select! {
                received = self.sockets.next(), if self.datagrams < MOST_DATAGRAMS => self.receive(received),
                Some((url, outcome)) = self.trials.next() => self.note(&url, outcome),
                () = sleep_until(due) => {}
            }
        }
    }

    /// What was done so far.
    pub(crate) fn report(&self) -> SearchReport {
        SearchReport {
            networks: self.sockets.describe(),
            answers: self.candidates.describe(),
        }
    }

    fn ask(&mut self, now: Instant) {
        self.sockets.ask();
        self.candidates.begin_search();
        self.datagrams = 0;
        self.is_told = false;
        self.all_answered = now + ANSWER_TIME;
        // Workers that were started together do not stay together.
        self.next_question = now + self.pause.mul_f64(1.0 + random() / 5.0);
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
        self.several = match self.several {
            Several::No => Several::No,
            Several::Seen | Several::Doubted => Several::Doubted,
        };
        debug!(networks = ?self.sockets.describe(), "searching for a Manager");
    }

    fn receive(&mut self, received: Option<Received>) {
        self.datagrams += 1;
        let (Some(Received { source, interface }), datagram) = (received, self.sockets.received()) else {
            return;
        };
        let Some(location) = ssdp::location(datagram) else {
            debug!(%source, "a datagram that is no Manager's answer");
            return;
        };
        let url = match ManagerUrl::announced(location, &interface) {
            // Managers announce nothing else.
            Ok(url) if url.url().scheme() == "http" => url,
            Ok(_) => return debug!(%source, "not tried: it is not http"),
            Err(error) => return debug!(%source, %error, "not tried"),
        };
        if !self.candidates.name(&url, source) {
            return;
        }
        debug!(%source, %url, "an answer");
        if self.is_misplaced(&url) && !self.sockets.is_own(source) {
            let why = "not tried, it is an address of this machine and not of the sender's";
            return self.candidates.tried(&url, Err(why.to_owned()));
        }
        self.trials.push(Box::pin(async move {
            let outcome = ask_version(url.clone(), PATIENCE).await;
            (url, outcome)
        }));
    }

    /// Whether a URL leads to this machine. Each Manager names its loopback to everybody, and often the network of its
    /// containers, which this machine may have too: something else is there.
    fn is_misplaced(&self, url: &ManagerUrl) -> bool {
        match url.url().host() {
            Some(Host::Ipv4(address)) => self.sockets.is_own(address.into()),
            Some(Host::Ipv6(address)) => self.sockets.is_own(address.to_canonical()),
            Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
            None => false,
        }
    }

    fn note(&mut self, url: &ManagerUrl, outcome: Result<ManagerInfo, VersionError>) {
        let outcome = outcome.map(|info| info.version).map_err(|error| chain(&error));
        debug!(%url, ?outcome, "tried");
        self.candidates.tried(url, outcome);
    }

    /// Whether one Manager has answered, and others are waited for.
    pub(crate) fn has_found_one(&self) -> bool {
        self.alone_since.is_some()
    }

    fn verdict(&mut self, now: Instant) -> Option<SearchOutcome> {
        if now < self.all_answered || self.is_told {
            return None;
        }
        let outcome = match <[FoundManager; 1]>::try_from(self.candidates.managers()) {
            Ok([manager]) => {
                let since = *self.alone_since.get_or_insert(now);
                let may_be_more = self.candidates.may_be_more() && now < since + PATIENCE;
                (!may_be_more).then_some(SearchOutcome::Found(manager))
            }
            Err(none) if none.is_empty() => None,
            Err(several) => {
                self.alone_since = None;
                match self.several {
                    Several::Doubted => Some(SearchOutcome::Several(several)),
                    Several::No | Several::Seen => {
                        self.several = Several::Seen;
                        None
                    }
                }
            }
        };
        self.is_told = outcome.is_some();
        outcome
    }
}

impl SearchOutcome {
    /// In words, for whoever is to decide.
    pub(crate) fn describe(&self) -> String {
        let said = |found: &FoundManager| {
            format!(
                "{} ({:?}, version {})",
                found.url, found.version.name, found.version.version
            )
        };
        match self {
            Self::Found(manager) => said(manager),
            Self::Several(managers) => managers.iter().map(said).collect::<Vec<_>>().join(" and "),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use super::*;
    use crate::protocol::ManagerVersion;

    fn info() -> ManagerInfo {
        ManagerInfo {
            version: ManagerVersion {
                name: "m".into(),
                version: "3.9".into(),
            },
            date: None,
        }
    }

    /// A search whose last question was asked just now and has no successor soon. Nobody hears it.
    fn asked() -> Search {
        let now = Instant::now();
        let mut search = Search::new();
        search.candidates.begin_search();
        search.all_answered = now + ANSWER_TIME;
        search.next_question = now + 100 * PATIENCE;
        search
    }

    /// An answer that names a URL, at which a Manager answers after this time; `None`: never.
    fn answer(search: &mut Search, url: &str, sender: &str, after: Option<Duration>) {
        let url = ManagerUrl::parse(url).unwrap();
        assert!(search.candidates.name(&url, sender.parse().unwrap()));
        search.trials.push(Box::pin(async move {
            match after {
                Some(after) => tokio::time::sleep(after).await,
                None => pending().await,
            }
            (url, Ok(info()))
        }));
    }

    /// How long it took, and the URLs it came to.
    async fn came_to(search: &mut Search) -> (Duration, String) {
        let began = Instant::now();
        let outcome = search.next().await;
        (began.elapsed(), outcome.describe())
    }

    #[tokio::test(start_paused = true)]
    async fn j3_a_second_manager_that_is_slow_to_answer_is_waited_for() {
        let late = Duration::from_secs(3);
        let mut search = asked();
        search.several = Several::Doubted;
        answer(&mut search, "10.0.0.1", "10.0.0.1", Some(Duration::ZERO));
        answer(&mut search, "10.0.0.2", "10.0.0.2", Some(late));
        let (after, said) = came_to(&mut search).await;
        assert!(
            said.contains("http://10.0.0.1/") && said.contains("http://10.0.0.2/"),
            "{said}"
        );
        assert!(after < late + ANSWER_TIME, "{after:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn j3_nobody_is_waited_for_without_end_nor_another_url_of_the_one_that_was_found() {
        let limit = ANSWER_TIME + PATIENCE + Duration::from_millis(10);
        for (sender, least, most) in [("10.0.0.1", Duration::ZERO, PATIENCE), ("10.0.0.2", PATIENCE, limit)] {
            let mut search = asked();
            answer(&mut search, "10.0.0.1", "10.0.0.1", Some(Duration::ZERO));
            answer(&mut search, "10.0.0.2", sender, None);
            let (after, said) = came_to(&mut search).await;
            assert!(
                said.starts_with("http://10.0.0.1/ ") && !said.contains(" and "),
                "{said}"
            );
            assert!((least..most).contains(&after), "{after:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn j2_what_was_found_is_told_once_for_each_question() {
        let mut search = asked();
        answer(&mut search, "10.0.0.1", "10.0.0.1", Some(Duration::ZERO));
        came_to(&mut search).await;
        assert!(tokio::time::timeout(10 * PATIENCE, search.next()).await.is_err());
    }
}
