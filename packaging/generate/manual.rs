// SPDX-License-Identifier: GPL-3.0-or-later

//! The manual pages: `flamenco-worker(1)` for the program, `flamenco-worker.toml(5)` for its configuration.

use std::io;

use clap::Command;
use clap_mangen::Man;
use clap_mangen::roff::{Inline, Roff, bold, italic, roman};
use flamenco_worker::generators::{ManualKey, ManualTable, ManualValue};
use flamenco_worker::generators::{Section, SectionBody, command, metrics, sections};

use crate::PROGRAM;

const SOURCE: &str = concat!("flamenco-worker ", env!("CARGO_PKG_VERSION"));
/// The day of the commit.
const DATE: &str = env!("FLAMENCO_WORKER_DATE");
const SPELLING: &str = "One dash works as well as two, and -flag=value as well as -flag value: what is written for \
                        Flamenco's own worker is understood.";

/// How the programs of tasks are found, and what they need here.
const PROGRAMS: [&str; 4] = [
    "Which Blender is run says the Manager: its variable blender has a value for Linux, which is a full path on this node, or \
     a name that is looked for on the worker's PATH. A task that asks for ffmpeg gets the one in the folder \
     tools beside the worker's program, else the one on PATH. The log says at the start where both are, doctor runs them.",
    "A service has the PATH of its unit, not that of a login. A Blender in a home directory is not seen by a unit with \
     ProtectHome=, one from a snap needs the drop-in setuid-programs.",
    "GPUs are opened by Blender, as the worker's user: it has to be in the groups that own /dev/dri/renderD* (render, as a \
     rule) and what the vendor adds, and doctor names what it may not open. Which of them Blender uses is said by the job, \
     or by the preferences of that user's Blender; CUDA_VISIBLE_DEVICES and the like are handed on.",
    "Programs read and write the shared storage with the rights of the worker's user. Over NFS it is the number of user and \
     group that counts.",
];

/// A good start for a node that renders what strangers send, as README and the drop-in `hardened` have it.
const SANDBOX: [&str; 6] = [
    "[sandbox]",
    "programs = [\"/opt/blender-*/blender\", \"blender\", \"ffmpeg\"]",
    "write = [\"/mnt/render\"]",
    "network = \"none\"",
    "presets = [\"blender\", \"nvidia\"]",
    "require = true",
];

const METRICS: &str = "With metrics set in the configuration, or FLAMENCO_METRICS, the worker answers to GET /metrics in the text \
                       format of Prometheus. Histograms have _bucket, _sum and _count. /healthz says 200, or 503 and why this \
                       worker cannot do its work; /livez says 200, or 503 where a restart could help.";

pub(crate) fn of_program() -> io::Result<Vec<u8>> {
    // What follows the flags in the help is a section for each here.
    let command = command().version(env!("CARGO_PKG_VERSION")).after_help("");
    // What is kept out of the short help belongs here; the renderer would leave it without a word.
    let command = command.mut_args(|argument| argument.hide_short_help(false));
    let subcommands: Vec<_> = command.get_subcommands().cloned().collect();
    let page = Man::new(command)
        .title("FLAMENCO-WORKER")
        .date(DATE)
        .source(SOURCE)
        .manual("User Commands");
    let mut text = Vec::new();
    page.render_title(&mut text)?;
    page.render_name_section(&mut text)?;
    text.extend(synopsis().to_roff().into_bytes());
    page.render_description_section(&mut text)?;
    page.render_options_section(&mut text)?;

    let mut rest = Roff::new();
    rest.control("PP", []);
    rest.text([roman(SPELLING)]);
    rest.control("SH", ["COMMANDS"]);
    rest.text([roman(
        "Done instead of working, beside a worker that runs or without one.",
    )]);
    for subcommand in &subcommands {
        add_subcommand(&mut rest, subcommand);
    }
    rest.control("SH", ["BLENDER AND FFMPEG"]);
    for paragraph in PROGRAMS {
        rest.control("PP", []);
        rest.text([roman(paragraph)]);
    }
    for section in sections() {
        add(&mut rest, &section);
    }
    rest.control("SH", ["METRICS"]);
    rest.text([roman(METRICS)]);
    for (name, about) in metrics() {
        tagged(&mut rest, [bold(name)], about);
    }
    see_also(&mut rest, &[("flamenco-worker.toml", "5"), ("systemctl", "1")]);
    text.extend(rest.to_roff().into_bytes());
    Ok(text)
}

fn add_subcommand(page: &mut Roff, subcommand: &Command) {
    let values = subcommand
        .get_positionals()
        .map(|value| format!(" [{}]", value.get_id().as_str().to_uppercase()));
    let flags = subcommand.get_arguments().filter(|flag| flag.get_long().is_some());
    let heading = format!("{}{}", subcommand.get_name(), values.collect::<String>());
    page.control("SS", [heading.as_str()]);
    let about = subcommand
        .get_long_about()
        .or(subcommand.get_about())
        .map(ToString::to_string);
    for (index, paragraph) in about.unwrap_or_default().split("\n\n").enumerate() {
        if index > 0 {
            page.control("PP", []);
        }
        page.text([roman(format!("{}.", paragraph.trim_end_matches('.')))]);
    }
    for flag in flags {
        let name = format!("--{}", flag.get_long().unwrap_or_default());
        let about = flag.get_help().map(ToString::to_string).unwrap_or_default();
        tagged(page, [bold(name)], &about);
    }
}

fn synopsis() -> Roff {
    let mut page = Roff::new();
    page.control("SH", ["SYNOPSIS"]);
    page.text([bold(PROGRAM), roman(" [OPTION ...]")]);
    page.control("br", []);
    page.text([bold(PROGRAM), roman(" [OPTION ...] "), italic("COMMAND")]);
    page
}

pub(crate) fn of_file(tables: &[ManualTable]) -> String {
    let mut page = Roff::new();
    page.control("TH", ["FLAMENCO-WORKER.TOML", "5", DATE, SOURCE, "File Formats"]);
    page.control("SH", ["NAME"]);
    page.text([roman("flamenco-worker.toml - configuration of flamenco-worker")]);
    for section in sections().iter().filter(|section| section.manual == "FILES") {
        add(&mut page, section);
    }
    page.control("SH", ["DESCRIPTION"]);
    page.text([roman(
        "TOML. A key that is not known is an error, which names file, line and column. A time has its unit: 250ms, 30s, \
         2m, 1h30m, 1d. A size too: 64MiB, 1GiB, 300B.",
    )]);
    page.control("PP", []);
    page.text([
        roman("Where there is no such file, "),
        bold("flamenco-worker.yaml"),
        roman(" of Flamenco's own worker is read as it is."),
    ]);
    for table in tables {
        let heading = match table.name {
            "" => "KEYS ABOVE THE FIRST TABLE".to_owned(),
            name => format!("TABLE [{name}]"),
        };
        page.control("SH", [heading.as_str()]);
        if !table.about.is_empty() {
            page.text([roman(table.about)]);
        }
        for key in &table.keys {
            add_key(&mut page, key);
        }
        if SANDBOX[0] == format!("[{}]", table.name) {
            page.control("PP", []);
            page.text([roman("A good start:")]);
            page.control("nf", []);
            for line in SANDBOX {
                page.text([roman(line)]);
            }
            page.control("fi", []);
        }
    }
    see_also(&mut page, &[(PROGRAM, "1")]);
    page.to_roff()
}

fn add_key(page: &mut Roff, key: &ManualKey) {
    tagged(page, [bold(key.name)], key.about);
    page.control("br", []);
    let (word, value) = match &key.value {
        ManualValue::Default(value) => ("Default: ", value),
        ManualValue::Example(value) => ("For example: ", value),
    };
    page.text([
        roman(format!("Takes {}. {word}", key.takes)),
        italic(value.as_str()),
        roman("."),
    ]);
}

fn add(page: &mut Roff, section: &Section) {
    page.control("SH", [section.manual]);
    if let Some((_, said)) = section.heading.split_once(", ") {
        let mut letters = said.chars();
        let first = letters.next().map(|letter| letter.to_ascii_uppercase());
        page.text([roman(format!(
            "{}:",
            first.into_iter().chain(letters).collect::<String>()
        ))]);
    }
    match &section.body {
        SectionBody::Lines(lines) => {
            page.control("PP", []);
            page.control("nf", []);
            for line in lines.lines() {
                page.text([roman(line.trim_start())]);
            }
            page.control("fi", []);
        }
        SectionBody::Rows(rows) => {
            for (word, said) in rows {
                tagged(page, [bold(word.as_str())], said);
            }
        }
    }
}

fn tagged(page: &mut Roff, tag: [Inline; 1], text: &str) {
    page.control("TP", []);
    page.text(tag);
    page.text([roman(text)]);
}

fn see_also(page: &mut Roff, others: &[(&str, &str)]) {
    page.control("SH", ["SEE ALSO"]);
    let names = others.iter().enumerate().flat_map(|(index, (name, section))| {
        let comma = if index == 0 { "" } else { ", " };
        [roman(comma), bold(*name), roman(format!("({section})"))]
    });
    page.text(names.collect::<Vec<_>>());
}

#[cfg(test)]
mod tests {
    use flamenco_worker::generators::EXIT_CODES;
    use flamenco_worker::generators::tables;

    use super::*;

    #[test]
    fn the_programs_page_has_every_flag_subcommand_signal_variable_and_exit_code() {
        let page = plain(&String::from_utf8(of_program().unwrap()).unwrap());
        let command = command();
        let flags = command
            .get_arguments()
            .filter_map(|flag| flag.get_long())
            .map(|flag| format!("--{flag}"));
        let subcommands = command
            .get_subcommands()
            .map(|subcommand| subcommand.get_name().to_owned());
        let codes = EXIT_CODES.iter().map(|(code, _)| format!("\n{code}\n"));
        let words = [
            "SIGNALS",
            "QUIT",
            "FLAMENCO_HOME",
            "/etc/flamenco/worker.toml",
            "-flag=value",
        ]
        .map(str::to_owned);
        for word in flags.chain(subcommands).chain(codes).chain(words) {
            assert!(page.contains(&word), "{word} is not in\n{page}");
        }
    }

    #[test]
    fn the_files_page_has_every_table_and_key() {
        let page = plain(&of_file(&tables()));
        for table in tables() {
            assert!(page.contains(&format!("[{}]", table.name)) || table.name.is_empty());
            for key in table.keys {
                assert!(page.contains(&format!("\n{}\n", key.name)), "{}", key.name);
            }
        }
    }

    #[test]
    fn the_good_start_of_a_sandbox_is_that_of_the_other_documents() {
        let page = plain(&of_file(&tables()));
        assert!(page.contains(&SANDBOX.join("\n")), "{page}");
        let readme = include_str!("../../README.md");
        assert!(readme.contains(&SANDBOX.join("\n")));
        let hardened = include_str!("../systemd/drop-ins/hardened.conf");
        for line in SANDBOX {
            assert!(hardened.contains(&format!("#   {line}")), "{line}");
        }
    }

    /// Without what is for the typesetter.
    fn plain(page: &str) -> String {
        page.replace("\\-", "-").replace("\\fB", "").replace("\\fR", "")
    }
}
