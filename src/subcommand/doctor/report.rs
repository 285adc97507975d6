// SPDX-License-Identifier: GPL-3.0-or-later

//! The report: lines for people, one JSON object for programs.

use std::io::{self, Write};

use serde::Serialize;

use super::finding::{Finding, Severity};
use crate::cli::{DoctorArguments, VERSION};
use crate::printable::escape_line;

/// Width of the longest name, `manager.credentials`.
const NAMES: usize = 19;

/// All that was found, in the order in which it is shown.
#[derive(Debug)]
pub(crate) struct DoctorReport {
    pub(super) findings: Vec<Finding>,
}

/// The report for programs.
#[derive(Serialize)]
struct ReportJson<'a> {
    /// Of this program.
    version: &'a str,
    /// The worst of the findings.
    #[serde(rename = "verdict")]
    severity: Severity,
    findings: &'a [Finding],
}

impl DoctorReport {
    /// Whether a worker can work here.
    pub(crate) fn is_fit(&self) -> bool {
        self.worst() < Severity::Fail
    }

    fn worst(&self) -> Severity {
        let severities = self.findings.iter().map(|finding| finding.severity);
        severities.max().unwrap_or(Severity::Ok)
    }

    /// Writes it as `wanted`.
    ///
    /// # Errors
    /// What the output says.
    pub(crate) fn write(&self, wanted: DoctorArguments, out: &mut impl Write) -> io::Result<()> {
        if !wanted.json {
            return self.lines(out);
        }
        let record = ReportJson {
            version: VERSION,
            severity: self.worst(),
            findings: &self.findings,
        };
        serde_json::to_writer_pretty(&mut *out, &record)?;
        writeln!(out)
    }

    /// Lines for people. What comes from files and from the network is made harmless to terminals.
    fn lines(&self, out: &mut impl Write) -> io::Result<()> {
        for finding in &self.findings {
            let word = finding.severity.word();
            writeln!(out, "{word:4}  {:NAMES$}  {}", finding.name, escape_line(&finding.seen))?;
            if let Some(advice) = &finding.advice {
                writeln!(out, "{:4}  {:NAMES$}  -> {}", "", "", escape_line(advice))?;
            }
        }
        let count = |severity| {
            self.findings
                .iter()
                .filter(|finding| finding.severity == severity)
                .count()
        };
        let [ok, warn, fail] = [Severity::Ok, Severity::Warn, Severity::Fail].map(count);
        writeln!(out, "\n{ok} ok, {warn} warn, {fail} FAIL")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> DoctorReport {
        let findings = vec![
            Finding::ok("home", "fine"),
            Finding::fail("gpu", "not\x1b[2J yours", "join the group"),
            Finding::warn("proc", "hidden", "mount it anew"),
        ];
        DoctorReport { findings }
    }

    #[test]
    fn a_line_says_what_was_seen_the_next_what_to_do_and_the_last_how_many() {
        let mut out = Vec::new();
        report().write(DoctorArguments { json: false }, &mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        let expected = "ok    home                 fine
FAIL  gpu                  not\\u001b[2J yours
                           -> join the group
warn  proc                 hidden
                           -> mount it anew

1 ok, 1 warn, 1 FAIL
";
        assert_eq!(text, expected);
    }

    #[test]
    fn the_object_for_programs_has_the_worst_verdict_and_every_finding() {
        let mut out = Vec::new();
        report().write(DoctorArguments { json: true }, &mut out).unwrap();
        let record: serde_json::Value = serde_json::from_slice(&out).unwrap();
        assert_eq!(record["verdict"], "fail");
        assert_eq!(
            record["findings"][0],
            serde_json::json!({"name": "home", "verdict": "ok", "seen": "fine", "advice": null})
        );
        assert_eq!(record["findings"][2]["verdict"], "warn");
        assert!(!report().is_fit());
        assert!(DoctorReport { findings: vec![] }.is_fit());
    }
}
