// SPDX-License-Identifier: GPL-3.0-or-later

//! The rules of this node in words: for the log of a task that met them, and for `check-config`.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use nix::unistd::{AccessFlags, eaccess};

use super::held::HeldTo;
use super::opened::Written;
use super::policy::{Policy, Sandbox};
use super::presets::{ALWAYS_READ, ALWAYS_WRITTEN, PresetFiles};
use super::programs::{behind, is_program, resolve, with_interpreters};
use super::rules::{NAMES, Network, Preset};

impl Sandbox {
    /// For the log of a task whose program or work was refused something, as far as can be told.
    pub(crate) fn reminder(&self) -> String {
        let rules = self.rules().join("; ");
        let named = match rules.is_empty() {
            true => String::new(),
            false => format!("{rules}{}; ", self.place()),
        };
        format!(
            "this ran in the sandbox of this node, which may be what refused something: {named}the worker's own files are closed{}",
            self.above()
        )
    }

    /// The same where nothing tells of a refusal.
    pub(crate) fn short_reminder(&self) -> String {
        format!("this ran within the rules{}", self.place())
    }

    /// `programs = ["..."] of [sandbox] in FILE`.
    pub(super) fn written(&self, key: &str, value: &str) -> String {
        format!("{key} = {value}{}", self.place())
    }

    fn place(&self) -> String {
        let file = self.0.own.written_in.as_ref();
        let file = file.map(|file| format!(" in {}", file.display())).unwrap_or_default();
        format!(" of [sandbox]{file}")
    }

    /// Each rule as it is written.
    fn rules(&self) -> Vec<String> {
        let rules = &self.0.rules;
        let programs = rules
            .programs
            .as_ref()
            .map(|programs| ("programs", quoted_list(programs)));
        let write = rules.write.as_ref().map(|write| ("write", quoted_list(write)));
        let read = rules.read.as_ref().map(|read| ("read", quoted_list(read)));
        let network = match &rules.network {
            Network::Any => None,
            Network::None => Some(("network", "\"none\"".to_owned())),
            Network::Ports(ports) => Some(("network", format!("{ports:?}"))),
        };
        let named = [programs, write, read, network].into_iter().flatten();
        named.map(|(key, value)| format!("{key} = {value}")).collect()
    }

    /// What follows from where the worker's own files are.
    fn above(&self) -> String {
        match &self.0.above[..] {
            [] => String::new(),
            above => format!(
                ", and nothing is made, renamed or removed right in the folders above them: {}",
                paths(above)
            ),
        }
    }

    /// The policy as this node resolves it, a line each, for `check-config`.
    pub(crate) fn describe(&self) -> Vec<String> {
        let Policy { rules, own, .. } = &*self.0;
        let links = rules.written();
        let programs = rules
            .programs
            .as_ref()
            .map(|written| resolve(written, own.path.as_deref()));
        let mut lines = vec![match programs {
            None => "start: any program".to_owned(),
            Some(programs) if programs.is_empty() => "start: nothing".to_owned(),
            Some(programs) => format!("start: {}", paths(&programs.into_iter().collect::<Vec<_>>())),
        }];
        match &rules.write {
            None => lines.push("write: wherever the worker may".to_owned()),
            Some(write) => {
                lines.push(format!("write: {}", seen(write, &links)));
                lines.extend(self.of_presets("write", |files| [files.caches, files.write].concat()));
                lines.push(format!("write, always: the task's TMPDIR {}", ALWAYS_WRITTEN.join(" ")));
            }
        }
        match &rules.read {
            None => lines.push("read: all but what is closed".to_owned()),
            Some(read) => {
                lines.push(format!("read: {}", seen(read, &links)));
                lines.extend(self.of_presets("read", |files| [files.read, files.caches, files.write].concat()));
                let written = rules
                    .write
                    .as_ref()
                    .map_or("the task's TMPDIR", |_| "what can be written");
                lines.push(format!("read, always: {written} {}", ALWAYS_READ.join(" ")));
            }
        }
        lines.push(format!("closed: {}", paths(&own.hidden)));
        if !own.earlier.is_empty() {
            lines.push(format!(
                "closed: where a configuration would be found first: {}",
                paths(&own.earlier)
            ));
        }
        if !own.kept.is_empty() {
            lines.push(format!("only read: {}", paths(&own.kept)));
        }
        lines.push("closed: devices with a content, as disks, memory, keyboards and cameras have; what is written in /proc, /sys and control groups".to_owned());
        if !self.0.above.is_empty() {
            lines.push(format!(
                "closed: what would be made, renamed or removed right in {}",
                paths(&self.0.above)
            ));
        }
        lines.push(match &rules.network {
            Network::Any => "network: all of it".to_owned(),
            Network::None => "network: nothing, this machine included".to_owned(),
            Network::Ports(ports) if ports.is_empty() => {
                "network: programs of this machine that listen at files".to_owned()
            }
            Network::Ports(ports) => format!(
                "network: TCP to the ports {ports:?}{}, and programs of this machine that listen at files",
                if ports.contains(&NAMES) { ", UDP to any" } else { "" }
            ),
        });
        lines
    }

    /// A line for each preset that names something of a kind.
    fn of_presets(&self, what: &str, which: fn(PresetFiles) -> Vec<&'static str>) -> Vec<String> {
        let of = |preset: &Preset| {
            let (name, _) = Preset::ALL.iter().find(|(_, one)| one == preset)?;
            let named = which(preset.files()).into_iter();
            let found: Vec<_> = named.flat_map(|pattern| self.0.own.expand(pattern)).collect();
            let links = self.0.rules.written();
            (!found.is_empty()).then(|| format!("{what}, by the preset {name:?}: {}", seen(&found, &links)))
        };
        self.0.rules.presets.iter().filter_map(of).collect()
    }

    /// Why the kernel has not executed a program for a task, where it was not for what the worker may not execute either. It
    /// looks at files.
    fn refused_to_start(&self, program: &Path) -> Option<String> {
        let Policy { rules, own, .. } = &*self.0;
        let needed = with_interpreters(behind(program, own.path.as_deref())?, own.path.as_deref());
        let is_open = |file: &PathBuf| is_program(file) && eaccess(file, AccessFlags::X_OK).is_ok();
        let rule = match (&rules.read, &rules.programs) {
            (Some(read), _) => self.written("read", &quoted_list(read)),
            (None, Some(programs)) => self.written("programs", &quoted_list(programs)),
            (None, None) => "the worker's own files are closed".to_owned(),
        };
        needed
            .iter()
            .all(is_open)
            .then(|| format!("the sandbox of this node closes it, or what interprets it, to tasks: {rule}"))
    }
}

impl HeldTo {
    /// Why the kernel has not executed a program that was held to this, if that was the reason. It looks at files.
    pub(crate) fn refused_to_start(&self, program: &Path) -> Option<String> {
        self.sandbox.refused_to_start(program)
    }
}

fn paths(all: &[PathBuf]) -> String {
    let shown: Vec<_> = all.iter().map(|path| path.display().to_string()).collect();
    shown.join(" ")
}

/// The same, with those marked that open nothing now.
fn seen(all: &[PathBuf], links: &Written) -> String {
    let mark = |path: &PathBuf| links.opens_nothing(path).map(|why| format!(" ({why})"));
    let shown: Vec<_> = all
        .iter()
        .map(|path| format!("{}{}", path.display(), mark(path).unwrap_or_default()))
        .collect();
    match shown.is_empty() {
        true => "nothing but what follows".to_owned(),
        false => shown.join(" "),
    }
}

/// As it is written in a configuration.
pub(super) fn quoted_list<T: AsRef<OsStr>>(values: &[T]) -> String {
    let shown: Vec<_> = values
        .iter()
        .map(|value| format!("{:?}", value.as_ref().to_string_lossy()))
        .collect();
    format!("[{}]", shown.join(", "))
}
