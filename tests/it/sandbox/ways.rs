// SPDX-License-Identifier: GPL-3.0-or-later

//! What is on the way to files: links to the worker's own, folders that are mounted by whoever looks, and a `/proc` that shows
//! little.

use std::fs;
use std::os::unix::fs::symlink;

use test_bed::{as_user, bash, logged, own_user, start_through};
use test_needs::{missing, not_root};

use super::{Bed, User, no_landlock};

const PYTHON: &str = "/usr/bin/python3";

#[test]
fn n2_a_link_on_the_way_to_the_worker_s_files_stays_what_it_is() {
    if no_landlock() {
        return;
    }
    for rules in [&["write = [\"SHARED\"]"][..], &["presets = [\"blender\"]"]] {
        for user in User::all() {
            let mut bed = Bed::prepared(rules);
            let links = bed.at("shared/links");
            fs::create_dir(&links).unwrap();
            fs::create_dir(bed.at("shared/free")).unwrap();
            symlink(bed.node.folder.clone(), links.join("node")).unwrap();
            bed.node
                .environment
                .push(("FLAMENCO_HOME".into(), links.join("node/home").into()));
            if !bed.start(*user) {
                return;
            }
            let log = bed.completed(bash(&format!(
                "cd {}; rm node; mv node other; ln -s other new && mv -T new node; mv ../links ../free/; mkdir -p ../free/node/home; echo \
                 over; echo x > ../free/x && echo free",
                links.display()
            )));
            assert_eq!(fs::read_link(links.join("node")).unwrap(), bed.node.folder, "{log}");
            assert!(log.contains("> over") && log.contains("> free"), "{user:?}: {log}");
            let log = bed.failed(bash(&format!("echo > {}/new", links.display()))).1;
            let (_, named) = log.split_once("right in the folders above them: ").unwrap();
            assert!(named.contains(&links.display().to_string()), "{log}");
            bed.node.finish();
        }
    }
}

#[test]
fn n2_the_worker_s_own_program_is_not_replaced_and_copies_of_its_configuration_are_closed() {
    if no_landlock() {
        return;
    }
    for rules in [&["write = [\"SHARED\"]"][..], &["presets = [\"blender\"]"]] {
        for user in User::all() {
            // Root's tasks may write anything where nothing says otherwise.
            if rules[0].starts_with("presets") && *user == User::all()[0] && User::all().len() > 1 {
                continue;
            }
            let mut bed = Bed::prepared(rules);
            let program = bed.at("shared/programs/flamenco-worker");
            fs::create_dir(program.parent().unwrap()).unwrap();
            fs::copy(env!("CARGO_BIN_EXE_flamenco-worker"), &program).unwrap();
            for name in ["flamenco-worker.toml~", ".flamenco-worker.toml.swp"] {
                fs::write(bed.node.folder.join(name), "secret").unwrap();
            }
            if !bed.start_by(*user, &program) {
                return;
            }
            let log = bed.completed(bash(&format!(
                "cd {}; rm flamenco-worker; mv flamenco-worker x; mv ../programs ../p; cp /bin/true flamenco-worker; ./flamenco-worker \
                 -version; cat {}/*.toml~ {}/.*.swp; echo over",
                program.parent().unwrap().display(),
                bed.node.folder.display(),
                bed.node.folder.display()
            )));
            assert!(log.contains("> over") && !log.contains("> secret"), "{user:?}: {log}");
            // It can be run all the same.
            assert!(log.contains("> flamenco-worker "), "{user:?}: {log}");
            let same = fs::read(&program).unwrap() == fs::read(env!("CARGO_BIN_EXE_flamenco-worker")).unwrap();
            assert!(same, "{user:?}: {log}");
            bed.node.finish();
        }
    }
}

#[test]
fn n4_what_is_mounted_by_whoever_looks_is_open_to_the_first_task() {
    if no_landlock() | not_root() | missing("unshare") | missing(PYTHON) {
        return;
    }
    // Beside the worker's own files, where all is open entry by entry.
    for (kind, is_there) in [("answers", true), ("hangs", false)] {
        let mut bed = Bed::prepared(&["presets = [\"blender\"]"]);
        let auto = bed.at("auto");
        fs::create_dir(&auto).unwrap();
        let auto = auto.display().to_string();
        let automounter = [PYTHON, "-c", include_str!("automounter.py"), &auto, kind];
        start_through(&mut bed.node, ["unshare", "--mount"].into_iter().chain(automounter));
        bed.farm.awake();
        if is_there {
            assert!(bed.completed(bash(&format!("ls {auto}"))).contains("> there"));
        }
        for _ in 0..2 {
            bed.completed(bash("true"));
        }
        bed.node.finish();
    }
}

#[test]
fn n5_a_worker_that_sees_no_other_user_s_processes_hears_root_and_no_task() {
    if no_landlock() | not_root() | missing("unshare") | missing(PYTHON) {
        return;
    }
    let mut bed = Bed::prepared(&["presets = [\"blender\"]"]);
    let Some(user) = own_user(&bed.farm, &bed.node) else {
        return;
    };
    let proc = "mount -t proc -o hidepid=2 proc /proc && exec \"$@\"";
    let words = ["unshare", "--mount", "sh", "-c", proc, "-"].map(str::to_owned);
    start_through(&mut bed.node, words.into_iter().chain(as_user(user)));
    bed.farm.awake();
    let log = bed.completed(super::hostile::attempt(&bed, "pause the worker", 0));
    assert!(log.contains("> pause the worker: refused, "), "{log}");
    let pause = std::process::Command::new(env!("CARGO_BIN_EXE_flamenco-worker"))
        .arg("pause")
        .env("FLAMENCO_HOME", bed.node.home())
        .output()
        .unwrap();
    assert!(pause.status.success(), "{pause:?}");
    logged(&bed.node, "paused");
    bed.node.finish();
}
