// SPDX-License-Identifier: GPL-3.0-or-later

//! The Jobs tab, and a page that keeps itself up to date.

use standin_manager::{JobSpec, Options, PushOptions, PushRefusal, TaskSpec, TaskStatus, When, WorkerStatus};

use super::{Screen, UNTIL_GO, browser, let_it_end, running};
use test_bed::{Farm, bash};

#[test]
fn a_lost_connection_is_said_and_heals_by_itself() {
    let Some(browser) = browser() else { return };
    let (farm, node) = Farm::with_awake_node();
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
    farm.ask(WorkerStatus::Asleep, When::Now);
    page.status("asleep");
    page.well();
    node.finish();
}

#[test]
fn jobs_and_tasks_are_cancelled_requeued_and_deleted_from_the_page() {
    let Some(browser) = browser() else { return };
    let (farm, node) = Farm::with_awake_node();
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
fn a_manager_without_push_is_asked_every_few_seconds_and_the_page_says_so() {
    let Some(browser) = browser() else { return };
    let refusal = PushRefusal {
        status: 404,
        body: "no such page".to_owned(),
    };
    let farm = Farm::with(Options {
        push: PushOptions {
            refused: Some(refusal),
            ..PushOptions::default()
        },
        ..Options::default()
    });
    let node = farm.awake_node();
    let page = Screen::connected(&browser, &farm, "app/workers", "Every few seconds");
    page.status("awake");
    page.shows("/tells no news/.test(document.getElementById('banner').innerText)");
    farm.ask(WorkerStatus::Asleep, When::Now);
    page.status("asleep");
    page.well();
    node.finish();
}

#[test]
fn columns_keep_their_widths_and_the_steps_of_a_workers_task_are_shown() {
    let Some(browser) = browser() else { return };
    let (farm, node) = Farm::with_awake_node();
    let page = Screen::open(&browser, &farm, "app/workers");
    page.shows("document.querySelector('#worker-rows .none')?.textContent === 'none yet'");
    let widths = "[...document.querySelectorAll('#worker-table thead th')].map((cell) => cell.offsetWidth).join()";
    let before = page.eval(widths);
    let name = "a".repeat(300);
    let task = TaskSpec::new(&name).command(bash(UNTIL_GO).steps(12));
    let task = farm.job(JobSpec::new("job").task(task)).remove(0);
    farm.says(&task, "> running");
    page.shows("document.querySelector('#worker-rows .task a')?.textContent.length === 300");
    page.shows("document.querySelector('#worker-rows .steps')?.textContent === '0/12'");
    assert_eq!(page.eval(widths), before);
    let_it_end(&node);
    farm.completed(&task);
    page.shows("document.querySelector('#worker-rows .steps')?.textContent === '12/12'");
    page.well();
    node.finish();
}
