// SPDX-License-Identifier: GPL-3.0-or-later

//! What a guard is called in a process list.

use super::spec::ProcessSpec;

/// What `/proc/PID/comm` calls a guard, in 15 bytes at most.
pub(super) const GUARD: &str = "flamenco-guard";
/// So many characters of a task's name, and of its program's: a list of processes is read in a terminal, and the kernel
/// takes no word of more than 128 KiB.
const KEPT: usize = 80;

/// The command line of a guard: `flamenco-guard: <label> <program>`.
pub(super) fn guard_title(spec: &ProcessSpec) -> String {
    let program = spec.program.to_string_lossy();
    format!("flamenco-guard: {} {}", shown(&spec.label), shown(&program))
}

/// The text without what would steer the terminal: control characters, and those that turn the direction of what follows.
fn shown(text: &str) -> String {
    let is_plain = |c: char| {
        !c.is_control() && !matches!(c, '\u{200e}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    let mut shown: String = text
        .chars()
        .take(KEPT)
        .map(|c| if is_plain(c) { c } else { ' ' })
        .collect();
    if text.chars().nth(KEPT).is_some() {
        shown.push_str("...");
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    fn titled(label: &str, program: &str) -> String {
        guard_title(&ProcessSpec {
            label: label.to_owned(),
            ..ProcessSpec::new(program)
        })
    }

    #[test]
    fn a_title_has_nothing_that_steers_a_terminal() {
        assert_eq!(titled("a\0b\n\u{1b}[2J", "x\u{202e}y"), "flamenco-guard: a b  [2J x y");
    }

    #[test]
    fn i4_a_title_has_a_length() {
        let long = "ä".repeat(140_000);
        let kept = "ä".repeat(KEPT);
        assert_eq!(titled(&long, "x"), format!("flamenco-guard: {kept}... x"));
        assert_eq!(titled(&kept, &long), format!("flamenco-guard: {kept} {kept}..."));
    }
}
