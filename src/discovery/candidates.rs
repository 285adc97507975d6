// SPDX-License-Identifier: GPL-3.0-or-later

//! The URLs that answers have named, what became of each, and how many Managers that makes. Pure.
//!
//! A Manager answers once for each address it has, whoever can reach it: addresses of containers, of a VPN, its loopback. So
//! several URLs are the rule, and mean one Manager. Nothing that a Manager says of itself tells it from another: the device
//! is the same for all, name and version usually are. What does is who has named a URL. From here one URL leads to one
//! Manager, and one machine has one that answers searches (the port of SSDP is taken by the first). So two URLs are one
//! Manager where some machine has named both, and they say the same name and version.

use std::collections::BTreeSet;
use std::mem;
use std::net::IpAddr;

use url::Host;

use crate::manager_url::ManagerUrl;
use crate::protocol::ManagerVersion;

/// So many URLs are tried in each search, whoever names them: no stranger is sent more than that by forged answers. A machine
/// with many container networks has some thirty addresses, and any may be the one that is reached.
const MOST: usize = 64;

/// So many of one sender's.
const MOST_OF_ONE: usize = 32;

/// So many with the name of a host. A lookup that is given up goes on in a thread, for minutes where no name server answers.
const MOST_NAMES: usize = 4;

/// So many senders of one URL are told apart. A Manager with several networks answers from each.
const MOST_SENDERS: usize = 8;

/// A Manager that has answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FoundManager {
    /// Where it answered first.
    pub url: ManagerUrl,
    /// What it says about itself.
    pub version: ManagerVersion,
}

/// What an URL turned out to be.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Standing {
    /// Nothing has come back yet; why it failed the last time.
    Trying(Option<String>),
    /// No Manager answers there, for this reason.
    Failed(String),
    /// A Manager, and how many others had answered before it.
    Manager(ManagerVersion, usize),
}

/// A URL that an answer has named.
#[derive(Debug)]
struct UrlCandidate {
    url: ManagerUrl,
    senders: BTreeSet<IpAddr>,
    /// The search in which it was named last.
    search: u32,
    standing: Standing,
}

/// All of them, of the current search and of some before.
#[derive(Debug, Default)]
pub(super) struct Candidates {
    list: Vec<UrlCandidate>,
    search: u32,
    answered: usize,
}

impl Candidates {
    /// Begins a search: what is named from here on is tried anew.
    pub(super) fn begin_search(&mut self) {
        self.search += 1;
    }

    /// Notes that `sender` has named `url`. Whether it is to be tried: each is once in a search, until there are too many.
    pub(super) fn name(&mut self, url: &ManagerUrl, sender: IpAddr) -> bool {
        let search = self.search;
        let of_sender = |candidate: &&UrlCandidate| candidate.search == search && candidate.senders.contains(&sender);
        if self.list.iter().filter(of_sender).count() >= MOST_OF_ONE {
            return false;
        }
        // One whose lookup has not ended is still tried, in whatever search it was named.
        let other_name = |other: &&UrlCandidate| {
            let is_tried = other.search == search || matches!(other.standing, Standing::Trying(_));
            is_tried && has_name(&other.url) && other.url != *url
        };
        if has_name(url) && self.list.iter().filter(other_name).count() >= MOST_NAMES {
            return false;
        }
        if let Some(known) = self.list.iter_mut().find(|known| known.url == *url) {
            if known.senders.len() < MOST_SENDERS {
                known.senders.insert(sender);
            }
            if known.search == search {
                return false;
            }
            known.search = search;
            let (again, is_new) = match mem::replace(&mut known.standing, Standing::Trying(None)) {
                Standing::Trying(before) => (before, false),
                Standing::Failed(why) => (Some(why), true),
                Standing::Manager(..) => (None, true),
            };
            known.standing = Standing::Trying(again);
            return is_new;
        }
        let candidate = UrlCandidate {
            url: url.clone(),
            senders: BTreeSet::from([sender]),
            search,
            standing: Standing::Trying(None),
        };
        if self.list.len() < MOST {
            self.list.push(candidate);
            return true;
        }
        let is_old = |old: &&mut UrlCandidate| old.search != search && !matches!(old.standing, Standing::Trying(_));
        self.list.iter_mut().find(is_old).map(|old| *old = candidate).is_some()
    }

    /// Notes what became of a URL.
    pub(super) fn tried(&mut self, url: &ManagerUrl, outcome: Result<ManagerVersion, String>) {
        if let Some(candidate) = self.list.iter_mut().find(|candidate| candidate.url == *url) {
            candidate.standing = match outcome {
                Ok(version) => {
                    // It may have been named in an earlier one; it answers in this one.
                    candidate.search = self.search;
                    self.answered += 1;
                    Standing::Manager(version, self.answered)
                }
                Err(why) => Standing::Failed(why),
            };
        }
    }

    /// The Managers that have answered in this search, each by the URL at which it did so first.
    pub(super) fn managers(&self) -> Vec<FoundManager> {
        self.groups().into_iter().map(|(manager, _)| manager).collect()
    }

    /// Whether another Manager may yet answer: a URL is tried that no machine has named together with those that have.
    pub(super) fn may_be_more(&self) -> bool {
        let known: BTreeSet<_> = self.groups().into_iter().flat_map(|(_, senders)| senders).collect();
        self.list
            .iter()
            .any(|candidate| matches!(candidate.standing, Standing::Trying(_)) && candidate.senders.is_disjoint(&known))
    }

    /// The Managers, each with all who have named it.
    fn groups(&self) -> Vec<(FoundManager, BTreeSet<IpAddr>)> {
        let answered = self.list.iter().filter_map(|candidate| match &candidate.standing {
            Standing::Manager(version, order) if candidate.search == self.search => Some((*order, candidate, version)),
            Standing::Manager(..) | Standing::Trying(_) | Standing::Failed(_) => None,
        });
        let mut answered: Vec<_> = answered.collect();
        answered.sort_by_key(|(order, ..)| *order);
        let mut found: Vec<(FoundManager, BTreeSet<IpAddr>)> = Vec::new();
        for (_, candidate, version) in answered {
            let (same, others): (Vec<_>, Vec<_>) = found.into_iter().partition(|(manager, senders)| {
                manager.version == *version && !senders.is_disjoint(&candidate.senders)
            });
            found = others;
            let senders = same
                .iter()
                .flat_map(|(_, senders)| senders)
                .chain(&candidate.senders)
                .copied();
            let senders = senders.collect();
            // Of several that turn out to be one, the one that answered first comes first.
            let first = same.into_iter().next().map(|(manager, _)| manager);
            let manager = first.unwrap_or_else(|| FoundManager {
                url: candidate.url.clone(),
                version: version.clone(),
            });
            found.push((manager, senders));
        }
        found
    }

    /// A line for each URL: who has named it, and what became of it.
    pub(super) fn describe(&self) -> Vec<String> {
        let lines = self.list.iter().map(
            |UrlCandidate {
                 url, senders, standing, ..
             }| {
                let senders: Vec<_> = senders.iter().map(ToString::to_string).collect();
                let outcome = match standing {
                    Standing::Trying(None) => "no answer yet",
                    Standing::Trying(Some(why)) | Standing::Failed(why) => why,
                    Standing::Manager(version, _) => {
                        return format!(
                            "{url}, named by {}: the Manager {:?}, version {}",
                            senders.join(", "),
                            version.name,
                            version.version
                        );
                    }
                };
                format!("{url}, named by {}: {outcome}", senders.join(", "))
            },
        );
        lines.collect()
    }
}

fn has_name(url: &ManagerUrl) -> bool {
    matches!(url.url().host(), Some(Host::Domain(_)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> ManagerUrl {
        ManagerUrl::parse(text).unwrap()
    }

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn version(name: &str) -> ManagerVersion {
        ManagerVersion {
            name: name.into(),
            version: "3.9".into(),
        }
    }

    /// Candidates of which each is named by these senders, and answered under this name, in this order.
    fn found(answers: &[(&str, &[&str], &str)]) -> Vec<String> {
        let mut candidates = Candidates::default();
        candidates.begin_search();
        for (named, senders, name) in answers {
            for sender in *senders {
                candidates.name(&url(named), address(sender));
            }
            candidates.tried(&url(named), Ok(version(name)));
        }
        let managers = candidates.managers().into_iter();
        managers
            .map(|manager| manager.url.url().host_str().unwrap().to_owned())
            .collect()
    }

    #[test]
    fn j3_several_urls_of_one_machine_are_one_manager_and_the_first_that_answers_is_taken() {
        assert_eq!(found(&[("a", &["10.0.0.1"], "m"), ("b", &["10.0.0.1"], "m")]), ["a"]);
        // With two networks it answers from two addresses, and names all from each.
        let networks = [
            ("a", &["10.0.0.1"][..], "m"),
            ("b", &["10.1.0.1"], "m"),
            ("c", &["10.0.0.1", "10.1.0.1"], "m"),
        ];
        assert_eq!(found(&networks), ["a"]);
    }

    #[test]
    fn j3_two_machines_are_two_managers_also_if_they_say_the_same() {
        assert_eq!(
            found(&[("a", &["10.0.0.1"], "m"), ("b", &["10.0.0.2"], "m")]),
            ["a", "b"]
        );
        // A relay may stand for both.
        assert_eq!(
            found(&[("a", &["10.0.0.1"], "m"), ("b", &["10.0.0.1"], "n")]),
            ["a", "b"]
        );
    }

    #[test]
    fn j1_few_names_are_looked_up_and_none_while_its_last_lookup_goes_on() {
        let mut candidates = Candidates::default();
        let sender = address("10.0.0.1");
        let name = |candidates: &mut Candidates, number: usize| candidates.name(&url(&format!("u{number}")), sender);
        candidates.begin_search();
        assert_eq!(
            (0..9).filter(|number| name(&mut candidates, *number)).count(),
            MOST_NAMES
        );
        assert!(candidates.name(&url("10.0.0.1"), sender));
        // They hang, in whatever search.
        candidates.begin_search();
        assert_eq!((0..9).filter(|number| name(&mut candidates, *number)).count(), 0);
        candidates.tried(&url("u1"), Err("no".into()));
        candidates.begin_search();
        assert!(name(&mut candidates, 7));
        assert!(!name(&mut candidates, 8) && !name(&mut candidates, 1));
    }

    #[test]
    fn j1_each_url_is_tried_once_in_a_search_and_no_flood_makes_us_ask_more() {
        let mut candidates = Candidates::default();
        candidates.begin_search();
        let sender = address("10.0.0.1");
        assert!(candidates.name(&url("a"), sender));
        assert!(!candidates.name(&url("a"), sender));
        // Still under way in the next search.
        candidates.begin_search();
        assert!(!candidates.name(&url("a"), sender));
        candidates.tried(&url("a"), Err("no".into()));
        candidates.begin_search();
        assert!(candidates.name(&url("a"), sender));
        candidates.tried(&url("a"), Err("no".into()));
        candidates.begin_search();
        let tried = (0..1000)
            .filter(|number| candidates.name(&url(&format!("10.2.0.1:{}", number + 1)), sender))
            .count();
        assert_eq!(tried, MOST_OF_ONE);
        let of_many =
            |number: u8| candidates.name(&url(&format!("10.3.0.{number}")), address(&format!("10.1.0.{number}")));
        assert_eq!((0..200).map(of_many).filter(|tried| *tried).count(), MOST - MOST_OF_ONE);
        assert_eq!(candidates.list.len(), MOST);
    }

    #[test]
    fn j3_a_manager_that_is_gone_is_not_counted_in_the_next_search() {
        let mut candidates = Candidates::default();
        for named in [&["a", "b"][..], &["b"]] {
            candidates.begin_search();
            for (name, sender) in named.iter().zip(["10.0.0.1", "10.0.0.2"]) {
                candidates.name(&url(name), address(sender));
                candidates.tried(&url(name), Ok(version("m")));
            }
            assert_eq!(candidates.managers().len(), named.len());
        }
    }
}
