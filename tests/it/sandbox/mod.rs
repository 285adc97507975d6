// SPDX-License-Identifier: GPL-3.0-or-later

//! What tasks may do on a node, tried by tasks that want more: real programs, as root and as an ordinary user.

mod devices;
mod hostile;
mod kernels;
mod own_work;
mod programs;
mod renderers;
mod ways;

use std::fs;
use std::path::{Path, PathBuf};

use landlock::{ABI, Access, AccessFs, CompatLevel, Compatible, Ruleset, RulesetAttr, Scope};
use nix::unistd::geteuid;
use standin_manager::CommandSpec;

use test_bed::{Farm, Node, as_user, own_user, start_as, start_through};

/// A worker whose tasks are held to rules.
pub(crate) struct Bed {
    pub(crate) farm: Farm,
    pub(crate) node: Node,
}

/// Whose worker it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum User {
    /// Who runs the tests.
    Ours,
    /// One of its own, which takes root.
    Ordinary,
}

impl User {
    /// Both, where these tests are root's.
    pub(crate) fn all() -> &'static [Self] {
        if geteuid().is_root() {
            &[Self::Ours, Self::Ordinary]
        } else {
            &[Self::Ours]
        }
    }
}

impl Bed {
    /// A worker with these lines in `[sandbox]`, where `SHARED` is a folder for everybody beside that of the node. It is
    /// awake.
    pub(crate) fn new(user: User, rules: &[&str]) -> Option<Self> {
        let mut bed = Self::prepared(rules);
        bed.start(user).then_some(bed)
    }

    /// Has each user's worker below these rules take part in a test, one after the other. It stops as ever in the end.
    pub(crate) fn each(rules: &[&str], test: impl Fn(&Self, User)) {
        for user in User::all() {
            let Some(bed) = Self::new(*user, rules) else { return };
            test(&bed, *user);
            bed.node.finish();
        }
    }

    /// A worker of ours with these lines, which such words execute; it is not waited for.
    pub(crate) fn through(words: &[&str], rules: &[&str]) -> Self {
        let mut bed = Self::prepared(rules);
        start_through(&mut bed.node, words);
        bed
    }

    /// Starts it, and waits until it is awake. Where it is another user's, so is all that is there by now.
    pub(crate) fn start(&mut self, user: User) -> bool {
        let program = self.node.command().get_program().to_owned();
        self.start_by(user, Path::new(&program))
    }

    /// The same, from this program.
    pub(crate) fn start_by(&mut self, user: User, program: &Path) -> bool {
        let program = program.display().to_string();
        match user {
            User::Ours => start_as(&mut self.node, &[program.into()]),
            User::Ordinary => {
                let Some(owner) = own_user(&self.farm, &self.node) else {
                    return false;
                };
                for folder in ["shared", "outside", "node"] {
                    chown_all(&self.at(folder), owner);
                }
                let words: Vec<_> = as_user(owner).into_iter().chain([program]).map(Into::into).collect();
                start_as(&mut self.node, &words);
            }
        }
        self.farm.awake();
        true
    }

    /// The same, not started yet.
    pub(crate) fn prepared(rules: &[&str]) -> Self {
        let (farm, mut node) = Farm::with_node();
        let bed = |name: &str| farm.folder.path().join(name);
        for folder in ["shared", "outside", "outside/folder"] {
            fs::create_dir(bed(folder)).unwrap();
        }
        fs::write(bed("outside/kept"), "kept\n").unwrap();
        let shared = bed("shared").display().to_string();
        let rules = rules.iter().map(|rule| rule.replace("SHARED", &shared));
        node.config.top = ["[sandbox]".to_owned()].into_iter().chain(rules).collect();
        Self { farm, node }
    }

    /// A path in the folder of the farm: `shared` and `outside` are there, and `node` is the worker's.
    pub(crate) fn at(&self, name: &str) -> PathBuf {
        self.farm.folder.path().join(name)
    }

    /// Runs a command to its end, and returns the log.
    pub(crate) fn completed(&self, command: CommandSpec) -> String {
        let task = self.farm.task(&[command]);
        self.farm.completed(&task);
        self.farm.log(&task)
    }

    /// The same of one that fails; the activity, and the log.
    pub(crate) fn failed(&self, command: CommandSpec) -> (String, String) {
        let task = self.farm.task(&[command]);
        self.farm.failed(&task);
        (self.farm.manager.task(&task).unwrap().activity, self.farm.log(&task))
    }

    /// What is outside, which no test changes.
    pub(crate) fn nothing_has_changed(&self) {
        let names = |folder: &str| {
            let entries = fs::read_dir(self.at(folder)).unwrap().flatten();
            let mut names: Vec<_> = entries.map(|entry| entry.file_name().into_string().unwrap()).collect();
            names.sort();
            names
        };
        assert_eq!(names("outside"), ["folder", "kept"]);
        assert_eq!(names("outside/folder"), <[String; 0]>::default());
        assert_eq!(fs::read_to_string(self.at("outside/kept")).unwrap(), "kept\n");
    }
}

fn chown_all(folder: &Path, owner: u32) {
    std::os::unix::fs::chown(folder, Some(owner), Some(owner)).unwrap();
    for entry in fs::read_dir(folder).unwrap().flatten() {
        match entry.file_type().unwrap().is_dir() {
            true => chown_all(&entry.path(), owner),
            false => std::os::unix::fs::chown(entry.path(), Some(owner), Some(owner)).unwrap(),
        }
    }
}

/// Whether a test is skipped because this kernel cannot enforce all that is tested.
#[must_use]
pub(crate) fn no_landlock() -> bool {
    let strict = Ruleset::default().set_compatibility(CompatLevel::HardRequirement);
    let known = strict
        .handle_access(AccessFs::from_all(ABI::V5))
        .and_then(|ruleset| ruleset.scope(Scope::from_all(ABI::V6)));
    if known.is_err() {
        test_needs::skipped_with_remedy(
            "this kernel has no Landlock 6",
            "take Linux 6.12 with CONFIG_SECURITY_LANDLOCK",
        );
    }
    known.is_err()
}
