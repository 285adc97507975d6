// SPDX-License-Identifier: GPL-3.0-or-later

//! What this kernel can enforce.

#![expect(
    unsafe_code,
    reason = "landlock_create_ruleset and seccomp have no safe wrapper that only asks"
)]

use std::fmt;
use std::ptr;

use nix::libc;

use super::rules::{Network, SandboxRules};

/// `LANDLOCK_CREATE_RULESET_VERSION` (landlock_create_ruleset(2)): tells the version and creates nothing.
const ASK_VERSION: u32 = 1;

/// What a version of Landlock has brought, and the kernel that came with it (landlock(7)).
const FEATURES: [(u32, &str, &str); 6] = [
    (1, "files", "5.13"),
    (2, "renames between folders", "5.19"),
    (3, "truncation", "6.2"),
    (4, "TCP ports", "6.7"),
    (5, "commands to devices", "6.10"),
    (6, "signals and abstract sockets", "6.12"),
];
/// The versions that the keys ask for.
const FILES: u32 = 1;
const TRUNCATION: u32 = 3;
const TCP_PORTS: u32 = 4;
const SIGNALS: u32 = 6;

/// What this kernel can enforce.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct KernelSupport {
    /// The version of Landlock's interface; 0 without Landlock.
    landlock: u32,
    /// Landlock is there and switched off at the kernel's start.
    is_switched_off: bool,
    /// Whether there are filters of system calls.
    filters: bool,
}

/// What the rules ask for and this kernel cannot enforce. It is empty where all can be had.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Lacking {
    /// Without these a rule of the operator's does not hold, or not all of it.
    pub rules: Vec<String>,
    /// These protect the worker beside that.
    pub beside: Vec<String>,
}

impl KernelSupport {
    /// Asks the kernel.
    pub(crate) fn ask() -> Self {
        // SAFETY: without attributes and with this flag it only answers.
        let version = unsafe {
            libc::syscall(
                libc::SYS_landlock_create_ruleset,
                ptr::null::<u8>(),
                0_usize,
                ASK_VERSION,
            )
        };
        let is_switched_off = version < 0 && nix::errno::Errno::last() == nix::errno::Errno::EOPNOTSUPP;
        let action = libc::SECCOMP_RET_ERRNO;
        // SAFETY: the kernel reads one integer.
        let filters = unsafe {
            libc::syscall(
                libc::SYS_seccomp,
                libc::SECCOMP_GET_ACTION_AVAIL,
                0_u32,
                ptr::from_ref(&action),
            )
        };
        Self {
            landlock: u32::try_from(version).unwrap_or(0),
            is_switched_off,
            filters: filters == 0,
        }
    }

    /// Whether its Landlock is older than this version, or is not there.
    #[cfg(test)]
    pub(super) fn is_older_than(self, version: u32) -> bool {
        self.landlock < version
    }

    /// One with this version of Landlock.
    #[cfg(test)]
    pub(crate) fn with_landlock(landlock: u32) -> Self {
        Self {
            landlock,
            is_switched_off: false,
            filters: true,
        }
    }

    /// What of the rules it cannot enforce.
    pub(crate) fn lacks(self, rules: &SandboxRules) -> Lacking {
        let mut lacking = Lacking::default();
        if rules.are_none() {
            return lacking;
        }
        let mut lack = |version: u32, is_rule: bool| {
            if self.landlock < version {
                let named = FEATURES.iter().find(|(since, _, _)| *since == version);
                let what = named.map(|(_, what, kernel)| format!("{what} (needs Linux {kernel})"));
                let list = if is_rule {
                    &mut lacking.rules
                } else {
                    &mut lacking.beside
                };
                list.extend(what);
            }
        };
        // The worker's own files are closed by any rule.
        lack(FILES, true);
        if rules.write.is_some() {
            lack(TRUNCATION, true);
        }
        if let Network::Ports(ports) = &rules.network
            && !ports.is_empty()
        {
            lack(TCP_PORTS, true);
        }
        lack(SIGNALS, false);
        if !self.filters {
            let what = "system calls (needs CONFIG_SECCOMP_FILTER)".to_owned();
            match rules.network {
                Network::Any => lacking.beside.push(what),
                Network::Ports(_) | Network::None => lacking.rules.push(what),
            }
        }
        lacking
    }
}

/// What it can enforce, in words.
impl fmt::Display for KernelSupport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            landlock,
            is_switched_off,
            filters,
        } = *self;
        let known = FEATURES.iter().filter(|(since, _, _)| landlock >= *since);
        let names: Vec<_> = known.map(|(_, what, _)| *what).collect();
        match landlock {
            0 if is_switched_off => f.write_str("Landlock is switched off (lsm= on the kernel's command line)")?,
            0 => f.write_str("this kernel has no Landlock")?,
            version => write!(f, "Landlock {version}: {}", names.join(", "))?,
        }
        f.write_str(if filters {
            "; system calls are filtered"
        } else {
            "; no filters of system calls"
        })
    }
}

impl Lacking {
    /// All of it, for a sentence; `None` where nothing lacks.
    pub(crate) fn all(&self) -> Option<String> {
        let all: Vec<_> = self.rules.iter().chain(&self.beside).map(String::as_str).collect();
        (!all.is_empty()).then(|| all.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn support(landlock: u32) -> KernelSupport {
        KernelSupport::with_landlock(landlock)
    }

    #[test]
    fn n1_what_a_kernel_cannot_enforce_is_named_by_the_rule_that_asks_for_it() {
        let write = SandboxRules {
            write: Some(Vec::new()),
            ..SandboxRules::default()
        };
        let ports = SandboxRules {
            network: Network::Ports(vec![80]),
            ..SandboxRules::default()
        };
        let no_network = SandboxRules {
            network: Network::None,
            ..SandboxRules::default()
        };
        for landlock in 0..=7 {
            let lacks = support(landlock).lacks(&write);
            let files = usize::from(landlock < 1) + usize::from(landlock < 3);
            assert_eq!(lacks.rules.len(), files, "{landlock}: {lacks:?}");
            assert_eq!(lacks.beside.len(), usize::from(landlock < 6), "{landlock}: {lacks:?}");
            let lacks = support(landlock).lacks(&ports);
            let files = usize::from(landlock < 1);
            assert_eq!(
                lacks.rules.len(),
                files + usize::from(landlock < 4),
                "{landlock}: {lacks:?}"
            );
            let lacks = support(landlock).lacks(&no_network);
            assert_eq!(lacks.rules.len(), files, "{landlock}: {lacks:?}");
            assert_eq!(support(landlock).lacks(&SandboxRules::default()), Lacking::default());
        }
        assert_eq!(
            support(2).lacks(&write).all().as_deref(),
            Some("truncation (needs Linux 6.2), signals and abstract sockets (needs Linux 6.12)")
        );
        assert_eq!(support(6).lacks(&write).all(), None);
        let unfiltered = KernelSupport {
            filters: false,
            ..support(6)
        };
        assert_eq!(unfiltered.lacks(&ports).rules.len(), 1);
        assert_eq!(unfiltered.lacks(&write).beside.len(), 1);
    }

    #[test]
    fn n1_what_a_kernel_can_enforce_is_said_in_words() {
        assert_eq!(
            support(3).to_string(),
            "Landlock 3: files, renames between folders, truncation; system calls are filtered"
        );
        assert!(support(0).to_string().starts_with("this kernel has no Landlock"));
        let off = KernelSupport {
            is_switched_off: true,
            filters: false,
            ..support(0)
        };
        assert!(off.to_string().contains("lsm="), "{off}");
        assert!(!KernelSupport::ask().to_string().is_empty());
    }
}
