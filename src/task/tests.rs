// SPDX-License-Identifier: GPL-3.0-or-later

use std::cell::RefCell;
use std::fs;
use std::path::Path;
use std::rc::Rc;

use super::*;
use crate::abort::{AbortReason, AbortSource};
use crate::command::CommandTools;
use crate::process::{Finished, idle_launcher};
use crate::report::TaskLog;
use crate::scratch::{ScratchDirs, WarnedOnce};
use crate::timings::Timings;

/// Writes down all that is said, in order; raises an abort when it hears a certain line.
#[derive(Default)]
struct Recorder {
    heard: Rc<RefCell<Vec<String>>>,
    trigger: Option<(&'static str, AbortSource)>,
}

impl Recorder {
    fn note(&mut self, text: String) {
        if let Some((line, source)) = &self.trigger
            && text == *line
        {
            source.raise(AbortReason::StateChange);
        }
        self.heard.borrow_mut().push(text);
    }
}

impl TaskLog for Recorder {
    fn line(&mut self, text: &str) {
        self.note(format!("line {text}"));
    }
    fn output(&mut self, pid: i32, text: &str) {
        self.note(format!("output {pid} {text}"));
    }
    fn activity(&mut self, text: &str) {
        self.note(format!("activity {text}"));
    }
    fn step(&mut self) {
        self.note("step".into());
    }
    fn produced(&mut self, path: &Path) {
        self.note(format!("produced {}", path.display()));
    }
    fn ended(&mut self, name: &str, finished: &Finished) {
        self.note(format!("ended {name} {:?}", finished.exit));
    }
    fn rendered_in_kept(&mut self, _name: &str, _finished: &Finished, _kept_task: u32) {}
}

fn tools(folder: &Path) -> Tools {
    let scratch = ScratchDirs {
        folder: folder.into(),
        spare: folder.join("spare"),
        mark: "home-1".into(),
        warned: WarnedOnce::default(),
    };
    let timings = Timings::default();
    let commands = CommandTools::new(idle_launcher(&timings), &timings, folder.into());
    Tools::new(commands, scratch)
}

fn task(commands: &str) -> AssignedTask {
    serde_json::from_str(&format!(
        r#"{{"uuid":"t-1","job":"j","name":"n","commands":{commands}}}"#
    ))
    .unwrap()
}

async fn told(commands: &str, abort: &mut Abort, mut recorder: Recorder) -> (Outcome, Vec<String>) {
    let folder = tempfile::tempdir().unwrap();
    let heard = recorder.heard.clone();
    let tools = tools(folder.path());
    let (outcome, cleanup) = match run(&task(commands), &tools, abort, &mut recorder).await {
        TaskStop::Over(outcome, cleanup) => (outcome, cleanup),
        TaskStop::HandedOver(handed) => panic!("{handed:?}"),
    };
    cleanup.run(&tools, abort).await;
    assert_eq!(
        fs::read_dir(folder.path()).unwrap().count(),
        0,
        "something is left in the temporary directory"
    );
    (outcome, heard.take())
}

const ECHO: &str = r#"{"name":"echo","parameters":{"message":"hi"}}"#;

#[tokio::test]
async fn commands_run_in_order_and_each_without_steps_of_its_own_is_one() {
    let (_source, mut abort) = AbortSource::new();
    let three = r#"{"name":"echo","parameters":{"message":3},"total_step_count":3}"#;
    let (outcome, heard) = told(&format!("[{ECHO},{three},{ECHO}]"), &mut abort, Recorder::default()).await;
    assert_eq!(outcome, Ok(()));
    let expected = [
        "activity Started",
        "line echo: \"hi\"",
        "step",
        "line echo: \"3\"",
        "line echo: \"hi\"",
        "step",
    ];
    assert_eq!(heard, expected);
}

#[tokio::test]
async fn a_task_without_commands_completes() {
    let (_source, mut abort) = AbortSource::new();
    for commands in ["[]", "null"] {
        let (outcome, heard) = told(commands, &mut abort, Recorder::default()).await;
        assert_eq!((outcome, heard.len()), (Ok(()), 1), "{heard:?}");
    }
}

#[tokio::test]
async fn a_wrong_command_fails_when_it_is_reached_and_the_rest_is_not_run() {
    let (_source, mut abort) = AbortSource::new();
    let (outcome, heard) = told(
        &format!(r#"[{ECHO},{{"name":"a\nb"}},{ECHO}]"#),
        &mut abort,
        Recorder::default(),
    )
    .await;
    let why = r#"unknown command: "a\nb""#;
    assert_eq!(outcome, Err(Incomplete::Failed(why.into())));
    assert_eq!(heard, ["activity Started", "line echo: \"hi\"", "step"]);
}

#[tokio::test]
async fn a8_an_abort_before_the_start_lets_nothing_run() {
    let (source, mut abort) = AbortSource::new();
    source.raise(AbortReason::Reassigned);
    let (outcome, heard) = told(&format!("[{ECHO}]"), &mut abort, Recorder::default()).await;
    assert_eq!(outcome, Err(Incomplete::Aborted(AbortReason::Reassigned)));
    assert_eq!(heard, Vec::<String>::new());
}

#[tokio::test]
async fn a13_an_abort_between_two_commands_keeps_the_next_one_from_starting() {
    let (source, mut abort) = AbortSource::new();
    let recorder = Recorder {
        trigger: Some(("step", source)),
        ..Recorder::default()
    };
    let (outcome, heard) = told(&format!("[{ECHO},{ECHO}]"), &mut abort, recorder).await;
    assert_eq!(outcome, Err(Incomplete::Aborted(AbortReason::StateChange)));
    assert_eq!(heard, ["activity Started", "line echo: \"hi\"", "step"]);
}

#[tokio::test]
async fn an_abort_after_the_last_command_comes_too_late() {
    let (source, mut abort) = AbortSource::new();
    let recorder = Recorder {
        trigger: Some(("step", source)),
        ..Recorder::default()
    };
    let (outcome, heard) = told(&format!("[{ECHO}]"), &mut abort, recorder).await;
    assert_eq!((outcome, heard.last().map(String::as_str)), (Ok(()), Some("step")));
}
