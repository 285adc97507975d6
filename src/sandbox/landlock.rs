// SPDX-License-Identifier: GPL-3.0-or-later

//! A confinement as a ruleset of Landlock, as far as the kernel knows it.

#![expect(
    unsafe_code,
    reason = "landlock_restrict_self must not allocate here, as the library does"
)]

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;

use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, NetPort, PathBeneath, PathFd, Ruleset, RulesetAttr, RulesetCreated,
    RulesetCreatedAttr, Scope,
};
use nix::errno::Errno;
use nix::libc;
use nix::sys::prctl::set_no_new_privs;

use super::confinement::Confinement;
use super::opened::{Opened, Written};
use super::rules::Network;

/// The newest version whose rights are asked for. An older kernel knows a part of them.
pub(super) const NEWEST: ABI = ABI::V6;

/// What it takes to read.
fn reading() -> BitFlags<AccessFs> {
    AccessFs::ReadFile | AccessFs::ReadDir
}

/// What it takes to write, but for the making of devices, which nobody is allowed.
fn writing() -> BitFlags<AccessFs> {
    AccessFs::from_write(NEWEST) & !(AccessFs::MakeChar | AccessFs::MakeBlock)
}

/// The ruleset of all that a confinement names. `None`: the kernel has nothing of it.
///
/// # Errors
/// There are no descriptors to be had.
pub(super) fn ruleset(confinement: &Confinement) -> io::Result<Option<OwnedFd>> {
    let Confinement {
        tmpdir,
        around: _,
        shown,
        read,
        write,
        execute,
        network,
        protected: _,
    } = confinement;
    // Where a ruleset says nothing of it, nothing can be moved to another folder.
    let mut handled: BitFlags<AccessFs> = AccessFs::Refer.into();
    if read.is_some() {
        handled |= reading();
    }
    if write.is_some() {
        handled |= AccessFs::from_write(NEWEST);
    }
    if execute.is_some() {
        handled |= AccessFs::Execute;
    }
    let scoped = Ruleset::default()
        .handle_access(handled)
        .and_then(|ruleset| ruleset.scope(Scope::from_all(NEWEST)));
    let ruleset = match network {
        Network::Any => scoped,
        Network::Ports(_) | Network::None => {
            scoped.and_then(|ruleset| ruleset.handle_access(AccessNet::from_all(ABI::V4)))
        }
    };
    let mut created = ruleset.and_then(Ruleset::create).map_err(io::Error::other)?;
    if write.is_none() {
        created = allow_opened(
            created,
            PathFd::new("/").map_err(io::Error::other)?,
            AccessFs::Refer.into(),
        )?;
    }
    let written = || write.iter().flat_map(|write| write.0.iter().chain(&tmpdir.0));
    let links = Written::new(written());
    if let Some(read) = read {
        // What can be written can be read, too.
        for path in read.0.iter().chain(&shown.0).chain(&tmpdir.0).chain(written()) {
            created = allow(created, (&links, path), reading())?;
        }
    }
    for path in written() {
        created = allow(created, (&links, path), writing())?;
    }
    for path in execute.iter().flat_map(|execute| &execute.0) {
        created = allow(created, (&links, path), AccessFs::Execute.into())?;
        if read.is_some() {
            created = allow(created, (&links, path), AccessFs::ReadFile.into())?;
        }
    }
    if let Network::Ports(ports) = network {
        for port in ports {
            let rule = NetPort::new(*port, AccessNet::ConnectTcp);
            created = created.add_rule(rule).map_err(io::Error::other)?;
        }
    }
    Ok(created.into())
}

/// Allows what is at `path`, and below it, as far as no link that a task may have made leads there. A path that is not there allows
/// nothing.
pub(super) fn allow(
    created: RulesetCreated,
    (written, path): (&Written, &Path),
    rights: BitFlags<AccessFs>,
) -> io::Result<RulesetCreated> {
    match written.open(path) {
        None => Ok(created),
        Some(Opened::Folder(folder)) => allow_opened(created, folder, rights),
        Some(Opened::File(file)) => allow_opened(created, file, rights & AccessFs::from_file(NEWEST)),
    }
}

/// Allows what was opened, which is a folder or is only given rights of files.
pub(super) fn allow_opened(
    created: RulesetCreated,
    opened: impl AsFd,
    rights: BitFlags<AccessFs>,
) -> io::Result<RulesetCreated> {
    created
        .add_rule(PathBeneath::new(opened, rights))
        .map_err(io::Error::other)
}

/// No program that is executed from now on has more rights than the one before: set-user-ID bits are nothing.
///
/// # Errors
/// The kernel's own.
pub(super) fn gain_no_privileges() -> io::Result<()> {
    Ok(set_no_new_privs()?)
}

/// Holds the calling thread to a ruleset.
///
/// # Errors
/// The kernel's own: after 16 of them there can be no other.
pub(super) fn restrict(ruleset: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: two integers.
    let done = unsafe { libc::syscall(libc::SYS_landlock_restrict_self, ruleset.as_raw_fd(), 0_u32) };
    Errno::result(done)?;
    Ok(())
}
