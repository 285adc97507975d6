// SPDX-License-Identifier: GPL-3.0-or-later

//! What runs does not notice that its worker becomes another.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, ScopedJoinHandle};

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use super::{TAKES_OVER, go, hang_up, introductions, noted, printed, program, ran_once, reloaded, takeovers};
use crate::history::history;
use crate::status::status;
use test_bed::{Farm, Node, lives, open_files, until};

/// Half a line, and a line that is written anew, stand open from reload to reload; a line of its own comes all the time.
const PRINTS: &str = r#"
    echo $$ > pid; echo "$TMPDIR" > tmpdir; : > "$TMPDIR/kept"
    number=0; echo running
    until [ -e whole ]; do number=$((number + 1)); echo "line $number"; sleep 0.005; done
    printf 'half a '; touch half; until [ -e progress ]; do sleep 0.01; done; echo line
    printf '10%%\r20%%\r'; touch progressed; until [ -e go ]; do sleep 0.01; done; printf '30%%\r40%%\n'
    [ -e "$TMPDIR/kept" ] && echo "$number lines"
"#;

/// Asks for the status all the time. Answers with how often.
fn watch<'scope>(
    scope: &'scope thread::Scope<'scope, '_>,
    home: &'scope Path,
    is_over: &'scope AtomicBool,
) -> ScopedJoinHandle<'scope, usize> {
    scope.spawn(move || {
        let asked = AtomicUsize::new(0);
        while !is_over.load(Ordering::SeqCst) {
            let output = status(home, &["--json"]);
            let seen: Value = serde_json::from_slice(&output.stdout).unwrap();
            assert_eq!(
                (&seen["activity"], &seen["task"]["name"]),
                (&json!("running"), &json!("task")),
                "{output:?}"
            );
            asked.fetch_add(1, Ordering::SeqCst);
        }
        asked.into_inner()
    })
}

/// What a worker has open, once it has everything.
fn descriptors(node: &Node) -> Vec<String> {
    let listens = "listening to the Manager: what happens";
    node.until("the last successor to listen", || {
        let log = node.log();
        log.rfind(TAKES_OVER) < log.rfind(listens)
    });
    let open = open_files(node.pid()).into_iter();
    open.map(|link| link.display().to_string()).collect()
}

/// Reloads so often, each time in the other way.
fn reload_times(node: &Node, times: usize) {
    for time in 0..times {
        if time % 2 == 0 {
            reloaded(node);
        } else {
            hang_up(node);
        }
    }
}

#[test]
fn l1_l9_a_render_keeps_its_processes_and_each_of_its_lines_and_the_worker_is_there_all_the_time() {
    let (farm, node) = Farm::with_awake_node();
    let task = farm.running(PRINTS);
    let pids = |node: &Node| (node.pid(), node.children(), program(node));
    let before = pids(&node);
    assert_eq!(before.1.len(), 1, "one guard");
    let (home, is_over) = (node.home(), AtomicBool::new(false));
    let (few, asked) = thread::scope(|scope| {
        let watching = watch(scope, &home, &is_over);
        reload_times(&node, 2);
        let few = descriptors(&node);
        reload_times(&node, 18);
        is_over.store(true, Ordering::SeqCst);
        (few, watching.join().unwrap())
    });
    assert!(asked > 2, "asked {asked} times");
    until(
        "hardly more descriptors than before: a connection comes and goes",
        || (descriptors(&node).len() <= few.len() + 4).then_some(()),
        || format!("{few:#?} {:#?}", descriptors(&node)),
    );
    fs::write(node.folder.join("whole"), "").unwrap();
    noted_file(&node, "half");
    hang_up(&node);
    fs::write(node.folder.join("progress"), "").unwrap();
    noted_file(&node, "progressed");
    hang_up(&node);
    assert_eq!(pids(&node), before);
    assert!(Path::new(&noted(&node, "tmpdir")).is_dir());
    go(&node);
    ran_once(&farm, &task);
    let mut lines = printed(&farm, &task);
    let count = lines.pop().unwrap();
    let states = lines.split_off(lines.iter().position(|line| line == "half a line").unwrap());
    // Those in between are shown while they stand.
    let shown = ["10%", "20%", "30%", "40%"].map(str::to_owned);
    assert_eq!((&states[1], states.last()), (&shown[0], shown.last()), "{states:?}");
    assert!(
        states[1..].is_sorted() && states[1..].iter().all(|state| shown.contains(state)),
        "{states:?}"
    );
    assert_eq!(lines.remove(0), "running");
    let expected: Vec<_> = (1..=lines.len()).map(|number| format!("line {number}")).collect();
    assert_eq!(lines, expected);
    assert_eq!(count, format!("{} lines", lines.len()));
    assert_eq!(introductions(&farm), (1, 0));
    node.until("the task in the history, once", || {
        let (_, out, _) = history(&node, &["--json"]);
        out.lines().count() == 1 && out.contains("\"completed\"") && out.contains("delivered")
    });
    assert!(!lives(before.2));
    node.childless();
    node.finish();
}

fn noted_file(node: &Node, name: &str) {
    let path = node.folder.join(name);
    node.until(name, || path.exists());
}

/// As fast as it is taken, each time that it may; in all no more than may wait for the Manager.
const FLOODS: &str = r#"
    echo begun
    for round in 0 1 2; do
        until [ -e burst$round ]; do sleep 0.01; done
        seq -f '%08.0f .........................................................................' $((round * 60000 + 1)) $((round * 60000 + 60000))
    done
    until [ -e go ]; do sleep 0.01; done; echo end
"#;

#[test]
fn l1_a_flood_is_whole_at_the_manager() {
    let (farm, node) = Farm::with_awake_node();
    let task = farm.script(FLOODS);
    farm.says(&task, "> begun");
    for round in 0..3 {
        node.signal(Signal::SIGHUP);
        let begun = || node.log().matches("reloading: ").count() > round;
        node.until("the reload to begin", begun);
        fs::write(node.folder.join(format!("burst{round}")), "").unwrap();
        node.until("the successor", || takeovers(&node) > round);
    }
    go(&node);
    ran_once(&farm, &task);
    let lines = printed(&farm, &task);
    assert_eq!((lines[0].as_str(), lines[180_001].as_str()), ("begun", "end"));
    let number = |line: &String| line.split(' ').next().unwrap().parse::<usize>().unwrap();
    let numbers = lines[1..180_001].iter().map(number);
    assert_eq!(numbers.zip(1..).find(|(number, place)| number != place), None);
    node.finish();
}
