// SPDX-License-Identifier: GPL-3.0-or-later

//! What a report keeps of a program that has ended, and text in one line.

use crate::metrics::{ExitKind, ProgramUse};
use crate::process::{Exit, Finished, Stray};
use crate::spool::{ProgramEnd, millis};

/// Longest activity, in bytes: it is one cell of a table on the Manager's page.
const LONGEST_ACTIVITY: usize = 1 << 10;

/// So many processes that a program left behind are remembered by name.
const STRAYS: usize = 100;

/// The end of a program as the task's folder keeps it.
pub(super) fn program_end(name: &str, finished: &Finished, kept_task: Option<u32>) -> ProgramEnd {
    let (exit_code, signal, oom) = match finished.exit {
        Exit::Success => (Some(0), None, false),
        Exit::Code(code) => (Some(code), None, false),
        Exit::Signal { signal, oom } => (None, Some(signal), oom),
        Exit::Aborted(_) | Exit::Lost => (None, None, false),
    };
    let names = |strays: &[Stray]| strays.iter().take(STRAYS).map(|stray| stray.name.clone()).collect();
    ProgramEnd {
        program: one_line(name),
        pid: finished.pid,
        exit_code,
        signal,
        oom,
        wall_ms: millis(finished.usage.wall),
        paused_ms: millis(finished.usage.frozen),
        cpu_ms: millis(finished.usage.cpu),
        peak_memory: finished.usage.peak_rss,
        strays: names(&finished.strays.ended),
        unkillable: names(&finished.strays.unkillable),
        kept_task,
    }
}

/// The same as it is counted.
pub(super) fn program_use(finished: &Finished) -> ProgramUse {
    let exit = match finished.exit {
        Exit::Success => ExitKind::Success,
        Exit::Code(_) => ExitKind::Code,
        Exit::Signal { oom: false, .. } => ExitKind::Signal,
        Exit::Signal { oom: true, .. } => ExitKind::OutOfMemory,
        Exit::Aborted(_) => ExitKind::Aborted,
        Exit::Lost => ExitKind::GuardLost,
    };
    ProgramUse {
        exit,
        cpu: finished.usage.cpu,
        peak_memory: finished.usage.peak_rss,
        ended: finished.strays.ended.len(),
    }
}

/// The words of a text as one line that is not too long.
pub(super) fn one_line(text: &str) -> String {
    let lines: Vec<_> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let mut line = lines.join(" ");
    if line.len() > LONGEST_ACTIVITY {
        line.truncate(line.floor_char_boundary(LONGEST_ACTIVITY));
        line.push_str(" ...");
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_activity_is_one_line_of_bounded_length() {
        assert_eq!(one_line("a\n  b\r\n\n"), "a b");
        let long = one_line(&"ä".repeat(2000));
        assert!(long.len() <= LONGEST_ACTIVITY + 4 && long.ends_with("ä ..."));
    }
}
