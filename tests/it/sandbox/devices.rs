// SPDX-License-Identifier: GPL-3.0-or-later

//! Which devices a task may open.

use nix::unistd::geteuid;
use serde_json::json;

use super::{Bed, no_landlock};
use test_bed::exec;
use test_needs::missing;

const PYTHON: &str = "/usr/bin/python3";

/// What cannot be opened, by its kind and numbers (devices.txt of the kernel).
const CLOSED: [(&str, &str); 15] = [
    ("loop0", "b 7 0"),
    ("sda", "b 8 0"),
    ("mapper/disk", "b 253 0"),
    ("sg0", "c 21 0"),
    ("nvme0", "c 241 0"),
    ("mem", "c 1 1"),
    ("kmsg", "c 1 11"),
    ("port", "c 1 4"),
    ("console", "c 5 1"),
    ("tty1", "c 4 1"),
    ("ttyS0", "c 4 64"),
    ("vcsa1", "c 7 129"),
    ("input/event0", "c 13 64"),
    ("uinput", "c 10 223"),
    ("snd/pcmC0D0c", "c 116 24"),
];
/// What can.
const OPEN: [(&str, &str); 9] = [
    ("null", "c 1 3"),
    ("zero", "c 1 5"),
    ("full", "c 1 7"),
    ("random", "c 1 8"),
    ("urandom", "c 1 9"),
    ("ptmx", "c 5 2"),
    ("dri/card0", "c 226 0"),
    ("kfd", "c 240 0"),
    ("nvidia0", "c 195 0"),
];

/// Executes its arguments where `/dev` has these devices and no other.
fn with_devices() -> String {
    let make =
        |(name, kind): &(&str, &str)| format!("mkdir -p $(dirname /dev/{name}) && mknod -m 666 /dev/{name} {kind} && ");
    let all: String = CLOSED.iter().chain(&OPEN).map(make).collect();
    format!(
        "mount --make-rprivate / && mount -t tmpfs dev /dev && {all} mkdir /dev/shm /dev/pts && \
         mount -t devpts -o newinstance,ptmxmode=666 pts /dev/pts && exec \"$@\""
    )
}

#[test]
fn n36_a_task_opens_no_device_with_a_content_and_all_that_it_needs() {
    if no_landlock() | missing("unshare") | missing("mount") | missing(PYTHON) {
        return;
    }
    if !geteuid().is_root() {
        test_needs::skipped("only root can make devices");
        return;
    }
    for rules in [
        &["presets = [\"blender\"]"][..],
        &["read = [\"SHARED\"]", "presets = [\"nvidia\"]"],
    ] {
        let bed = Bed::through(&["unshare", "--mount", "sh", "-c", &with_devices(), "sh"], rules);
        bed.farm.awake();
        let names = CLOSED.iter().chain(&OPEN).map(|(name, _)| *name);
        // There need not be such a device: whoever is let through hears that then.
        let script = "import errno, os, sys\n\
                      for name in sys.argv[1:]:\n    \
                        for mode in os.O_RDONLY, os.O_WRONLY:\n        \
                          try: os.close(os.open('/dev/' + name, mode | os.O_NONBLOCK | os.O_NOCTTY)); answer = 'open'\n        \
                          except OSError as error: answer = errno.errorcode[error.errno]\n        \
                          print(name, answer)\n\
                      open('/dev/shm/x', 'w').close(); os.openpty(); print('shared memory and a terminal')\n";
        let arguments: Vec<_> = ["-c", script].into_iter().chain(names).collect();
        let log = bed.completed(exec(PYTHON, json!(arguments)));
        let answers = |name: &str| {
            let start = format!("> {name} ");
            let answers: Vec<_> = log
                .lines()
                .filter_map(|line| Some(line.split_once(&start)?.1.to_owned()))
                .collect();
            assert_eq!(answers.len(), 2, "{name}: {log}");
            answers
        };
        for (name, _) in CLOSED {
            assert_eq!(answers(name), ["EACCES"; 2], "{rules:?}, {name}: {log}");
        }
        for (name, _) in OPEN {
            assert!(
                answers(name).iter().all(|answer| answer != "EACCES"),
                "{rules:?}, {name}: {log}"
            );
        }
        assert!(log.contains("> shared memory and a terminal"), "{log}");
        bed.node.finish();
    }
}
