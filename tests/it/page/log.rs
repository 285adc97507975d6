// SPDX-License-Identifier: GPL-3.0-or-later

//! The log of a task: long, growing, searched.

use serde_json::json;

use super::{Screen, browser, key, let_it_end};
use test_bed::Farm;

#[test]
fn a_log_of_a_hundred_thousand_lines_does_not_freeze_the_page() {
    let Some(browser) = browser() else { return };
    let (farm, node) = Farm::with_awake_node();
    let task = farm.script("seq -f 'line %.0f of a long log with some more words to each line' 100000");
    let page = Screen::open(&browser, &farm, "app/jobs");
    page.shows("document.getElementById('task-name').textContent === 'task'");
    // From here on: the most elements that come at once, and all that do.
    page.run(
        "window.most = 0; window.all = 0;
         new MutationObserver(changes => {
           const added = changes.reduce((sum, change) => sum + change.addedNodes.length, 0);
           most = Math.max(most, added); all += added;
         }).observe(document.body, {childList: true, subtree: true});",
    )
    .unwrap();
    farm.completed(&task);
    page.shows("/^100,0\\d\\d lines/.test(document.getElementById('log-size').textContent)");
    page.shows(
        "document.querySelector('.log-rows').lastElementChild.textContent.includes('queued') || \
        document.querySelector('.log-rows').textContent.includes('active -> completed')",
    );
    let nodes = page.eval("document.querySelectorAll('*').length").as_u64().unwrap();
    assert!(nodes < 1_000, "{nodes} elements");
    for line in ["line 1 of", "line 99999 of", "line 50000 of"] {
        page.run("const field = document.getElementById('find'); field.value = ''; field.focus();")
            .unwrap();
        page.keys(line).unwrap();
        page.shows("document.getElementById('found').textContent === '1 of 1 line'");
        page.shows(&format!(
            "document.querySelector('.log-line[data-current]')?.textContent.includes({})",
            json!(line)
        ));
    }
    assert_eq!(page.eval("document.getElementById('follow').checked"), false);
    let [most, all] = ["most", "all"].map(|number| page.eval(number).as_u64().unwrap());
    assert!(
        most < 1_000 && all < 10_000,
        "{most} elements came at once, {all} in all"
    );
    page.well();
    node.finish();
}

#[test]
fn the_log_is_followed_until_somebody_scrolls_up_and_searched_with_enter() {
    let Some(browser) = browser() else { return };
    let (farm, node) = Farm::with_awake_node();
    let task = farm.script(
        "seq 1 400; until [ -e go ]; do sleep 0.02; done; rm go; seq 401 800; until [ -e go ]; do sleep 0.02; done",
    );
    let page = Screen::open(&browser, &farm, "app/jobs");
    let last = "document.querySelector('.log-rows').textContent";
    page.shows(&format!("{last}.includes('> 400')"));
    let_it_end(&node);
    page.shows(&format!("{last}.includes('> 800')"));
    page.run("document.getElementById('log').scrollTop = 600").unwrap();
    page.shows("!document.getElementById('follow').checked");
    let_it_end(&node);
    farm.completed(&task);
    page.shows("/completed/.test(document.getElementById('task-facts').textContent)");
    assert_eq!(page.eval("document.getElementById('log').scrollTop"), 600);
    page.press("#follow");
    page.shows(&format!("{last}.includes('active -> completed')"));
    page.press("#find");
    page.keys("> 79").unwrap();
    let found = |text: &str| {
        page.shows(&format!(
            "document.getElementById('found').textContent === {}",
            json!(text)
        ))
    };
    found("1 of 11 lines");
    page.keys(&key::ENTER.to_string()).unwrap();
    found("2 of 11 lines");
    page.chord(key::SHIFT, key::ENTER).unwrap();
    found("1 of 11 lines");
    page.chord(key::SHIFT, key::ENTER).unwrap();
    found("11 of 11 lines");
    page.press("#find-on");
    found("1 of 11 lines");
    page.well();
    node.finish();
}
