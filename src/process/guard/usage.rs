// SPDX-License-Identifier: GPL-3.0-or-later

//! What a program has used, from the counters of the kernel.

use std::time::Duration;

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeVal;

use crate::process::cgroup::Cgroup;
use crate::process::finished::Usage;

/// What every process that was waited for has used, in `wall` of time, and `frozen` beside that. The memory is that of all members of the control
/// group, if it counts them.
pub(super) fn usage((wall, frozen): (Duration, Duration), cgroup: Option<&Cgroup>) -> Usage {
    let peak = cgroup.and_then(Cgroup::peak);
    let Ok(children) = getrusage(UsageWho::RUSAGE_CHILDREN) else {
        return Usage {
            wall,
            frozen,
            peak_rss: peak.unwrap_or(0),
            ..Usage::default()
        };
    };
    Usage {
        wall,
        frozen,
        cpu: duration(children.user_time()) + duration(children.system_time()),
        // In KiB (getrusage(2)).
        peak_rss: peak.unwrap_or_else(|| u64::try_from(children.max_rss()).unwrap_or(0) * 1024),
    }
}

fn duration(time: TimeVal) -> Duration {
    let part = |number: i64| u64::try_from(number).unwrap_or(0);
    Duration::from_secs(part(time.tv_sec())) + Duration::from_micros(part(time.tv_usec()))
}
