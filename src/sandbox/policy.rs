// SPDX-License-Identifier: GPL-3.0-or-later

//! What the rules of this node come to for a task. It looks at files: call it in a thread.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use nix::unistd::{AccessFlags, eaccess, geteuid};

use super::confinement::{Confinement, Paths};
use super::everything_but::{LastAround, OwnPlaces};
use super::exceptions::Ways;
use super::held::{HeldElsewhere, HeldTo};
use super::opened::follow;
use super::presets::{ALWAYS_READ, ALWAYS_WRITTEN, PresetFiles};
use super::programs::{behind, resolve, with_interpreters};
use super::refusals::Refusals;
use super::rules::{Network, SandboxRules};
use super::words::quoted_list;

/// Files of the worker's own, and where others are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct OwnFiles {
    /// Its home, its configuration, its secrets: no task reads or writes them.
    pub hidden: Vec<PathBuf>,
    /// Where another configuration would be found first: no task puts one there.
    pub earlier: Vec<PathBuf>,
    /// Patterns of the homes that other workers have, or may have later.
    pub others: Vec<String>,
    /// Files that it trusts: no task writes them.
    pub kept: Vec<PathBuf>,
    /// The program from which this process, and the next one in its place, is started.
    pub program: PathBuf,
    /// What in them tasks read.
    pub shown: Vec<PathBuf>,
    /// Where in them temporary directories are, if there is no other place.
    pub spare: Vec<PathBuf>,
    /// The user's home directory, and those for caches and configuration (XDG).
    pub user: Option<PathBuf>,
    /// For caches.
    pub cache: Option<PathBuf>,
    /// For configuration.
    pub config: Option<PathBuf>,
    /// The variable in which programs are looked for.
    pub path: Option<OsString>,
    /// The file that has the rules, for people.
    pub written_in: Option<PathBuf>,
}

/// The sandbox of this node. Clones are the same one.
#[derive(Debug, Clone)]
pub(crate) struct Sandbox(pub(super) Arc<Policy>);

#[derive(Debug)]
pub(super) struct Policy {
    pub(super) rules: SandboxRules,
    pub(super) own: OwnFiles,
    /// The folders above the worker's own files and the links to them, as far as it may write there.
    pub(super) above: Vec<PathBuf>,
    last: LastAround,
    refusals: Refusals,
}

/// Why a program is not started.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotAdmitted {
    /// Tasks may not start it.
    #[error("the sandbox of this node does not let tasks start {}: {rule}", program.display())]
    NotAllowed {
        /// Links followed.
        program: PathBuf,
        /// With its key, and where that is.
        rule: String,
    },
    /// It cannot be held to anything now, which is no fault of the task's.
    #[error("the sandbox cannot be made")]
    NoRuleset(#[from] io::Error),
}

impl Sandbox {
    /// `None`: there are no rules, and no sandbox.
    pub(crate) fn new(rules: &SandboxRules, mut own: OwnFiles) -> Option<Self> {
        if own.can_be_replaced(&own.program, rules.write.as_deref()) {
            own.kept.push(own.program.clone());
        }
        let policy = || Policy {
            rules: rules.clone(),
            above: own.above(),
            own,
            last: LastAround::default(),
            refusals: Refusals::of_environment(),
        };
        (!rules.are_none()).then(|| Self(Arc::new(policy())))
    }

    /// What a program may do that a task starts, with this temporary directory. Caches that presets name are made.
    ///
    /// # Errors
    /// The program is none that tasks may start, or there are no descriptors to be had.
    pub(crate) fn admit(&self, program: &Path, tmpdir: &Path) -> Result<Confinement, NotAdmitted> {
        self.make_folders();
        self.allowed(program, Some(tmpdir))
    }

    /// The same for a program that is only to say which one it is: it has neither a network nor a temporary directory, and nothing
    /// is made for it.
    ///
    /// # Errors
    /// As [`Sandbox::admit`].
    pub(crate) fn admit_to_ask(&self, program: &Path) -> Result<Confinement, NotAdmitted> {
        Ok(Confinement {
            network: Network::None,
            ..self.allowed(program, None)?
        })
    }

    /// Whether tasks may start a program, or there is none. It looks at files.
    ///
    /// # Errors
    /// The rule that they may not.
    pub(crate) fn may_start(&self, program: &Path) -> Result<(), NotAdmitted> {
        self.started(program).map(drop)
    }

    /// The folders of `write` in which nothing can be made after all, because they lead to the worker's own files. In words.
    pub(crate) fn closed_roots(&self) -> Vec<String> {
        let Policy { rules, above, .. } = &*self.0;
        let roots = Ways::to(rules.write.iter().flatten()).ends.into_iter();
        let closed = roots.filter(|root| above.contains(root)).map(|root| {
            format!(
                "nothing can be made, renamed or removed right in {}, which `write` names: it leads to files of a worker that is \
                 started here, or to where one would look for its configuration first",
                root.display()
            )
        });
        closed.collect()
    }

    fn allowed(&self, program: &Path, tmpdir: Option<&Path>) -> Result<Confinement, NotAdmitted> {
        let mut allowed = self.confinement(tmpdir)?;
        let Some(programs) = self.started(program)? else {
            return Ok(allowed);
        };
        if let Some(read) = &mut allowed.read {
            read.0.extend(
                programs
                    .iter()
                    .filter_map(|program| program.parent())
                    .map(Path::to_owned),
            );
        }
        let path = self.0.own.path.as_deref();
        let files = programs
            .into_iter()
            .flat_map(|program| with_interpreters(program, path));
        let files: BTreeSet<_> = files.collect();
        allowed.execute = Some(files.into_iter().collect());
        Ok(allowed)
    }

    /// All programs that tasks may start, where they may start this one; `None`: any.
    fn started(&self, program: &Path) -> Result<Option<BTreeSet<PathBuf>>, NotAdmitted> {
        let Policy { rules, own, .. } = &*self.0;
        let Some(written) = &rules.programs else {
            return Ok(None);
        };
        let programs = resolve(written, own.path.as_deref());
        // One that is not there has its own error.
        match behind(program, own.path.as_deref()) {
            Some(meant) if !programs.contains(&meant) => Err(NotAdmitted::NotAllowed {
                program: meant,
                rule: self.written("programs", &quoted_list(written)),
            }),
            Some(_) | None => Ok(Some(programs)),
        }
    }

    /// What the worker's own work for a task may do: it starts no program.
    ///
    /// # Errors
    /// There are no descriptors to be had.
    pub(super) fn confinement(&self, tmpdir: Option<&Path>) -> io::Result<Confinement> {
        Ok(Confinement {
            tmpdir: tmpdir.map(Path::to_owned).into_iter().collect(),
            around: self.0.last.of(self.own_places())?,
            ..self.files()
        })
    }

    /// A service's home directory often is the worker's home: what presets name in it is open. No task can put a link there.
    fn own_places(&self) -> OwnPlaces {
        let own = &self.0.own;
        // Both may be written with links, and with others.
        let hidden = Ways::to(&own.hidden).ends;
        let in_them = |which: fn(PresetFiles) -> Vec<&'static str>| {
            let named = self.0.rules.presets.iter().flat_map(|preset| which(preset.files()));
            let of_user = named.filter(|pattern| pattern.starts_with(['~', '$']));
            let places = of_user.filter_map(|pattern| own.place(pattern));
            let is_hidden = |place: &PathBuf| {
                let place = follow(place, |_| true);
                place.is_some_and(|place| hidden.iter().any(|hidden| place.starts_with(hidden)))
            };
            places.filter(is_hidden).collect::<Vec<_>>()
        };
        let read = in_them(|files| files.read.to_vec());
        let written = in_them(|files| [files.caches, files.write].concat());
        OwnPlaces {
            hidden: Paths([&own.hidden[..], &own.earlier].concat()),
            others: own.others.clone(),
            kept: Paths(own.kept.clone()),
            shown: Paths([own.shown.clone(), read].concat()),
            written: Paths([own.spare.clone(), written].concat()),
            stuck: Paths(self.0.last.stuck()),
        }
    }

    /// The same without what is closed anyway.
    fn files(&self) -> Confinement {
        let Policy { rules, own, .. } = &*self.0;
        let write = rules.write.as_ref().map(|write| {
            let presets = self.presets(|files| [files.caches, files.write].concat());
            let always = ALWAYS_WRITTEN.iter().map(PathBuf::from);
            write.iter().cloned().chain(always).chain(presets).collect()
        });
        let read = rules.read.as_ref().map(|read| {
            let presets = self.presets(|files| [files.read, files.caches, files.write].concat());
            let always = ALWAYS_READ.iter().map(PathBuf::from);
            read.iter().cloned().chain(always).chain(presets).collect()
        });
        Confinement {
            tmpdir: Paths::default(),
            around: None,
            shown: Paths(own.shown.clone()),
            read,
            write,
            execute: None,
            network: rules.network.clone(),
            protected: vec![std::process::id().cast_signed()],
        }
    }

    /// What the worker's own work is held to for a task with this temporary directory.
    pub(crate) fn held(&self, tmpdir: Option<&Path>) -> HeldTo {
        HeldTo {
            sandbox: self.clone(),
            tmpdir: tmpdir.map(Path::to_owned),
        }
    }

    /// The same for work that another process of ours does. It looks at files.
    pub(crate) fn held_elsewhere(&self, tmpdir: Option<&Path>) -> HeldElsewhere {
        HeldElsewhere {
            confinement: Confinement {
                tmpdir: tmpdir.map(Path::to_owned).into_iter().collect(),
                ..self.files()
            },
            own: self.own_places(),
        }
    }

    /// Whether a line of a program's output tells of something that was refused.
    pub(crate) fn is_refusal(&self, line: &[u8]) -> bool {
        self.0.refusals.are_in(line)
    }

    /// What the presets name, patterns resolved.
    fn presets(&self, which: fn(PresetFiles) -> Vec<&'static str>) -> Vec<PathBuf> {
        let named = self.0.rules.presets.iter().flat_map(|preset| which(preset.files()));
        named.flat_map(|pattern| self.0.own.expand(pattern)).collect()
    }

    /// Makes the folders that rules are for: there is no rule for what is not there yet. Not where a task's link leads.
    fn make_folders(&self) {
        let Policy { rules, own, .. } = &*self.0;
        let caches = rules.presets.iter().flat_map(|preset| preset.files().caches);
        let links = rules.written();
        for folder in caches
            .filter_map(|pattern| own.place(pattern))
            .chain(own.shown.iter().cloned())
        {
            let there = folder.ancestors().find(|above| fs::symlink_metadata(above).is_ok());
            if there.is_some_and(|there| there != folder && links.open(there).is_some()) {
                // A user without a home directory has no caches either.
                fs::create_dir_all(folder).ok();
            }
        }
    }
}

impl OwnFiles {
    /// The folders that lead to what is not to be replaced, as far as this process may write there: no task makes anything in them.
    fn above(&self) -> Vec<PathBuf> {
        let hidden = Ways::to(&self.hidden).ends;
        let ways = Ways::to(self.hidden.iter().chain(&self.earlier).chain(&self.kept));
        let above = ways
            .ends
            .iter()
            .chain(&ways.links)
            .flat_map(|path| path.ancestors().skip(1));
        let is_hidden = |folder: &Path| hidden.iter().any(|hidden| folder.starts_with(hidden));
        let above: BTreeSet<_> = above.filter(|folder| !is_hidden(folder)).collect();
        let written = above
            .into_iter()
            .filter(|folder| eaccess(*folder, AccessFlags::W_OK).is_ok());
        written.map(Path::to_owned).collect()
    }

    /// Whether a task that may write there could put another file in the place of this one.
    fn can_be_replaced(&self, path: &PathBuf, write: Option<&[PathBuf]>) -> bool {
        let Ways { ends, links } = Ways::to([path]);
        let mut names = ends.iter().chain(&links);
        match write {
            Some(write) => {
                let roots = Ways::to(write).ends;
                names.any(|name| roots.iter().any(|root| name.starts_with(root)))
            }
            // Root's tasks change all else that its next start is made of.
            None if geteuid().is_root() => false,
            None => names
                .flat_map(|name| name.ancestors())
                .any(|above| eaccess(above, AccessFlags::W_OK).is_ok()),
        }
    }

    /// The paths that a pattern of a preset stands for. One without a star stands for itself, whether it is there or not.
    pub(super) fn expand(&self, pattern: &str) -> Vec<PathBuf> {
        let place = self.place(pattern);
        if !pattern.contains('*') {
            return place.into_iter().collect();
        }
        let found = place.and_then(|place| glob::glob(place.to_str()?).ok());
        found.into_iter().flatten().filter_map(Result::ok).collect()
    }

    fn place(&self, pattern: &str) -> Option<PathBuf> {
        let (folder, rest) = match pattern.split_once('/')? {
            ("~", rest) => (&self.user, rest),
            ("$CACHE", rest) => (&self.cache, rest),
            ("$CONFIG", rest) => (&self.config, rest),
            _ => return Some(pattern.into()),
        };
        folder.as_ref().map(|folder| folder.join(rest))
    }
}
