// SPDX-License-Identifier: GPL-3.0-or-later
//! The page for people: a handful of files in this binary, under one strict policy.

use super::answer::Answer;

/// Scripts and styles are the page's own files; no text that came from outside can become either, not even by mistake.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
    base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'";

/// A file of the page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Asset {
    name: &'static str,
    kind: &'static str,
    bytes: &'static [u8],
}

macro_rules! assets {
    ($kind:literal: $($name:literal)+) => {
        [$(Asset { name: $name, kind: $kind, bytes: include_bytes!(concat!("../page/", $name)) }),+]
    };
}

const INDEX: [Asset; 1] = assets!("text/html; charset=utf-8": "index.html");
const SCRIPTS: [Asset; 14] = assets!("text/javascript; charset=utf-8":
    "app.js" "api.js" "dom.js" "job.js" "jobs.js" "log.js" "logrows.js" "logview.js" "push.js" "refresh.js" "say.js" "task.js" "text.js" "workers.js");
const STYLES: [Asset; 3] = assets!("text/css; charset=utf-8": "base.css" "workers.css" "jobs.css");
const ICONS: [Asset; 1] = assets!("image/svg+xml": "icon.svg");

impl Asset {
    /// `/` and the addresses the page gives its views are all the one document; the rest lies below `/app/assets/`.
    pub(crate) fn at(path: &str) -> Option<Self> {
        if let Some(name) = path.strip_prefix("/app/assets/") {
            let assets = SCRIPTS.iter().chain(&STYLES).chain(&ICONS);
            return assets.copied().find(|asset| asset.name == name);
        }
        let view = |path: &str| matches!(path.split('/').next(), Some("workers" | "jobs"));
        let document = path == "/" || path.strip_prefix("/app/").is_some_and(view);
        document.then_some(INDEX[0])
    }

    pub(crate) fn answer(self) -> Answer {
        Answer::typed(200, self.kind, self.bytes.to_vec())
            .header("Cache-Control", "no-cache")
            .header("Content-Security-Policy", POLICY)
            .header("X-Content-Type-Options", "nosniff")
            .header("Referrer-Policy", "no-referrer")
    }
}
