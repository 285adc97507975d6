// SPDX-License-Identifier: GPL-3.0-or-later

//! What this kernel can enforce of what tasks may do, and rules that can only be a mistake.

use super::CheckContext;
use super::finding::{Finding, run_checks};
use super::open_doors;
use crate::sandbox::{KernelSupport, SandboxRules};
use crate::setup::{sandbox, sandbox_rules};

const NAME: &str = "sandbox";

pub(super) async fn check(context: &CheckContext) -> Vec<Finding> {
    let rules = sandbox_rules(&context.config);
    let enforced = judged(&rules, KernelSupport::ask());
    let (environment, subject) = (context.environment.clone(), context.subject.clone());
    let home = context.home.as_deref();
    let sandbox = home.and_then(|home| sandbox(&context.config, &environment, home));
    let nowhere = run_checks(NAME, "what [sandbox] names", move || {
        let path = environment.get("PATH");
        let warned = |all: Vec<String>, advice| all.into_iter().map(move |seen| Finding::warn(NAME, seen, advice));
        let nowhere = warned(
            rules.leads_nowhere(path),
            "mount it, or correct the rule; `flamenco-worker check-config` shows what the rules come to",
        );
        let replaced = warned(
            rules.can_be_replaced(path, &|file| subject.user().may_write(file)),
            "`programs` keeps nobody from anything then: have them where tasks do not write",
        );
        let closed = warned(
            sandbox.map(|sandbox| sandbox.closed_roots()).unwrap_or_default(),
            "have output in a folder below it, or the worker's files and its working directory elsewhere",
        );
        let open_doors = open_doors::found(&rules, &subject);
        nowhere.chain(replaced).chain(closed).chain(open_doors).collect()
    });
    [vec![enforced], nowhere.await].concat()
}

fn judged(rules: &SandboxRules, kernel: KernelSupport) -> Finding {
    if rules.are_none() {
        let seen =
            format!("nothing in [sandbox] restricts what tasks may do; what this kernel could enforce: {kernel}");
        return Finding::ok(NAME, seen);
    }
    let lacking = kernel.lacks(rules);
    let Some(all) = lacking.all() else {
        return Finding::ok(NAME, format!("what [sandbox] says is enforced ({kernel})"));
    };
    let seen = format!("this kernel cannot hold tasks to rules for {all} ({kernel})");
    if rules.require && !lacking.rules.is_empty() {
        return Finding::fail(
            NAME,
            seen,
            "the worker takes no task here: take a newer kernel, or `require` out of [sandbox]",
        );
    }
    Finding::warn(NAME, seen, "take a newer kernel, or trust those who send tasks")
}

#[cfg(test)]
mod tests {
    use super::super::finding::Severity;
    use super::*;

    #[test]
    fn n1_a_kernel_that_cannot_enforce_a_rule_is_a_warning_and_a_failure_where_that_is_required() {
        let wanted = |require| SandboxRules {
            write: Some(Vec::new()),
            require,
            ..SandboxRules::default()
        };
        let verdict = |rules: &SandboxRules, landlock| judged(rules, KernelSupport::with_landlock(landlock)).severity;
        assert_eq!(verdict(&SandboxRules::default(), 0), Severity::Ok);
        assert_eq!(verdict(&wanted(false), 0), Severity::Warn);
        assert_eq!(verdict(&wanted(true), 2), Severity::Fail);
        // Signals are no rule.
        assert_eq!(verdict(&wanted(true), 3), Severity::Warn);
        assert_eq!(verdict(&wanted(true), 6), Severity::Ok);
        assert_eq!(verdict(&wanted(true), 99), Severity::Ok);
    }
}
