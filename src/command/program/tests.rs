// SPDX-License-Identifier: GPL-3.0-or-later

use std::time::Duration;

use nix::errno::Errno;

use super::*;
use crate::abort::{AbortReason, AbortSource};
use crate::command::tests::{RecordingLog, with_context};
use crate::process::{Stray, Strays};

fn finished(exit: Exit) -> Finished {
    let usage = Usage {
        wall: Duration::from_millis(71_040),
        frozen: Duration::ZERO,
        cpu: Duration::from_millis(540_260),
        peak_rss: 1_234_567_890,
    };
    Finished {
        pid: 42,
        exit,
        usage,
        strays: Strays::default(),
        output_held: false,
        writing: Vec::new(),
    }
}

/// Programs of these tests have run for longer than this.
const CRASH: Duration = Duration::from_millis(1);

fn stray(pid: i32, name: &str) -> Stray {
    Stray {
        pid,
        name: name.to_owned(),
    }
}

fn program(exe: &str, args: &[&str]) -> CommandProgram {
    let args = args.iter().map(|arg| (*arg).to_owned()).collect();
    CommandProgram::new("exec", exe, args, KillSequence(Vec::new()))
}

#[test]
fn a_code_and_a_signal_are_named() {
    let text = |exit| match conclude(finished(exit), CRASH) {
        Err(Incomplete::Failed(text)) => text,
        other => panic!("{other:?}"),
    };
    assert_eq!(text(Exit::Code(47)), "command exited abnormally with code 47");
    let killed = |signal, oom| text(Exit::Signal { signal, oom });
    assert_eq!(killed(11, false), "command exited abnormally: killed by SIGSEGV (11)");
    assert_eq!(killed(40, false), "command exited abnormally: killed by signal 40");
    assert_eq!(
        killed(9, true),
        "command exited abnormally: killed by SIGKILL (9), because the memory ran out (its peak was 1.2 GB)"
    );
}

#[test]
fn a_program_that_is_killed_at_once_may_be_the_nodes_fault() {
    let killed = Exit::Signal { signal: 11, oom: false };
    let ended = conclude(finished(killed), Duration::from_secs(3600));
    assert_eq!(
        ended,
        Err(Incomplete::SuspectNode(
            "command exited abnormally: killed by SIGSEGV (11)".into()
        ))
    );
}

#[test]
fn m6_a_pause_is_told_beside_the_time_that_a_program_took() {
    let mut ended = finished(Exit::Success);
    let rest = "540.3 s of CPU time, peak memory 1.2 GB";
    assert_eq!(
        end_summary(&ended),
        format!("pid=42 ended with code 0 after 71.0 s, {rest}")
    );
    ended.usage.frozen = Duration::from_secs(725);
    let paused = format!("pid=42 ended with code 0 after 71.0 s (and 12 min 5 s paused), {rest}");
    assert_eq!(end_summary(&ended), paused);
}

#[test]
fn a9_a_program_that_was_asked_to_end_did_not_succeed() {
    let ended = conclude(finished(Exit::Aborted(AbortReason::Shutdown)), CRASH);
    assert_eq!(ended, Err(Incomplete::Aborted(AbortReason::Shutdown)));
}

#[test]
fn a_success_stands_whatever_was_left_behind() {
    let mut good = finished(Exit::Success);
    good.strays.unkillable.push(stray(1, "hung"));
    assert_eq!(conclude(good, CRASH), Ok(()));
}

#[test]
fn a_lost_guard_hands_the_task_back_and_names_what_is_left() {
    let mut lost = finished(Exit::Lost);
    assert_eq!(
        conclude(lost.clone(), CRASH),
        Err(Incomplete::Requeued(RequeueReason::GuardLost))
    );
    lost.strays.unkillable.push(stray(1, "hung"));
    assert_eq!(
        conclude(lost, CRASH),
        Err(Incomplete::Requeued(RequeueReason::Unkillable(vec![stray(1, "hung")])))
    );
}

#[test]
fn a6_what_outlived_the_program_is_named_in_the_log() {
    let mut log = RecordingLog::default();
    let mut messy = finished(Exit::Success);
    messy.output_held = true;
    messy.strays.ended = vec![stray(43, "sleep"), stray(44, "python3")];
    messy.strays.unkillable = vec![stray(45, "hung")];
    with_context(&mut log, |context| log_end(&messy, context));
    assert_eq!(
        log.lines,
        [
            "left behind and ended: sleep (pid 43), python3 (pid 44)",
            "left behind, and cannot be ended: hung (pid 45); no other task is run here until they are gone",
            "the output was still held open by a process that was left behind and idle; it was not waited for",
            "pid=42 ended with code 0 after 71.0 s, 540.3 s of CPU time, peak memory 1.2 GB",
        ]
    );
}

#[test]
fn the_usage_line_says_the_end_by_name() {
    let oom = |oom| Exit::Signal { signal: 9, oom };
    let cases = [
        (Exit::Code(3), "ended with code 3"),
        (Exit::Signal { signal: 11, oom: false }, "was killed by SIGSEGV (11)"),
        (Exit::Signal { signal: 35, oom: false }, "was killed by signal 35"),
        (oom(true), "was killed by SIGKILL (9), out of memory,"),
        (oom(false), "was killed by SIGKILL (9)"),
        (Exit::Aborted(AbortReason::Shutdown), "ended as asked"),
        (Exit::Lost, "was lost"),
    ];
    for (exit, words) in cases {
        assert_eq!(describe_exit(&exit), words);
    }
}

#[test]
fn the_log_says_first_what_is_run() {
    let mut log = RecordingLog::default();
    with_context(&mut log, |context| {
        announce(&program("/bin/x y", &["it's", "a\nb", ""]).spec(context), context);
    });
    let expected = [
        "going to run:",
        "",
        "    '/bin/x y' 'it'\"'\"'s' 'a
b' ''",
        "",
    ];
    assert_eq!(log.lines, expected);
}

#[tokio::test]
async fn a10_a_program_that_does_not_start_fails_the_task_with_the_reason() {
    let failed = |ending| match ending {
        Incomplete::Failed(text) | Incomplete::SuspectNode(text) => text,
        other @ (Incomplete::Aborted(_) | Incomplete::Requeued(_)) => panic!("{other:?}"),
    };
    let text = failed(
        program("/", &[])
            .not_started(StartError::Exec(Errno::EACCES), &AbortSource::new().1, None)
            .await,
    );
    assert_eq!(
        text,
        "exec: cannot run \"/\": Permission denied (EACCES); it is a directory"
    );
    let text = failed(
        program("/bin/sh", &[])
            .not_started(StartError::Exec(Errno::E2BIG), &AbortSource::new().1, None)
            .await,
    );
    assert_eq!(text, "exec: cannot run \"/bin/sh\": Argument list too long (E2BIG)");
    let text = failed(
        program("{blender}", &[])
            .not_started(StartError::NotOnPath, &AbortSource::new().1, None)
            .await,
    );
    assert_eq!(
        text,
        "exec: cannot run \"{blender}\": executable file not found on PATH; the Manager has no value for {blender} on platform linux"
    );
    let text = failed(
        program("/bin/sh", &[])
            .not_started(StartError::Nul("argument 2".into()), &AbortSource::new().1, None)
            .await,
    );
    assert_eq!(text, "exec: cannot run \"/bin/sh\": a NUL byte in argument 2");
}

#[tokio::test]
async fn i4_a_name_that_no_kernel_takes_is_the_tasks_own_fault() {
    let exe = format!("/{}", "x".repeat(140_000));
    let ending = program(&exe, &[])
        .not_started(StartError::Exec(Errno::ENAMETOOLONG), &AbortSource::new().1, None)
        .await;
    let Incomplete::Failed(text) = ending else {
        panic!("{ending:?}")
    };
    assert!(text.contains("xxx\"...: File name too long"), "{text}");
}

#[tokio::test]
async fn f9_a_node_without_room_for_a_process_is_not_the_task_s_fault() {
    for errno in [Errno::EAGAIN, Errno::EMFILE, Errno::ENFILE] {
        let ending = program("/bin/sh", &[])
            .not_started(StartError::Exec(errno), &AbortSource::new().1, None)
            .await;
        assert!(
            matches!(ending, Incomplete::Requeued(RequeueReason::CannotStart(_))),
            "{ending:?}"
        );
    }
}

#[tokio::test]
async fn a_guard_that_does_not_start_is_not_the_task_s_fault() {
    let error = std::io::Error::from_raw_os_error(11);
    let ending = program("/bin/sh", &[])
        .not_started(StartError::Guard(error), &AbortSource::new().1, None)
        .await;
    assert!(
        matches!(ending, Incomplete::Requeued(RequeueReason::CannotStart(_))),
        "{ending:?}"
    );
    let aborted = StartError::Aborted(AbortReason::Force);
    assert_eq!(
        program("/bin/sh", &[])
            .not_started(aborted, &AbortSource::new().1, None)
            .await,
        Incomplete::Aborted(AbortReason::Force)
    );
}

#[test]
fn sizes_are_for_people() {
    let table = [
        (0, "0 B"),
        (999, "999 B"),
        (1_500, "1.5 kB"),
        (123_456_789, "123.4 MB"),
        (u64::MAX, "18446744073.7 GB"),
    ];
    for (bytes, text) in table {
        assert_eq!(size(bytes), text);
    }
}
