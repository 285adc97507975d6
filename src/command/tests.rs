// SPDX-License-Identifier: GPL-3.0-or-later

//! What the tests of commands share, and those of all commands.

use std::future::pending;
use std::path::{Path, PathBuf};
use std::time::Duration;

use proptest::prelude::*;
use serde_json::Value;
use tokio::time::Instant;

use super::*;
use crate::abort::{Abort, AbortReason, AbortSource};
use crate::outcome::{Incomplete, Outcome};
use crate::process::{Finished, idle_launcher};
use crate::protocol::AssignedTask;
use crate::report::TaskLog;
use crate::timings::Timings;

/// A log that remembers.
#[derive(Debug, Default)]
pub(super) struct RecordingLog {
    pub(super) lines: Vec<String>,
    pub(super) steps: usize,
    pub(super) produced: Vec<PathBuf>,
}

impl TaskLog for RecordingLog {
    fn line(&mut self, text: &str) {
        self.lines.push(text.to_owned());
    }
    fn output(&mut self, pid: i32, text: &str) {
        self.lines.push(format!("pid={pid} > {text}"));
    }
    fn activity(&mut self, _text: &str) {
        unreachable!("only the task sets the activity");
    }
    fn step(&mut self) {
        self.steps += 1;
    }
    fn produced(&mut self, path: &Path) {
        self.produced.push(path.to_owned());
    }
    fn ended(&mut self, _name: &str, _finished: &Finished) {}
    fn rendered_in_kept(&mut self, _name: &str, _finished: &Finished, _kept_task: u32) {}
}

/// All that a context borrows.
pub(super) struct TestCommand<'a> {
    pub(super) tools: CommandTools,
    pub(super) environment: TaskEnvironment,
    pub(super) source: AbortSource,
    pub(super) abort: Abort,
    pub(super) log: &'a mut RecordingLog,
}

impl<'a> TestCommand<'a> {
    pub(super) fn new(log: &'a mut RecordingLog) -> Self {
        let (source, abort) = AbortSource::new();
        let timings = Timings {
            grace: Duration::from_millis(50),
            ..Timings::default()
        };
        let task: AssignedTask = serde_json::from_str(r#"{"uuid":"t","job":"j","name":"n"}"#).unwrap();
        Self {
            tools: CommandTools::new(idle_launcher(&timings), &timings, "/nowhere".into()),
            environment: TaskEnvironment::new(&task, Path::new("/nowhere")),
            source,
            abort,
            log,
        }
    }

    pub(super) fn context(&mut self) -> CommandContext<'_> {
        CommandContext {
            tools: &self.tools,
            environment: &self.environment,
            abort: &mut self.abort,
            log: self.log,
            is_last: true,
        }
    }
}

/// Calls `act` with a context that writes to `log`.
pub(super) fn with_context(log: &mut RecordingLog, act: impl FnOnce(&mut CommandContext<'_>)) {
    act(&mut TestCommand::new(log).context());
}

/// Runs one command to its end.
pub(super) async fn run(wire: &str) -> (Outcome, RecordingLog) {
    let mut log = RecordingLog::default();
    let ended = parsed(wire).run(None, &mut TestCommand::new(&mut log).context()).await;
    let ended = ended.map_err(|stop| match stop {
        CommandStop::Incomplete(incomplete) => incomplete,
        CommandStop::HandedOver(handed) => panic!("{handed:?}"),
    });
    (ended, log)
}

fn read(wire: &str) -> Result<Command, CommandError> {
    Command::try_from(&serde_json::from_str::<WireCommand>(wire).unwrap())
}

pub(super) fn parsed(wire: &str) -> Command {
    read(wire).unwrap()
}

pub(super) fn refused(wire: &str) -> String {
    read(wire).unwrap_err().to_string()
}

#[test]
fn an_unknown_name_is_quoted_and_case_and_blanks_count() {
    for (name, shown) in [
        (r#"Echo \"q\"\nü"#, r#""Echo \"q\"\nü""#),
        ("ECHO", "\"ECHO\""),
        ("echo ", "\"echo \""),
        ("", "\"\""),
    ] {
        let wire = format!(r#"{{"name":"{name}","parameters":null}}"#);
        assert_eq!(refused(&wire), format!("unknown command: {shown}"));
    }
}

#[tokio::test]
async fn echo_quotes_its_message() {
    let table = [
        (r#""hello\n\"you\"""#, r#"echo: "hello\n\"you\"""#),
        ("null", r#"echo: "<nil>""#),
        (r#"{"b":1,"a":[5000000,""]}"#, r#"echo: "map[a:[5000000 ] b:1]""#),
    ];
    for (message, line) in table {
        let (ended, log) = run(&format!(r#"{{"name":"echo","parameters":{{"message":{message}}}}}"#)).await;
        assert_eq!((ended, log.lines, log.steps), (Ok(()), vec![line.to_owned()], 0));
    }
    let missing = refused(r#"{"name":"echo","parameters":{"Message":1}}"#);
    assert!(
        missing.starts_with("echo: mandatory parameter \"message\" is missing"),
        "{missing}"
    );
}

#[test]
fn exec_takes_a_text_and_a_list() {
    let command =
        parsed(r#"{"name":"exec","parameters":{"exe":"/bin/bash","args":["-c","echo hi",1,null],"cwd":"x"}}"#);
    let Command::Exec(command) = command else {
        panic!("{command:?}")
    };
    assert_eq!(
        (command.exe.as_str(), command.args.join(",")),
        ("/bin/bash", "-c,echo hi,1,<nil>".to_owned())
    );
    let both = refused(r#"{"name":"exec","parameters":{"exe":"","args":5}}"#);
    assert!(
        both.starts_with("exec: parameter \"exe\" has invalid value \"\""),
        "{both}"
    );
    let args = refused(r#"{"name":"exec","parameters":{"exe":"x","args":5}}"#);
    assert_eq!(
        args,
        "exec: parameter \"args\" has invalid value 5: expected a list of texts"
    );
}

#[tokio::test(start_paused = true)]
async fn sleep_cuts_to_seconds_and_says_how_long() {
    for (duration, line) in [
        ("90.9", "slept 1m30s"),
        ("0.9", "slept 0s"),
        ("-0.5", "slept 0s"),
        ("2", "slept 2s"),
    ] {
        let before = tokio::time::Instant::now();
        let (ended, log) = run(&format!(
            r#"{{"name":"sleep","parameters":{{"duration_in_seconds":{duration}}}}}"#
        ))
        .await;
        assert_eq!((ended, log.lines), (Ok(()), vec![line.to_owned()]));
        let whole: f64 = duration.parse::<f64>().unwrap().trunc().abs();
        assert!(
            (before.elapsed().as_secs_f64() - whole).abs() < 0.1,
            "{duration}: {:?}",
            before.elapsed()
        );
    }
}

#[test]
fn a_sleep_that_makes_no_sense_is_refused_and_never_over_at_once() {
    for wrong in [
        "null",
        "\"3\"",
        "true",
        "[]",
        "{}",
        "-1",
        "1e30",
        "1e10",
        "18446744073709551615",
    ] {
        let wire = format!(r#"{{"name":"sleep","parameters":{{"duration_in_seconds":{wrong}}}}}"#);
        let text = refused(&wire);
        assert!(
            text.starts_with("sleep: parameter \"duration_in_seconds\" has invalid value"),
            "{text}"
        );
    }
    let longest = parsed(r#"{"name":"sleep","parameters":{"duration_in_seconds":9223372036}}"#);
    assert_eq!(
        longest,
        Command::Sleep(Sleep {
            duration: Duration::from_secs(9_223_372_036)
        })
    );
}

#[tokio::test(start_paused = true)]
async fn a_sleep_ends_with_an_abort() {
    let mut log = RecordingLog::default();
    let mut test = TestCommand::new(&mut log);
    test.source.raise(AbortReason::StateChange);
    let command = parsed(r#"{"name":"sleep","parameters":{"duration_in_seconds":3600}}"#);
    assert_eq!(
        command.run(None, &mut test.context()).await,
        Err(Incomplete::Aborted(AbortReason::StateChange).into())
    );
    assert!(log.lines.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_sleep_that_is_handed_over_takes_as_long_as_one() {
    let mut log = RecordingLog::default();
    let mut test = TestCommand::new(&mut log);
    let command = parsed(r#"{"name":"sleep","parameters":{"duration_in_seconds":3600}}"#);
    let begun = Instant::now();
    let mut handed = None;
    for _ in 0..3 {
        let source = std::mem::replace(&mut test.source, AbortSource::new().0);
        let wish = async {
            tokio::time::sleep(Duration::from_secs(1000)).await;
            source.hand_over();
            pending().await
        };
        let mut context = test.context();
        let stop = tokio::select! {
            ended = command.run(handed.take(), &mut context) => ended.unwrap_err(),
            () = wish => unreachable!(),
        };
        let CommandStop::HandedOver(travels) = stop else {
            panic!("{stop:?}")
        };
        handed = Some(serde_json::from_str(&serde_json::to_string(&travels).unwrap()).unwrap());
        test = TestCommand::new(&mut log);
    }
    command.run(handed, &mut test.context()).await.unwrap();
    assert_eq!((begun.elapsed().as_secs(), log.lines.len()), (3600, 1));
}

/// Any JSON, three levels deep.
fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::hash_map(any::<String>(), inner, 0..4).prop_map(|map| map.into_iter().collect()),
        ]
    })
}

proptest! {
    /// A job script may hand over anything: a command comes of it, or an error that says what is wrong.
    #[test]
    fn whatever_the_parameters_are_there_is_a_command_or_a_reason(
        name in prop::sample::select(&["blender-render", "frames-to-video", "exec", "echo", "sleep", "make-directory", "move-directory", "copy-file"][..]),
        keys in prop::collection::hash_map(
            prop::sample::select(&["exe", "exeArgs", "argsBefore", "args", "blendfile", "fps", "inputGlob", "outputFile", "message", "duration_in_seconds", "path", "src", "dest"][..]),
            any_json(),
            0..6,
        ),
    ) {
        let parameters: serde_json::Map<_, _> = keys.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
        let wire = WireCommand { name: name.to_owned(), parameters, total_step_count: 1 };
        if let Err(error) = Command::try_from(&wire) {
            let text = error.to_string();
            prop_assert!(text.starts_with(&format!("{name}: ")), "{}", text);
        }
    }
}
