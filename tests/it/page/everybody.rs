// SPDX-License-Identifier: GPL-3.0-or-later

//! For whoever comes, with whatever: keys alone, a screen reader, a phone, and text that means harm.

use browser::Look;
use serde_json::{Value, json};
use standin_manager::{CommandSpec, JobSpec, Options, Sample, TaskSpec, When, WorkerStatus};

use super::{Screen, browser, key};
use test_bed::{Farm, bash};

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
    farm.start(&mut node);
    let page = Screen::open(&browser, &farm, "app/workers");
    let said = "document.body.innerText.includes('<script>window.ran = 1</script><img src=x')";
    page.shows(&format!(
        "document.querySelectorAll('#worker-rows tr').length === 1 && {said}"
    ));
    assert!(page.text("#worker-rows th").unwrap().contains("␛[31mred‹U+202E›abc"));
    page.press("#pick-all");
    page.applies("asleep_lazy");
    page.shows("document.getElementById('message').textContent.includes('<script>')");

    let task = TaskSpec::new(HOSTILE)
        .command(CommandSpec::new("echo", json!({ "message": HOSTILE })))
        .command(CommandSpec::new(HOSTILE, json!({ HOSTILE: HOSTILE })));
    farm.ask(WorkerStatus::Awake, When::Now);
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
    let (farm, node) = Farm::with_awake_node();
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
fn nothing_is_wider_than_a_phone() {
    let Some(browser) = browser() else { return };
    let (farm, node) = Farm::with_awake_node();
    let long = "a".repeat(300);
    let task = farm
        .job(JobSpec::new(&long).task(TaskSpec::new(&long).command(bash(&format!("echo {long}{long}")))))
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
    // The last of them has the log: a long line goes on below itself.
    page.shows(
        "(() => { \
            const log = document.getElementById('log'); \
            const row = [...log.querySelectorAll('.log-line')].find((row) => row.textContent.includes('> aaa')); \
            return row && row.clientHeight > 200 && row.scrollHeight <= row.clientHeight && log.scrollWidth === log.clientWidth; \
        })()",
    );
    page.well();
    node.finish();
}
