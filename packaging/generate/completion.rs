// SPDX-License-Identifier: GPL-3.0-or-later

//! What makes Tab work, for each shell.

use clap_complete::{Shell, generate};
use flamenco_worker::generators::command;

use crate::PROGRAM;

/// The shells, with the name of the file that each looks for.
pub(crate) const SHELLS: [(Shell, &str); 3] = [
    (Shell::Bash, "flamenco-worker.bash"),
    (Shell::Zsh, "_flamenco-worker"),
    (Shell::Fish, "flamenco-worker.fish"),
];

pub(crate) fn script(shell: Shell) -> String {
    let mut script = Vec::new();
    generate(shell, &mut command(), PROGRAM, &mut script);
    let script = String::from_utf8_lossy(&script).into_owned();
    if shell == Shell::Bash {
        // For a program with a dash in its name it looks for what follows a subcommand under another name than it keeps
        // that under (clap_complete 4.6.11), and finds nothing.
        return script.replace("flamenco__subcmd__worker", "flamenco__worker");
    }
    script
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "the shells are programs")]
mod tests {
    use std::path::Path;
    use std::process::Command;

    use super::*;
    use test_needs::missing;

    /// What is typed, and what must be offered for its last word.
    const TYPED: [(&str, &str); 6] = [
        ("flamenco-worker hist", "history"),
        ("flamenco-worker --restart-e", "--restart-exit-code"),
        ("flamenco-worker doctor --js", "--json"),
        ("flamenco-worker history --js", "--json"),
        ("flamenco-worker status --wa", "--watch"),
        ("flamenco-worker check-config --con", "--config"),
    ];

    /// In a shell that has read the scripts in `$1`, the line in `$2` is completed.
    const BASH: &str = r#"
        source "$1/flamenco-worker.bash"
        read -ra COMP_WORDS <<<"$2"
        COMP_CWORD=$(( ${#COMP_WORDS[@]} - 1 ))
        [[ $(complete -p flamenco-worker) =~ -F\ ([^ ]+) ]]
        "${BASH_REMATCH[1]}" flamenco-worker "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}"
        printf '%s\n' "${COMPREPLY[@]}""#;
    const FISH: &str = r#"
        source "$argv[1]/flamenco-worker.fish"
        complete --do-complete "$argv[2]""#;
    /// It completes in its line editor only, which wants a terminal.
    const ZSH: &str = r#"
        zmodload zsh/zpty
        zpty shell zsh -f -i
        zpty -w shell "fpath=('$1' \$fpath); autoload -Uz compinit; compinit -u -D; PS1=; echo rea''dy"
        for (( i = 0; i < 1200; i++ )); do
            zpty -r -t shell said && [[ $said == *ready* ]] && break
            sleep 0.05
        done
        zpty -w -n shell "$2"$'\t'
        for (( i = 0; i < 1200; i++ )); do
            zpty -r -t shell part && all+=$part
            [[ $all == *"$3"* ]] && break
            sleep 0.05
        done
        print -r -- $all
        zpty -d shell"#;

    fn offers(shell: &str, script: &str) {
        if missing(shell) {
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        for (shell, name) in SHELLS {
            std::fs::write(folder.path().join(name), super::script(shell)).unwrap();
        }
        for (line, wanted) in TYPED {
            let said = run(shell, script, folder.path(), [line, wanted]);
            assert!(
                said.contains(wanted),
                "{shell}: {line:?} is not completed to {wanted}: {said}"
            );
        }
    }

    fn run(shell: &str, script: &str, folder: &Path, words: [&str; 2]) -> String {
        let mut command = Command::new(shell);
        command.args(["-c", script]);
        // The others call the first word after the script $0.
        command.args((shell != "fish").then_some(shell));
        let output = command
            .arg(folder)
            .args(words)
            .env("TERM", "dumb")
            .env("HOME", folder)
            .output();
        let output = output.unwrap();
        let both = [output.stdout, output.stderr].concat();
        String::from_utf8_lossy(&both).into_owned()
    }

    #[test]
    fn bash_completes_flags_subcommands_and_what_follows_them() {
        offers("bash", BASH);
    }

    #[test]
    fn fish_completes_flags_subcommands_and_what_follows_them() {
        offers("fish", FISH);
    }

    #[test]
    fn zsh_completes_flags_subcommands_and_what_follows_them() {
        offers("zsh", ZSH);
    }
}
