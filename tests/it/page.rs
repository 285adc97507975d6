// SPDX-License-Identifier: GPL-3.0-or-later

//! The page as a person uses it: a real Chromium on the stand-in's page, the real binary as the worker. What the Worker
//! Actions do to the worker is `actions`' promise; here is what they look like.

use std::ops::Deref;

use browser::{Browser, Look, PROGRAMS, Page};
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use standin_manager::{CommandSpec, Endpoint, JobSpec, Options, Sample, TaskSpec, TaskStatus, WorkerStatus};

use crate::harness::{Farm, Node, missing};

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
        let page = browser.page(Look::default()).unwrap();
        page.goto(&format!("{}{path}", farm.manager.url())).unwrap();
        page.wait("document.getElementById('live-word').textContent === 'Live'")
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

/// How the two flavours of a request look.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Arrow {
    Lazy,
    Forced,
}

use Arrow::{Forced, Lazy};

impl Arrow {
    fn sign(self) -> &'static str {
        match self {
            Lazy => "➠",
            Forced => "➜",
        }
    }

    fn title(self) -> &'static str {
        match self {
            Lazy => "lazy status transition",
            Forced => "forced status transition",
        }
    }
}

fn browser() -> Option<Browser> {
    if PROGRAMS.iter().any(|program| missing(program)) {
        return None;
    }
    Some(Browser::start().unwrap())
}

/// A task that runs until the node's folder has the file `go`.
const UNTIL_GO: &str = "echo running; until [ -e go ]; do sleep 0.02; done; rm go";

fn running(farm: &Farm) -> String {
    let task = farm.script(UNTIL_GO);
    farm.says(&task, "> running");
    task
}

fn let_it_end(node: &Node) {
    std::fs::write(node.folder.join("go"), "").unwrap();
}

/// Applies an action and sees it pending: arrow, target, title, message. The worker holds its breath meanwhile.
fn pends(page: &Screen<'_>, node: &Node, action: &str, (from, arrow, to): (&str, Arrow, &str)) {
    node.signal(Signal::SIGSTOP);
    page.applies(action);
    page.status(&format!("{from} {} {to}", arrow.sign()));
    let title = page.eval("document.querySelector('#worker-rows .arrow').title");
    assert_eq!(title, arrow.title());
    page.message(&format!("Worker node status change to {to} confirmed."));
    node.signal(Signal::SIGCONT);
}

#[test]
fn every_action_on_an_idle_worker_shows_before_while_pending_and_after() {
    let Some(browser) = browser() else { return };
    let farm = Farm::new();
    let mut node = farm.awake_node();
    let page = Screen::open(&browser, &farm, "");
    page.status("awake");
    page.picks("node");
    for (action, arrow) in [("asleep_lazy", Lazy), ("asleep_immediate", Forced)] {
        pends(&page, &node, action, ("awake", arrow, "asleep"));
        page.status("asleep");
        page.message("Worker node changed status awake ➜ asleep");
        pends(&page, &node, "wakeup", ("asleep", Forced, "awake"));
        page.status("awake");
        page.message("Worker node changed status asleep ➜ awake");
    }
    for (action, arrow, code) in [
        ("restart_lazy", Lazy, 47),
        ("restart_immediate", Forced, 47),
        ("offline_lazy", Lazy, 0),
        ("offline_immediate", Forced, 0),
    ] {
        let to = action.split('_').next().unwrap();
        pends(&page, &node, action, ("awake", arrow, to));
        assert_eq!(node.ended(), code);
        // Not a request that is stuck: the state to come back to.
        page.status("offline ➜ awake");
        page.message("Worker node changed status awake ➜ offline");
        node.start();
        page.status("awake");
    }
    page.well();
    node.finish();
}

#[test]
fn every_action_on_a_busy_worker_waits_for_its_task_or_does_not() {
    let Some(browser) = browser() else { return };
    let farm = Farm::new();
    let mut node = farm.awake_node();
    let page = Screen::open(&browser, &farm, "app/workers");
    page.picks("node");
    for (action, to, arrow, code) in [
        ("asleep_lazy", "asleep", Lazy, None),
        ("asleep_immediate", "asleep", Forced, None),
        ("restart_lazy", "restart", Lazy, Some(47)),
        ("restart_immediate", "restart", Forced, Some(47)),
        ("offline_lazy", "offline", Lazy, Some(0)),
        ("offline_immediate", "offline", Forced, Some(0)),
    ] {
        page.status("awake");
        let task = running(&farm);
        page.shows("document.querySelector('#worker-rows .task').innerText.includes('active')");
        pends(&page, &node, action, ("awake", arrow, to));
        if arrow == Lazy {
            let asked = farm.requests(Endpoint::MayIRun).len();
            farm.asked(Endpoint::MayIRun, asked + 1);
            page.status(&format!("awake {} {to}", arrow.sign()));
            let_it_end(&node);
            farm.completed(&task);
        }
        match code {
            None => page.status("asleep"),
            Some(code) => {
                assert_eq!(node.ended(), code);
                page.status("offline ➜ awake");
                node.start();
            }
        }
        if arrow == Forced {
            farm.manager.set_task_status(&task, TaskStatus::Canceled).unwrap();
        }
        page.applies("wakeup");
        farm.awake();
    }
    page.well();
    node.finish();
}

#[test]
fn asking_for_the_present_status_takes_a_request_back() {
    let Some(browser) = browser() else { return };
    let farm = Farm::new();
    let node = farm.awake_node();
    let task = running(&farm);
    let page = Screen::open(&browser, &farm, "app/workers");
    page.picks("node");
    pends(&page, &node, "offline_lazy", ("awake", Lazy, "offline"));
    // Offered for an awake worker, too: this is what for.
    page.applies("wakeup");
    page.message("Worker node status change to awake confirmed.");
    page.status("awake");
    assert_eq!(farm.manager.workers()[0].requested, None);
    let_it_end(&node);
    farm.completed(&task);
    page.status("awake");
    page.well();
    node.finish();
}

#[test]
fn the_menu_offers_restart_only_where_a_picked_worker_can() {
    let Some(browser) = browser() else { return };
    let farm = Farm::new();
    let mut node = farm.awake_node();
    let mut plain = farm.node("plain");
    plain.arguments.clear();
    plain.start();
    farm.wait("both to be awake", |farm| {
        (farm
            .workers()
            .filter(|worker| worker.status == WorkerStatus::Awake)
            .count()
            == 2)
            .then_some(())
    });
    let page = Screen::open(&browser, &farm, "app/workers");
    page.shows("document.querySelectorAll('#worker-rows tr').length === 2");
    let entry = |value: &str, label: &str| (value.to_owned(), label.to_owned());
    let with = |first: &str, restart: bool| {
        let mut menu = vec![
            entry("", first),
            entry("offline_lazy", "Shut Down (after task is finished)"),
            entry("offline_immediate", "Shut Down (immediately)"),
        ];
        if restart {
            menu.push(entry("restart_lazy", "Restart (after task is finished)"));
            menu.push(entry("restart_immediate", "Restart (immediately)"));
        }
        menu.push(entry("asleep_lazy", "Send to Sleep (after task is finished)"));
        menu.push(entry("asleep_immediate", "Send to Sleep (immediately)"));
        menu.push(entry("wakeup", "Wake Up"));
        menu
    };
    let disabled = || page.eval("document.getElementById('apply').disabled");
    assert_eq!(page.menu(), with("Select a Worker", false));
    assert_eq!(disabled(), true);
    page.picks("plain");
    assert_eq!(page.menu(), with("Choose an action...", false));
    assert_eq!(disabled(), true);
    page.picks("node");
    assert_eq!(page.menu(), with("Choose an action...", true));
    page.press("#action option[value=restart_lazy]");
    assert_eq!(disabled(), false);
    // What is no longer offered is no longer chosen.
    page.picks("node");
    assert_eq!(page.menu(), with("Choose an action...", false));
    assert_eq!(
        (page.eval("document.getElementById('action').value"), disabled()),
        (json!(""), json!(true))
    );
    // Asked all the same, the one that cannot is named.
    page.press("#pick-all");
    page.applies("restart_lazy");
    page.shows(
        "document.getElementById('messages').textContent.includes('Error requesting worker plain status change')",
    );
    page.well();
    assert_eq!(node.ended(), 47);
    plain.finish();
}

#[test]
fn a_log_of_a_hundred_thousand_lines_does_not_freeze_the_page() {
    let Some(browser) = browser() else { return };
    let farm = Farm::new();
    let node = farm.awake_node();
    let task = farm.script("seq -f 'line %.0f of a long log with some more words to each line' 100000");
    let page = Screen::open(&browser, &farm, "app/jobs");
    page.shows("document.getElementById('task-name').textContent === 'task'");
    // From here on: the longest time between two turns of the page's own clock.
    page.run(
        "window.longest = 0; let before = performance.now();
         setInterval(() => { const now = performance.now(); longest = Math.max(longest, now - before); before = now; }, 10);",
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
    let longest = page.eval("longest").as_f64().unwrap();
    // A busy machine's own pauses are in it; all lines as elements would take longer than this on any.
    assert!(longest < 1_000.0, "the page did not answer for {longest} ms");
    page.well();
    node.finish();
}

#[test]
fn the_log_is_followed_until_somebody_scrolls_up_and_searched_with_enter() {
    let Some(browser) = browser() else { return };
    let farm = Farm::new();
    let node = farm.awake_node();
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

#[test]
fn a_lost_connection_is_said_and_heals_by_itself() {
    let Some(browser) = browser() else { return };
    let farm = Farm::new();
    let node = farm.awake_node();
    let page = Screen::open(&browser, &farm, "app/workers");
    page.status("awake");
    farm.manager.stop();
    page.shows("/connection to the Manager is lost/.test(document.getElementById('connection').textContent)");
    page.shows("!document.getElementById('banner').hidden");
    assert_eq!(
        page.eval("document.getElementById('connection').getAttribute('role')"),
        "status"
    );
    farm.manager.start_again().unwrap();
    page.shows(
        "document.getElementById('banner').hidden && document.getElementById('live-word').textContent === 'Live'",
    );
    page.message("Connected again");
    // And it is live: nobody touches the page.
    farm.manager
        .ask(&farm.worker(), WorkerStatus::Asleep, standin_manager::When::Now)
        .unwrap();
    page.status("asleep");
    page.well();
    node.finish();
}

/// Markup, a terminal's colours, a reversal of direction, a null, and an end of line.
const HOSTILE: &str =
    "<script>window.ran = 1</script><img src=x onerror='window.ran = 1'><b>\u{1b}[31mred\u{202e}abc\u{0}\nx";

#[test]
fn hostile_text_shows_as_text() {
    let Some(browser) = browser() else { return };
    let sample = Sample {
        name: "sample".to_owned(),
        about: HOSTILE.to_owned(),
        job: JobSpec::new("job"),
    };
    let farm = Farm::with(Options {
        samples: vec![sample],
        name: HOSTILE.to_owned(),
        ..Options::default()
    });
    let mut node = farm.node("hostile");
    node.name = HOSTILE.replace(['\0', '\n'], "");
    node.start();
    farm.awake();
    let page = Screen::open(&browser, &farm, "app/workers");
    let said = "document.body.innerText.includes('<script>window.ran = 1</script><img src=x')";
    page.shows(&format!(
        "document.querySelectorAll('#worker-rows tr').length === 1 && {said}"
    ));
    assert!(page.text("#worker-rows th").unwrap().contains("␛[31mred‹U+202E›abc"));
    page.picks(&format!(
        "{}",
        node.name.replace('\'', "\\'").replace('\u{1b}', "\\1b ")
    ));
    page.applies("asleep_lazy");
    page.shows("document.getElementById('message').textContent.includes('<script>')");

    let task = TaskSpec::new(HOSTILE)
        .command(CommandSpec::new("echo", json!({ "message": HOSTILE })))
        .command(CommandSpec::new(HOSTILE, json!({ HOSTILE: HOSTILE })));
    farm.manager
        .ask(&farm.worker(), WorkerStatus::Awake, standin_manager::When::Now)
        .unwrap();
    let task = farm.job(JobSpec::new(HOSTILE).task(task)).remove(0);
    farm.failed(&task);
    page.press("#nav-jobs");
    page.shows("document.getElementById('job-name').textContent.includes('<script>')");
    page.shows("document.getElementById('task-name').textContent.includes('␀␊x')");
    page.shows("document.querySelector('.log-rows').textContent.includes('<img src=x')");
    assert_eq!(
        page.eval("document.querySelector('.log-rows').textContent.includes('\\u001b')"),
        false
    );
    assert_eq!(
        page.eval("document.querySelectorAll('main b').length"),
        3,
        "those of the page itself"
    );
    assert_eq!(
        page.eval("document.querySelectorAll('main script, main img[src=x]').length"),
        0
    );
    assert_eq!(page.eval("window.ran === undefined"), true);
    let wide = page.eval("document.documentElement.scrollWidth <= innerWidth");
    assert_eq!(wide, true, "the layout is broken");
    page.well();
    node.finish();
}

#[test]
fn an_action_is_chosen_and_applied_with_keys_alone() {
    let Some(browser) = browser() else { return };
    let farm = Farm::new();
    let node = farm.awake_node();
    let page = Screen::open(&browser, &farm, "app/workers");
    page.status("awake");
    page.keys(&key::TAB.to_string()).unwrap();
    assert_eq!(page.eval("document.activeElement.textContent"), "Skip to the content");
    let reach = |target: &str| {
        for _ in 0..20 {
            if page.eval(&format!("document.activeElement.matches({})", json!(target))) == true {
                return;
            }
            page.keys(&key::TAB.to_string()).unwrap();
        }
        panic!("{target} cannot be reached with the keyboard");
    };
    reach("input[aria-label='Select node']");
    page.keys(&key::SPACE.to_string()).unwrap();
    page.press("#action");
    page.keys("Send to Sleep (i").unwrap();
    page.keys(&key::ENTER.to_string()).unwrap();
    page.shows("document.getElementById('action').value === 'asleep_immediate'");
    reach("#apply");
    page.keys(&key::ENTER.to_string()).unwrap();
    page.status("asleep");
    page.well();
    node.finish();
}

/// Roles that a person acts on: each must say what it is.
const CONTROLS: &[&str] = &[
    "button",
    "link",
    "checkbox",
    "combobox",
    "searchbox",
    "textbox",
    "progressbar",
    "image",
    "img",
    "table",
    "region",
    "group",
    "dialog",
];

#[test]
fn everything_has_a_name_for_those_who_do_not_see_it() {
    let Some(browser) = browser() else { return };
    let farm = Farm::with(Options {
        samples: vec![Sample {
            name: "short".to_owned(),
            about: "A short one".to_owned(),
            job: JobSpec::new("short job").task(TaskSpec::new("nothing")),
        }],
        ..Options::default()
    });
    let node = farm.awake_node();
    let task = farm.script("echo hello");
    farm.completed(&task);
    let page = Screen::open(&browser, &farm, "app/workers");
    page.status("awake");
    page.press("#worker-rows th a");
    page.shows("!document.getElementById('worker-details').hidden");
    nameless_controls(&page, 12);
    page.press("#nav-jobs");
    page.shows("document.querySelector('.log-line')");
    nameless_controls(&page, 20);
    // A sample is submitted, and what it became is shown.
    page.press("button[aria-label='Submit short']");
    page.shows("document.getElementById('job-name').textContent === 'short job'");
    page.well();
    node.finish();
}

fn nameless_controls(page: &Screen<'_>, at_least: usize) {
    let tree = page.devtools("Accessibility.getFullAXTree", &json!({})).unwrap();
    let nodes = tree["nodes"].as_array().unwrap();
    let controls: Vec<&Value> = nodes
        .iter()
        .filter(|node| node["ignored"] == false)
        .filter(|node| CONTROLS.iter().any(|role| node["role"]["value"] == *role))
        .collect();
    assert!(controls.len() >= at_least, "only {} controls", controls.len());
    let nameless: Vec<_> = controls
        .iter()
        .filter(|node| node["name"]["value"].as_str().unwrap_or_default().trim().is_empty())
        .map(|node| &node["role"]["value"])
        .collect();
    assert!(nameless.is_empty(), "without a name: {nameless:?}");
}

#[test]
fn jobs_and_tasks_are_cancelled_requeued_and_deleted_from_the_page() {
    let Some(browser) = browser() else { return };
    let farm = Farm::new();
    let node = farm.awake_node();
    let task = running(&farm);
    let job = farm.manager.task(&task).unwrap().job;
    let page = Screen::open(&browser, &farm, "app/jobs");
    page.shows("document.querySelector('#task-facts .status')?.textContent === 'active'");
    page.press("#task-cancel");
    farm.reaches(&task, TaskStatus::Canceled);
    page.shows("document.querySelector('#job-about .status').textContent === 'canceled'");
    page.press("#job-requeue");
    farm.reaches(&task, TaskStatus::Active);
    page.shows("document.querySelector('#job-about .status').textContent === 'active'");
    page.press("#job-cancel");
    farm.reaches(&task, TaskStatus::Canceled);
    page.shows("!document.getElementById('job-delete').disabled");
    page.press("#job-delete");
    page.press("#confirm-no");
    assert!(farm.manager.job(&job).is_some());
    page.press("#job-delete");
    page.press("#confirm-yes");
    page.shows("!document.getElementById('no-jobs').hidden");
    assert!(farm.manager.job(&job).is_none());
    page.well();
    node.finish();
}

#[test]
fn nothing_is_wider_than_a_phone() {
    let Some(browser) = browser() else { return };
    let farm = Farm::new();
    let node = farm.awake_node();
    let long = "a".repeat(300);
    let task = farm
        .job(
            JobSpec::new(&long).task(TaskSpec::new(&long).command(crate::harness::bash(&format!("echo {long}{long}")))),
        )
        .remove(0);
    farm.completed(&task);
    let job = farm.manager.task(&task).unwrap().job;
    let page = Screen::open(&browser, &farm, "app/workers");
    page.look(Look::phone()).unwrap();
    for path in [
        "app/workers".to_owned(),
        "app/jobs".to_owned(),
        format!("app/jobs/{job}"),
        format!("app/jobs/{job}/{task}"),
    ] {
        page.goto(&format!("{}{path}", farm.manager.url())).unwrap();
        page.shows(
            "document.getElementById('live-word').textContent === 'Live' && \
            document.querySelector('#worker-rows tr, #job-list li')",
        );
        page.shows("document.documentElement.scrollWidth === 390");
    }
    page.well();
    node.finish();
}
