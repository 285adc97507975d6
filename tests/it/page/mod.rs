// SPDX-License-Identifier: GPL-3.0-or-later

//! The page as a person uses it: a real Chromium on the stand-in's page, the real binary as the worker. What the Worker
//! Actions do to the worker is `actions`' promise; here is what they look like.

mod actions;
mod everybody;
mod jobs;
mod log;

use std::ops::Deref;

use browser::{Browser, Look, PROGRAMS, Page};
use serde_json::{Value, json};

use test_bed::{Farm, Node};
use test_needs::missing;

/// WebDriver's names for keys that write nothing.
mod key {
    pub(super) const TAB: char = '\u{e004}';
    pub(super) const ENTER: char = '\u{e007}';
    pub(super) const SHIFT: char = '\u{e008}';
    pub(super) const SPACE: char = ' ';
}

/// A page that panics with the browser's own words, and in the end has heard no complaint of it.
struct Screen<'a>(Page<'a>);

impl<'a> Deref for Screen<'a> {
    type Target = Page<'a>;

    fn deref(&self) -> &Page<'a> {
        &self.0
    }
}

impl<'a> Screen<'a> {
    fn open(browser: &'a Browser, farm: &Farm, path: &str) -> Self {
        Self::connected(browser, farm, path, "Live")
    }

    /// Opened, and so connected.
    fn connected(browser: &'a Browser, farm: &Farm, path: &str, word: &str) -> Self {
        let page = browser.page(Look::default()).unwrap();
        page.goto(&format!("{}{path}", farm.manager.url())).unwrap();
        page.wait(&format!(
            "document.getElementById('live-word').textContent === {}",
            json!(word)
        ))
        .unwrap_or_else(|why| panic!("{why}"));
        Self(page)
    }

    /// Waits for an expression to be true.
    fn shows(&self, expression: &str) -> Value {
        self.wait(expression).unwrap_or_else(|why| panic!("{why}"))
    }

    fn eval(&self, expression: &str) -> Value {
        self.value(expression)
            .unwrap_or_else(|why| panic!("{expression}: {why}"))
    }

    fn press(&self, selector: &str) {
        self.click(selector).unwrap_or_else(|why| panic!("{selector}: {why}"));
    }

    /// Waits until the (only) worker's status cell reads so.
    fn status(&self, text: &str) {
        self.shows(&format!("{STATUS} === {}", json!(text)));
    }

    /// Waits until a message was given.
    fn message(&self, text: &str) {
        let text = json!(text);
        self.shows(&format!(
            "[...document.querySelectorAll('#message-list li bdi')].some(one => one.textContent === {text})"
        ));
    }

    /// The entries of the menu: value and label.
    fn menu(&self) -> Vec<(String, String)> {
        let entries = self.eval("[...document.getElementById('action').options].map(one => [one.value, one.text])");
        serde_json::from_value(entries).unwrap()
    }

    fn picks(&self, name: &str) {
        self.press(&format!("input[aria-label='Select {name}']"));
    }

    fn applies(&self, action: &str) {
        self.press(&format!("#action option[value={action}]"));
        self.press("#apply");
        assert_eq!(self.eval("document.getElementById('action').value"), action);
    }

    /// The end of a test: no script failed, and nothing was asked for that the page's policy forbids.
    fn well(self) {
        let complaints = self.complaints().unwrap();
        // A browser says so of every answer that is an error, whether the page minds or not.
        let ours: Vec<_> = complaints
            .iter()
            .filter(|said| !said.contains("Failed to load resource") && !said.contains("WebSocket connection"))
            .collect();
        assert!(ours.is_empty(), "{ours:#?}");
    }
}

/// What a person reads in the status cell: words, and the arrow of a pending request.
const STATUS: &str =
    "document.querySelector('#worker-rows td[data-title=Status]')?.innerText.replace(/\\s+/g, ' ').trim()";

fn browser() -> Option<Browser> {
    if PROGRAMS.iter().filter(|program| missing(program)).count() > 0 {
        return None;
    }
    Some(Browser::start().unwrap())
}

/// A task that runs until the node's folder has the file `go`.
const UNTIL_GO: &str = "echo running; until [ -e go ]; do sleep 0.02; done; rm go";

fn running(farm: &Farm) -> String {
    farm.running(UNTIL_GO)
}

fn let_it_end(node: &Node) {
    std::fs::write(node.folder.join("go"), "").unwrap();
}
