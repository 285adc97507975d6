// SPDX-License-Identifier: GPL-3.0-or-later

//! The Workers tab: every entry of the Worker Actions menu, before, while it is pending, and after.

use nix::sys::signal::Signal;
use serde_json::json;
use standin_manager::{Endpoint, TaskStatus, WorkerStatus};

use super::{Screen, browser, let_it_end, running};
use test_bed::{Farm, Node};

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
    let (farm, mut node) = Farm::with_awake_node();
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
    let (farm, mut node) = Farm::with_awake_node();
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
    let (farm, node) = Farm::with_awake_node();
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
    let (farm, mut node) = Farm::with_awake_node();
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
