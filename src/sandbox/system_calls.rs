// SPDX-License-Identifier: GPL-3.0-or-later

//! A filter of system calls, for what Landlock has no rule: sockets, and what a process can do to another of its user.
//!
//! Programs of another architecture (those of 32 bits) have other numbers for the same calls, and are refused all of them.

use std::collections::BTreeMap;
use std::io;

use nix::libc;
use seccompiler::SeccompCmpArgLen::Dword;
use seccompiler::SeccompCmpOp::{Eq, MaskedEq, Ne};
use seccompiler::{
    BpfProgram, Error, SeccompAction, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule, TargetArch,
    apply_filter, sock_filter,
};

use super::rules::{NAMES, Network};

/// The bits of a socket's type that are its type (`SOCK_TYPE_MASK`); the others are flags.
const SOCKET_TYPE: u64 = 0xf;
/// `MSG_FASTOPEN`: the first words go out with the connection (tcp(7)), which no rule of Landlock is asked for.
const FAST_OPEN: u64 = 0x2000_0000;
/// A call by the numbers of x32 has this bit (`__X32_SYSCALL_BIT`).
const X32: u32 = 0x4000_0000;
/// The architectures, as a filter sees them (linux/audit.h): the machine of an ELF file, 64 bits, little endian.
const X86_64: u32 = 62 | WIDE;
const AARCH64: u32 = 183 | WIDE;
const RISCV64: u32 = 243 | WIDE;
const WIDE: u32 = 0xc000_0000;
/// Where in a filter's data the number of the call is, and the architecture (seccomp(2), `struct seccomp_data`).
const NUMBER: u32 = 0;
const ARCHITECTURE: u32 = 4;

/// What is answered where there can be no filter.
const NO_FILTERS: [i32; 3] = [libc::EINVAL, libc::ENOSYS, libc::EPERM];

type Rules = BTreeMap<i64, Vec<SeccompRule>>;
/// An argument's place, how it is compared, and with what.
type Condition = (u8, SeccompCmpOp, u64);

/// The filter of a confinement. `None`: the library knows nothing of this kind of machine.
pub(super) fn filter(network: &Network, protected: &[i32]) -> Option<BpfProgram> {
    let machine: TargetArch = std::env::consts::ARCH.try_into().ok()?;
    let mut rules = Rules::new();
    keep_from_others(&mut rules, protected).ok()?;
    match network {
        Network::Any => {}
        Network::None => no_sockets(&mut rules).ok()?,
        Network::Ports(ports) if ports.is_empty() => only_unix(&mut rules).ok()?,
        Network::Ports(ports) => only_streams(&mut rules, ports.contains(&NAMES)).ok()?,
    }
    let filter = SeccompFilter::new(rules, SeccompAction::Allow, refused_with(libc::EACCES), machine);
    let compiled: BpfProgram = filter.ok()?.try_into().ok()?;
    Some([numbers_are_ours(machine), compiled].concat())
}

/// Installs it for the calling thread, and all that it starts.
///
/// # Errors
/// The kernel's own, but for that there are no filters: it has none, or a unit filters the call away.
pub(super) fn install(filter: &BpfProgram) -> io::Result<()> {
    match apply_filter(filter) {
        Ok(()) => Ok(()),
        Err(Error::Seccomp(error)) if NO_FILTERS.map(Some).contains(&error.raw_os_error()) => Ok(()),
        Err(error) => Err(io::Error::other(error)),
    }
}

/// The limits of another process are not changed, nor how much of the processor the protected ones get.
fn keep_from_others(rules: &mut Rules, protected: &[i32]) -> Result<(), Error> {
    rules.insert(libc::SYS_prlimit64, vec![rule(&[(0, Ne, 0)])?]);
    let each = |conditions: &dyn Fn(u64) -> Vec<Condition>| {
        let pids = protected.iter().map(|pid| u64::from(pid.unsigned_abs()));
        pids.map(|pid| rule(&conditions(pid))).collect::<Result<Vec<_>, _>>()
    };
    for call in [
        libc::SYS_sched_setaffinity,
        libc::SYS_sched_setattr,
        libc::SYS_sched_setparam,
        libc::SYS_sched_setscheduler,
    ] {
        rules.insert(call, each(&|pid| vec![(0, Eq, pid)])?);
    }
    // Of a process, of a group that is not one's own, and of all that a user has.
    for (call, [process, group, user]) in [(libc::SYS_setpriority, [0, 1, 2]), (libc::SYS_ioprio_set, [1, 2, 3])] {
        let mut refused = each(&|pid| vec![(0, Eq, process), (1, Eq, pid)])?;
        refused.push(rule(&[(0, Eq, group), (1, Ne, 0)])?);
        refused.push(rule(&[(0, Eq, user)])?);
        rules.insert(call, refused);
    }
    // Without a rule that would be all of its calls.
    rules.retain(|_, refused| !refused.is_empty());
    Ok(())
}

/// No sockets but pairs that stay such, and no other way to one: with a socket of datagrams anybody can be spoken to, be it one of a
/// pair.
fn no_sockets(rules: &mut Rules) -> Result<(), Error> {
    for call in [libc::SYS_socket, libc::SYS_io_uring_setup] {
        rules.insert(call, Vec::new());
    }
    let connected = [libc::SOCK_STREAM, libc::SOCK_SEQPACKET].map(number);
    let mut refused = vec![rule(&[(0, Ne, number(libc::AF_UNIX))])?];
    for kind in (0..=SOCKET_TYPE).filter(|kind| !connected.contains(kind)) {
        refused.push(rule(&[(1, MaskedEq(SOCKET_TYPE), kind)])?);
    }
    rules.insert(libc::SYS_socketpair, refused);
    Ok(())
}

/// No sockets but those of this machine's files, and no other way to one.
fn only_unix(rules: &mut Rules) -> Result<(), Error> {
    rules.insert(libc::SYS_socket, vec![rule(&[(0, Ne, number(libc::AF_UNIX))])?]);
    rules.insert(libc::SYS_io_uring_setup, Vec::new());
    Ok(())
}

/// Of the network nothing but TCP, whose ports Landlock sees to, and datagrams where names are to be looked up.
fn only_streams(rules: &mut Rules, with_names: bool) -> Result<(), Error> {
    let families = [libc::AF_INET, libc::AF_INET6].map(number);
    let mut others = vec![(0, Ne, number(libc::AF_UNIX))];
    others.extend(families.map(|family| (0, Ne, family)));
    let mut refused = vec![rule(&others)?];
    let (mut kinds, mut protocols) = (vec![number(libc::SOCK_STREAM)], vec![0, number(libc::IPPROTO_TCP)]);
    if with_names {
        kinds.push(number(libc::SOCK_DGRAM));
        protocols.push(number(libc::IPPROTO_UDP));
    }
    for family in families {
        for kind in (0..=SOCKET_TYPE).filter(|kind| !kinds.contains(kind)) {
            refused.push(rule(&[(0, Eq, family), (1, MaskedEq(SOCKET_TYPE), kind)])?);
        }
        // Others are streams, too (MPTCP), and their ports nobody sees to.
        let mut protocol = vec![(0, Eq, family)];
        protocol.extend(protocols.iter().map(|known| (2, Ne, *known)));
        refused.push(rule(&protocol)?);
    }
    rules.insert(libc::SYS_socket, refused);
    rules.insert(libc::SYS_io_uring_setup, Vec::new());
    // Ways to a port that nobody is asked for: to connect with the first words, and to be given one that is free.
    for (call, flags) in [(libc::SYS_sendto, 3), (libc::SYS_sendmsg, 2), (libc::SYS_sendmmsg, 3)] {
        rules.insert(call, vec![rule(&[(flags, MaskedEq(FAST_OPEN), FAST_OPEN)])?]);
    }
    rules.insert(libc::SYS_listen, Vec::new());
    Ok(())
}

/// What goes before the filter: a call by other numbers than those it knows is refused.
pub(super) fn numbers_are_ours(machine: TargetArch) -> BpfProgram {
    let load = |from| instruction(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, (0, 0), from);
    let jump = |how, to, value| instruction(libc::BPF_JMP | how | libc::BPF_K, to, value);
    let refuse = || instruction(libc::BPF_RET | libc::BPF_K, (0, 0), refused_with(libc::ENOSYS).into());
    let (name, has_x32) = match machine {
        TargetArch::x86_64 => (X86_64, true),
        TargetArch::aarch64 => (AARCH64, false),
        TargetArch::riscv64 => (RISCV64, false),
    };
    let mut program = vec![load(ARCHITECTURE), jump(libc::BPF_JEQ, (1, 0), name), refuse()];
    if has_x32 {
        program.extend([load(NUMBER), jump(libc::BPF_JGE, (0, 1), X32), refuse()]);
    }
    program
}

fn instruction(code: u32, (jt, jf): (u8, u8), k: u32) -> sock_filter {
    sock_filter {
        // The codes are made of bits below 256.
        code: u16::try_from(code).unwrap_or_default(),
        jt,
        jf,
        k,
    }
}

fn rule(conditions: &[Condition]) -> Result<SeccompRule, Error> {
    let condition = |(place, how, value): &Condition| SeccompCondition::new(*place, Dword, how.clone(), *value);
    let all: Result<Vec<_>, _> = conditions.iter().map(condition).collect();
    Ok(SeccompRule::new(all?)?)
}

fn refused_with(errno: i32) -> SeccompAction {
    SeccompAction::Errno(errno.unsigned_abs())
}

fn number(constant: libc::c_int) -> u64 {
    u64::from(constant.unsigned_abs())
}
