// SPDX-License-Identifier: GPL-3.0-or-later

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

use proptest::prelude::*;

use super::*;
use crate::process::finished::Usage;
use crate::process::open_files::OpenFile;
use crate::process::stray::Strays;
use crate::process::sweep::NAMED_AT_MOST;

fn options() -> SpawnOptions {
    SpawnOptions {
        oom_score_adj: Some(500),
        nice: None,
        ignore_hangup: true,
        cgroups: Some("/sys/fs/cgroup/flamenco-1-2.".into()),
        memory: Some(1 << 30),
        drain: Duration::from_millis(5),
        linger: Duration::from_millis(6),
        unkillable: Duration::from_secs(15),
    }
}

fn word() -> impl Strategy<Value = OsString> {
    prop::collection::vec(1..=255u8, 0..20).prop_map(OsString::from_vec)
}

fn spec() -> impl Strategy<Value = ProcessSpec> {
    let env = prop::collection::vec((word(), prop::option::of(word())), 0..4);
    let args = prop::collection::vec(word(), 0..6);
    let tmpdir = prop::option::of(word());
    (
        word(),
        prop::option::of(word()),
        args,
        env,
        prop::option::of(word()),
        tmpdir,
    )
        .prop_map(|(program, argv0, args, env, directory, tmpdir)| ProcessSpec {
            program,
            argv0,
            args,
            env,
            directory: directory.map(Into::into),
            confinement: tmpdir.map(|tmpdir| Confinement {
                tmpdir: [tmpdir.into()].into_iter().collect(),
                ..Confinement::default()
            }),
            kill_sequence: KillSequence(vec![(Signal::SIGINT, Duration::from_millis(8001))]),
            label: "shot 1".into(),
        })
}

fn bytes(words: &[CString]) -> Vec<Vec<u8>> {
    words.iter().map(|word| word.as_bytes().to_vec()).collect()
}

proptest! {
    #[test]
    fn a_request_arrives_as_it_was_sent(spec in spec()) {
        let note = EndNote { file: spec.program.clone(), about: "\0".into() };
        let frame = encode_request(&spec, &options(), Some(&note)).unwrap();
        let got = SpawnRequest::read(&mut frame.as_slice()).unwrap();
        prop_assert_eq!(got.program.as_bytes(), spec.program.as_bytes());
        let argv = std::iter::once(spec.argv0.as_ref().unwrap_or(&spec.program)).chain(&spec.args);
        prop_assert_eq!(bytes(&got.argv), argv.map(|word| word.as_bytes().to_vec()).collect::<Vec<_>>());
        prop_assert_eq!(&got.confinement, &spec.confinement);
        prop_assert_eq!(got.directory.map(CString::into_bytes), spec.directory.map(|path| path.into_os_string().into_vec()));
        let env = spec.env.iter().map(|(name, value)| match value {
            Some(value) => [name.as_bytes(), b"=", value.as_bytes()].concat(),
            None => name.as_bytes().to_vec(),
        });
        prop_assert_eq!(bytes(&got.environment), env.collect::<Vec<_>>());
        prop_assert_eq!((got.kill_sequence, got.options, got.note), (spec.kill_sequence, options(), Some(note)));
    }

    #[test]
    fn a_request_that_was_cut_is_refused(spec in spec(), cut in any::<prop::sample::Index>()) {
        let frame = encode_request(&spec, &options(), None).unwrap();
        prop_assert!(SpawnRequest::read(&mut &frame[..cut.index(frame.len())]).is_err());
    }
}

#[test]
fn a_nul_byte_is_refused_before_anything_runs() {
    let spec = ProcessSpec {
        args: vec!["a\0b".into()],
        label: "a\0b".into(),
        ..ProcessSpec::new("x")
    };
    assert!(matches!(encode_request(&spec, &options(), None), Err(StartError::Nul(what)) if what == "an argument"));
}

#[test]
fn messages_come_out_of_the_buffer_whole_and_in_order() {
    let sent = [
        GuardMessage::Started { pid: 7 },
        GuardMessage::Final(FinalMessage::NotStarted { errno: 2 }),
        GuardMessage::Final(FinalMessage::NotOnPath),
    ];
    let stream: Vec<u8> = sent.iter().flat_map(|one| one.frame().unwrap()).collect();
    let (mut messages, mut got) = (MessageBuffer::default(), Vec::new());
    for byte in stream {
        messages.0.push(byte);
        got.extend(messages.next().unwrap());
    }
    assert_eq!(got, sent);
    assert!(messages.0.is_empty());
}

#[test]
fn a_message_that_no_guard_ever_sends_is_refused_by_its_length_alone() {
    let huge = u32::try_from(LONGEST_MESSAGE).unwrap() + 1;
    let mut messages = MessageBuffer(huge.to_le_bytes().to_vec());
    assert_eq!(messages.next().unwrap_err().kind(), io::ErrorKind::InvalidData);
    let huge = u32::try_from(LONGEST_REQUEST).unwrap() + 1;
    let refused = SpawnRequest::read(&mut huge.to_le_bytes().as_slice()).unwrap_err();
    assert_eq!(refused.kind(), io::ErrorKind::InvalidData);
}

#[test]
fn the_longest_that_a_guard_ever_sends_is_not_refused() {
    let stray = Stray {
        pid: i32::MAX,
        name: "\u{1}".repeat(15),
    };
    let strays = || vec![stray.clone(); NAMED_AT_MOST];
    let report = ExitReport {
        status: Some(i32::MAX),
        asked: true,
        oom: true,
        usage: Usage::default(),
        strays: Strays {
            ended: strays(),
            unkillable: strays(),
        },
        output_held: true,
        writing: vec![
            OpenFile {
                path: "\u{1}".repeat(1024),
                inode: Some(u64::MAX)
            };
            32
        ],
    };
    let longest = GuardMessage::Final(FinalMessage::Ended(report));
    let mut messages = MessageBuffer(longest.frame().unwrap());
    assert_eq!(messages.next().unwrap(), Some(longest));
}

#[test]
fn i4_more_words_than_any_kernel_takes_are_not_the_nodes_fault() {
    let mut spec = ProcessSpec {
        args: vec!["a".repeat(100 << 10).into(); 90],
        ..ProcessSpec::new("x")
    };
    assert!(matches!(
        encode_request(&spec, &options(), None),
        Err(StartError::Exec(Errno::E2BIG))
    ));
    spec.args.truncate(70);
    assert!(encode_request(&spec, &options(), None).is_ok());
}

#[test]
fn l10_guards_and_workers_of_each_version_understand_each_other() {
    let commands = [
        (b'c', GuardCommand::Terminate),
        (b'f', GuardCommand::Kill),
        (b't', GuardCommand::Release),
        (b'p', GuardCommand::Freeze),
        (b'r', GuardCommand::Thaw),
    ];
    for (byte, command) in commands {
        assert_eq!((command.byte(), GuardCommand::from_byte(byte)), (byte, Some(command)));
    }
    assert_eq!(GuardCommand::from_byte(b'z'), None);
    let usage = r#""usage":{"wall":{"secs":1,"nanos":0},"frozen":{"secs":0,"nanos":0},"cpu":{"secs":0,"nanos":5},"peak_rss":7}"#;
    let strays = r#""strays":{"ended":[],"unkillable":[]},"output_held":false,"writing":[]"#;
    let ended = format!(r#"{{"status":0,"asked":false,"oom":false,{usage},{strays}}}"#);
    let recorded = [
        r#"{"Started":{"pid":7}}"#.to_owned(),
        r#""CommandReceived""#.to_owned(),
        format!(r#"{{"Exited":{ended}}}"#),
        r#"{"LeftRunning":[{"pid":8,"name":"x"}]}"#.to_owned(),
        r#"{"NotFrozen":[{"pid":8,"name":"x"}]}"#.to_owned(),
        r#"{"Final":{"NotForked":{"errno":11}}}"#.to_owned(),
        r#"{"Final":{"NotStarted":{"errno":2}}}"#.to_owned(),
        r#"{"Final":"NotOnPath"}"#.to_owned(),
        format!(r#"{{"Final":{{"Ended":{ended}}}}}"#),
    ];
    for text in recorded {
        let later = frame(br#"{"OfALaterVersion":{"x":1}}"#).unwrap();
        // Before programs were frozen, no guard told how long.
        let earlier = text.replace(r#""frozen":{"secs":0,"nanos":0},"#, "");
        let frames = [
            later,
            frame(text.as_bytes()).unwrap(),
            frame(earlier.as_bytes()).unwrap(),
        ];
        let mut messages = MessageBuffer(frames.concat());
        for _ in 0..2 {
            let read = messages.next().unwrap().unwrap();
            assert_eq!(serde_json::to_string(&read).unwrap(), text);
        }
    }
    let mut messages = MessageBuffer(frame(b"no message").unwrap());
    assert!(messages.next().is_err());
}
