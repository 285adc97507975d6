// SPDX-License-Identifier: GPL-3.0-or-later

//! What root may do beside being the owner of files.

#![expect(unsafe_code, reason = "capget and capset have no safe wrapper")]

use std::io;
use std::ptr;

use nix::errno::Errno;
use nix::libc;

/// `_LINUX_CAPABILITY_VERSION_3` (capget(2)): two words for each set.
const VERSION: u32 = 0x2008_0522;
/// The bits of a set. A kernel that has fewer refuses the rest, which is no loss.
const BITS: u32 = 64;
/// `CAP_DAC_OVERRIDE` stays: a worker of root writes in the folders of the artists. Landlock goes before it.
const KEPT: u32 = 1 << 1;

#[repr(C)]
struct Header {
    version: u32,
    pid: i32,
}

/// Thirty-two of each set.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Sets {
    effective: u32,
    permitted: u32,
    inheritable: u32,
}

/// Lets go of the calling thread's capabilities, and of those that a program could bring, but for [`KEPT`].
///
/// # Errors
/// The kernel's own, which it gives in no known circumstance.
pub(super) fn let_go() -> io::Result<()> {
    let mut header = Header {
        version: VERSION,
        pid: 0,
    };
    let mut sets = [Sets::default(); 2];
    // SAFETY: both are as the kernel wants them for this version, and live for the call.
    Errno::result(unsafe { libc::syscall(libc::SYS_capget, &raw mut header, &raw mut sets) })?;
    if sets == [Sets::default(); 2] {
        return Ok(());
    }
    for bit in (0..BITS).filter(|bit| KEPT.checked_shr(*bit).unwrap_or(0) & 1 == 0) {
        // SAFETY: integers only. Refused where there is no such capability, or none to lower the set with.
        unsafe { libc::prctl(libc::PR_CAPBSET_DROP, libc::c_ulong::from(bit), 0, 0, 0) };
    }
    // SAFETY: integers only. Refused by kernels before 4.3, which have no such set.
    unsafe { libc::prctl(libc::PR_CAP_AMBIENT, libc::PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) };
    let [first, _] = sets;
    let left = Sets {
        effective: first.effective & KEPT,
        permitted: first.permitted & KEPT,
        inheritable: 0,
    };
    let sets = [left, Sets::default()];
    // SAFETY: as above.
    let done = Errno::result(unsafe { libc::syscall(libc::SYS_capset, ptr::from_ref(&header), ptr::from_ref(&sets)) });
    match done {
        // A unit may filter the call away. What a program is executed with is bounded all the same.
        Ok(_) | Err(Errno::EPERM) => Ok(()),
        Err(errno) => Err(errno.into()),
    }
}
