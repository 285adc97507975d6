// SPDX-License-Identifier: GPL-3.0-or-later

//! What the operator wants of tasks on this node, as it is written.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::exceptions::Ways;
use super::opened::Written;
use super::presets::PresetFiles;
use super::programs::{named, resolve};

/// What tasks may do. What is not set restricts nothing by itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct SandboxRules {
    /// What they may start: paths, patterns, names on PATH.
    pub programs: Option<Vec<String>>,
    /// Absolute paths below which they may write.
    pub write: Option<Vec<PathBuf>>,
    /// Absolute paths below which they may read.
    pub read: Option<Vec<PathBuf>>,
    /// What they may reach.
    pub network: Network,
    /// What usual programs and devices need beside that.
    pub presets: Vec<Preset>,
    /// Whether a kernel that cannot enforce all of it is a reason to take no task.
    pub require: bool,
}

/// The port at which names are looked up. With it a process may send datagrams, to whichever port: the kernel can tell them only by
/// their kind.
pub(super) const NAMES: u16 = 53;

/// What a process may reach over the network.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Network {
    /// All of it.
    #[default]
    Any,
    /// These ports, by TCP, and programs of this machine that listen at files.
    Ports(Vec<u16>),
    /// Nothing, this machine included.
    None,
}

/// What a usual program, or the driver of a device, needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Preset {
    /// Caches and configuration of Blender.
    Blender,
    /// Devices and caches of NVIDIA's driver.
    Nvidia,
    /// The same of AMD's.
    Amd,
    /// The same of Intel's.
    Intel,
}

impl SandboxRules {
    /// Whether there is a sandbox at all.
    pub(crate) fn are_none(&self) -> bool {
        *self == Self::default()
    }

    /// The folders in which no link is followed: a task may have put it there.
    pub(super) fn written(&self) -> Written<'_> {
        Written::new(self.write.iter().flatten())
    }

    /// The rules that lead to nothing that is on this node now, in words. Looks at the file systems; `path` is the variable.
    pub(crate) fn leads_nowhere(&self, path: Option<&OsStr>) -> Vec<String> {
        let written = self.programs.iter().flatten();
        let absent: Vec<_> = written
            .filter(|one| resolve(std::slice::from_ref(*one), path).is_empty())
            .collect();
        let are_all = self
            .programs
            .as_ref()
            .is_some_and(|written| written.len() == absent.len());
        let programs: Vec<_> = match (are_all, &absent[..]) {
            (true, [_, ..]) => vec![format!("tasks can start no program: none of {absent:?} is here")],
            // A name on PATH is for those nodes that have it there.
            _ => absent
                .iter()
                .filter(|one| one.contains('/'))
                .map(|one| format!("no program is at {one:?} of `programs`"))
                .collect(),
        };
        let roots = [("write", &self.write), ("read", &self.read)].into_iter();
        let roots = roots.flat_map(|(key, roots)| roots.iter().flatten().map(move |root| (key, root)));
        let links = self.written();
        let missing = roots.filter_map(|(key, root)| {
            let why = links.opens_nothing(root)?;
            let is_pattern = root.to_string_lossy().contains(['*', '?', '[']);
            let patterns = if is_pattern {
                "; only `programs` has patterns"
            } else {
                ""
            };
            Some(format!(
                "tasks cannot {key} below {}: it is {why}{patterns}",
                root.display()
            ))
        });
        programs.into_iter().chain(missing).collect()
    }

    /// The programs that tasks may start and write as well: what one leaves there is what the next one starts. In words; as
    /// [`Self::leads_nowhere`]. Whether the worker itself may write in a file or folder is for `may_write` to say.
    pub(crate) fn can_be_replaced(&self, path: Option<&OsStr>, may_write: &dyn Fn(&Path) -> bool) -> Vec<String> {
        let written = self.write.iter().flatten();
        let written: Vec<_> = written.filter_map(|root| fs::canonicalize(root).ok()).collect();
        let programs = resolve(self.programs.as_deref().unwrap_or_default(), path).into_iter();
        let below = programs.filter_map(|program| {
            let shown = program.display();
            if self.write.is_none() {
                let is_open = may_write(&program) || program.parent().is_some_and(may_write);
                return is_open.then(|| format!("tasks may start {shown}, and write it: there is no `write`"));
            }
            let root = written.iter().find(|root| program.starts_with(root))?;
            Some(format!("tasks may start {shown}, and write below {}", root.display()))
        });
        let links = Ways::to(&named(self.programs.as_deref().unwrap_or_default(), path)).links;
        let exchanged = links.into_iter().filter_map(|link| {
            let root = written.iter().find(|root| link.starts_with(root))?;
            let (link, root) = (link.display(), root.display());
            Some(format!("tasks may start what {link} leads to, and write below {root}"))
        });
        below.chain(exchanged).collect()
    }
}

impl Preset {
    /// All of them, by the names that they have in a configuration.
    pub(crate) const ALL: [(&str, Self); 4] = [
        ("blender", Self::Blender),
        ("nvidia", Self::Nvidia),
        ("amd", Self::Amd),
        ("intel", Self::Intel),
    ];

    /// What it opens. A path that begins with `~` is below the user's home directory.
    pub(super) fn files(self) -> PresetFiles {
        match self {
            Self::Blender => PresetFiles::BLENDER,
            Self::Nvidia => PresetFiles::NVIDIA,
            Self::Amd => PresetFiles::AMD,
            Self::Intel => PresetFiles::INTEL,
        }
    }
}
