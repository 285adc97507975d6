// SPDX-License-Identifier: GPL-3.0-or-later

use clap::CommandFactory as _;
use clap::error::ErrorKind;
use proptest::prelude::*;

use super::*;

fn parse(line: &str) -> Result<Arguments, clap::Error> {
    let words = std::iter::once("flamenco-worker").chain(line.split_whitespace());
    Arguments::parse(words.map(OsString::from))
}

fn error(line: &str) -> String {
    parse(line).unwrap_err().render().to_string()
}

#[test]
fn every_spelling_of_the_manager_is_the_same() {
    for line in [
        "-manager http://m:8080/",
        "-manager=http://m:8080/",
        "--manager http://m:8080",
        "--manager=http://m:8080",
        "-manager m:8080",
    ] {
        let found = parse(line).unwrap().manager;
        assert_eq!(
            found.map(|url| url.to_string()).as_deref(),
            Some("http://m:8080/"),
            "{line}"
        );
    }
}

#[test]
fn every_spelling_of_the_restart_exit_code_is_the_same() {
    for name in [
        "-restart-exit-code",
        "-restart-exit-status",
        "--restart-exit-code",
        "--restart-exit-status",
    ] {
        for between in [" ", "="] {
            let line = format!("{name}{between}47");
            let found = parse(&line).unwrap().restart_exit_code;
            assert_eq!(found.flatten().map(RestartCode::code), Some(47), "{line}");
        }
    }
    assert_eq!(parse("-restart-exit-code 0").unwrap().restart_exit_code, Some(None));
    assert_eq!(parse("").unwrap().restart_exit_code, None);
}

#[test]
fn switches_take_gos_values() {
    for (line, level) in [
        ("", None),
        ("-quiet", Some(Level::WARN)),
        ("--debug", Some(Level::DEBUG)),
        ("-debug=true", Some(Level::DEBUG)),
        ("-debug=F", None),
        ("--trace=1 -debug=0", Some(Level::TRACE)),
        ("-quiet -debug -debug", Some(Level::DEBUG)),
        ("-trace=false -quiet=TRUE", Some(Level::WARN)),
    ] {
        assert_eq!(parse(line).unwrap().log_level(), level, "{line}");
    }
    assert!(parse("-register").unwrap().register);
    assert!(error("-debug=perhaps").contains("unexpected value 'perhaps' for '-debug' found"));
}

#[test]
fn an_empty_manager_is_none_as_in_the_go_worker() {
    for words in [&["w", "-manager", "", "-debug"][..], &["w", "-manager=", "-debug"]] {
        let arguments = Arguments::parse(words.iter().map(OsString::from)).unwrap();
        assert_eq!((arguments.manager.as_ref(), arguments.debug), (None, true));
    }
}

#[test]
fn an_error_names_the_flag_as_it_was_typed() {
    let text = error("-manger http://m/");
    assert!(text.contains("unexpected argument '-manger' found"), "{text}");
    assert!(text.contains("similar argument exists: '-manager'"), "{text}");
    let text = error("--manger http://m/");
    assert!(text.contains("unexpected argument '--manger' found"), "{text}");
    assert!(text.contains("similar argument exists: '--manager'"), "{text}");
    let text = error("-restart-exit-status 303");
    assert!(
        text.contains("invalid value '303' for '-restart-exit-code <CODE>': 303 is not an exit code"),
        "{text}"
    );
    assert!(error("-restart-exit-code -1").contains("-1 is not an exit code"));
    assert!(error("-restart-exit-code 047").contains("without the leading zero"));
    assert!(error("-restart-exit-code").contains("a value is required for '-restart-exit-code <CODE>'"));
    assert!(error("-manager ftp://m/").contains("not ftp"));
    assert!(error("render-now").contains("unrecognized subcommand 'render-now'"));
}

#[test]
fn a_subcommand_comes_after_the_flags_of_the_worker_and_has_its_own() {
    let history = |line: &str| match parse(line).unwrap().subcommand {
        Some(Subcommand::History(arguments)) => arguments,
        Some(
            Subcommand::CheckConfig
            | Subcommand::Doctor(_)
            | Subcommand::Status(_)
            | Subcommand::Reload
            | Subcommand::Pause(_)
            | Subcommand::Resume
            | Subcommand::Drain
            | Subcommand::Sleep
            | Subcommand::Wake
            | Subcommand::Stop,
        )
        | None => {
            panic!("{line} asks for no history")
        }
    };
    assert_eq!(
        parse("-config a.toml drain").unwrap().subcommand,
        Some(Subcommand::Drain)
    );
    let status = StatusArguments {
        json: true,
        watch: true,
    };
    assert_eq!(
        parse("status -json --watch").unwrap().subcommand,
        Some(Subcommand::Status(status))
    );
    assert_eq!(history("history"), HistoryArguments::default());
    assert_eq!(history("history -json 3b24").task.as_deref(), Some("3b24"));
    assert!(history("history 3b24 --json").json);
    for line in [
        "-config a.toml history",
        "history -config a.toml",
        "history --config=a.toml x",
    ] {
        let config = parse(line).unwrap().config;
        assert_eq!(config.as_deref(), Some(std::path::Path::new("a.toml")), "{line}");
    }
    assert_eq!(
        parse("-manager m doctor -json").unwrap().subcommand,
        Some(Subcommand::Doctor(DoctorArguments { json: true }))
    );
    assert!(error("history a b").contains("unexpected argument 'b' found"));
    let help = parse("history -help").unwrap_err();
    assert_eq!(help.kind(), ErrorKind::DisplayHelp);
    assert!(help.to_string().contains("flamenco-worker history"), "{help}");
}

#[test]
fn a_wrong_command_line_is_2_and_help_and_version_are_0() {
    assert_eq!(parse("-nonsense").unwrap_err().exit_code(), 2);
    for line in ["-help", "--help", "-h"] {
        let told = parse(line).unwrap_err();
        assert_eq!((told.kind(), told.exit_code()), (ErrorKind::DisplayHelp, 0), "{line}");
    }
    for line in ["-version", "--version", "-V", "-version=true"] {
        let told = parse(line).unwrap_err();
        assert_eq!(
            (told.kind(), told.exit_code()),
            (ErrorKind::DisplayVersion, 0),
            "{line}"
        );
        let text = told.render().to_string();
        assert!(text.starts_with(concat!("flamenco-worker ", env!("CARGO_PKG_VERSION"), " (commit ")));
        assert!(
            text.ends_with("-linux-gnu)\n") || text.ends_with("-linux-musl)\n"),
            "{text}"
        );
    }
}

#[test]
fn help_tells_of_every_exit_code_and_fits_a_terminal() {
    // Its width is that of no terminal: the test's may have any. `tests/it` has it in a wide one.
    let text = Arguments::command().term_width(100).render_help().to_string();
    for word in [
        "--manager <URL>",
        "--restart-exit-code <CODE>",
        "FLAMENCO_HOME",
        "  USR1, USR2 ",
        "  75 ",
        "  78 ",
    ] {
        assert!(text.contains(word), "{word} is missing in\n{text}");
    }
    for line in text.lines() {
        assert!(line.chars().count() <= 100, "{line}");
    }
}

proptest! {
    #[test]
    fn no_words_make_it_panic(words in proptest::collection::vec("(-{0,3}(manager|debug|x)?=?)?\\PC{0,8}", 0..6)) {
        Arguments::parse(std::iter::once("w".to_owned()).chain(words).map(OsString::from)).ok();
    }
}

/// The flags of Flamenco's own worker, 3.9.
const GO_FLAGS: [&str; 9] = [
    "version",
    "flush",
    "quiet",
    "debug",
    "trace",
    "manager",
    "register",
    "find-manager",
    "restart-exit-code",
];

#[test]
fn each_flag_of_the_go_worker_is_here_and_in_the_document_about_it() {
    let document = include_str!("../../COMING-FROM.md");
    let command = Arguments::command();
    let mut rows = Vec::new();
    for line in document.lines().filter(|line| line.starts_with("| `-")) {
        let first = line.split('|').nth(1).unwrap_or_default();
        let words = first.split('`').filter_map(|word| word.strip_prefix('-'));
        rows.extend(words.filter_map(|word| word.split(' ').next()));
    }
    for flag in GO_FLAGS {
        assert!(rows.contains(&flag), "-{flag} is in no row");
    }
    for row in rows {
        let known = command.get_arguments().any(|argument| {
            let aliases = argument.get_all_aliases().unwrap_or_default();
            let short = argument.get_short().map(String::from);
            argument.get_long() == Some(row) || aliases.contains(&row) || short.as_deref() == Some(row)
        });
        assert!(known, "-{row} is no flag here");
    }
}
