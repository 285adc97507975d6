// SPDX-License-Identifier: GPL-3.0-or-later

//! Each attempt of `hostile.py`, below rules that allow to write in one folder: none of them may succeed, and the worker
//! goes on.

use std::fs;
use std::net::TcpListener;
use std::process::Command;

use serde_json::json;
use standin_manager::CommandSpec;

use super::{Bed, User, no_landlock};
use test_bed::{bash, exec, start_through};
use test_needs::missing;

/// The system's own: those of a user may be closed to others.
const PYTHON: &str = "/usr/bin/python3";
/// The words of the C library.
const GERMAN: &str = "/usr/share/locale/de/LC_MESSAGES/libc.mo";
const RULES: [&str; 2] = ["write = [\"SHARED\"]", "presets = [\"blender\"]"];

/// The command line of an attempt.
pub(super) fn attempt(bed: &Bed, name: &str, port: u16) -> CommandSpec {
    let words = [bed.at("outside"), bed.at("shared"), bed.node.home()].map(|path| path.display().to_string());
    let numbers = [bed.node.pid().to_string(), port.to_string()];
    let mut all = vec!["-c", include_str!("hostile.py"), name];
    all.extend(words.iter().chain(&numbers).map(String::as_str));
    exec(PYTHON, json!(all))
}

/// Has tasks of each user try it below these rules; it must be refused, without a change to anything.
fn refused_by(rules: &[&str], name: &str) {
    if no_landlock() | missing(PYTHON) {
        return;
    }
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    Bed::each(rules, |bed, user| {
        let task = bed.farm.task(&[attempt(bed, name, port)]);
        bed.farm.completed(&task);
        let log = bed.farm.log(&task);
        assert!(log.contains(&format!("> {name}: refused, ")), "{user:?}: {log}");
        bed.nothing_has_changed();
        // The worker takes the next one, and stops as ever.
        bed.completed(bash("true"));
    });
}

macro_rules! refused {
    ($($test:ident: $name:literal $(by $rules:expr)?;)*) => {
        $(
            #[test]
            fn $test() {
                refused_by([$(&$rules[..],)? &RULES[..]][0], $name);
            }
        )*
    };
}

const NO_NETWORK: [&str; 1] = ["network = \"none\""];
/// Only the worker's own files are closed.
const OWN_FILES: [&str; 1] = ["presets = [\"blender\"]"];

refused! {
    n4_no_file_is_created_outside: "create";
    n4_no_file_is_written_outside: "write";
    n4_no_file_is_appended_to_outside: "append";
    n4_no_file_is_truncated_outside: "truncate";
    n4_no_file_is_renamed_to_outside: "rename in";
    n4_no_file_is_renamed_from_outside: "rename out";
    n4_no_file_is_renamed_outside: "rename there";
    n4_no_file_is_linked_to_outside: "link in";
    n4_no_file_is_linked_from_outside: "link out";
    n4_no_symbolic_link_is_made_outside: "symlink";
    n4_no_folder_is_made_outside: "mkdir";
    n4_no_folder_is_removed_outside: "rmdir";
    n4_no_file_is_removed_outside: "unlink";
    n4_no_pipe_is_made_outside: "mkfifo";
    n4_no_socket_is_made_outside: "bind";
    n4_no_device_is_made_outside: "mknod";
    n4_no_disk_is_made_inside: "mknod inside";
    n4_no_descriptor_is_opened_anew_for_writing: "own descriptor";
    n4_no_descriptor_of_a_folder_leads_outside: "folder descriptor";
    n4_no_link_that_is_exchanged_ten_thousand_times_leads_outside: "exchanged link";
    n4_nothing_is_mounted_inside: "mount";
    n2_credentials_are_not_read: "credentials" by OWN_FILES;
    n2_credentials_are_not_read_through_the_worker_s_root: "credentials by the worker" by OWN_FILES;
    n2_credentials_are_not_linked: "credentials by a link" by OWN_FILES;
    n2_the_configuration_is_not_read: "configuration" by OWN_FILES;
    n2_the_configuration_is_not_written: "write the configuration" by OWN_FILES;
    n2_the_home_is_not_moved: "move the home" by OWN_FILES;
    n2_the_home_is_not_renamed: "rename the home" by OWN_FILES;
    n5_the_worker_s_environment_is_not_read: "environment";
    n5_the_worker_s_descriptors_are_not_read: "descriptors";
    n5_the_worker_s_memory_is_not_read: "memory of the worker";
    n5_the_guard_s_memory_is_not_read: "memory of the guard";
    n5_the_worker_is_not_signalled: "signal the worker";
    n5_the_worker_is_not_stopped: "stop the worker";
    n5_the_guard_is_not_killed: "signal the guard";
    n5_the_worker_is_not_signalled_by_a_descriptor: "signal by a descriptor";
    n5_the_worker_is_not_signalled_by_the_kernel: "signal by io";
    n5_the_worker_is_not_traced: "trace the worker";
    n5_the_guard_is_not_traced: "trace the guard";
    n5_the_worker_s_limits_stay: "limit the worker";
    n5_the_guard_s_limits_stay: "limit the guard";
    n5_the_worker_keeps_its_share_of_the_processor: "slow the worker down";
    n5_no_user_is_slowed_down: "slow a user down";
    n5_the_worker_is_not_paused: "pause the worker";
    n5_the_worker_is_not_reloaded: "reload the worker";
    n5_the_worker_s_status_is_not_told: "its status";
    n36_nothing_is_changed_in_control_groups: "leave the group" by OWN_FILES;
    n36_the_kernel_is_not_told_what_to_run: "handler of core files" by OWN_FILES;
    n36_the_kernel_is_not_set_up_otherwise: "helper of devices" by OWN_FILES;
    n6_without_a_network_no_program_of_this_machine_is_asked: "unix" by NO_NETWORK;
    n6_without_a_network_no_pair_of_sockets_speaks_to_others: "pair of datagrams" by NO_NETWORK;
    n6_without_a_network_no_pair_of_raw_sockets_does_so_either: "pair of raw sockets" by NO_NETWORK;
    n6_without_a_network_nothing_is_connected_to: "tcp" by NO_NETWORK;
    n6_without_a_network_no_datagram_is_sent: "udp" by NO_NETWORK;
    n6_without_a_network_there_are_no_raw_sockets: "raw" by NO_NETWORK;
}

#[test]
fn n6_a_port_that_is_listed_is_reached_and_no_other_one() {
    if no_landlock() | missing(PYTHON) {
        return;
    }
    let listeners = [0, 0].map(|port| TcpListener::bind(("127.0.0.1", port)).unwrap());
    let [open, closed] = listeners
        .each_ref()
        .map(|listener| listener.local_addr().unwrap().port());
    let rule = format!("network = [{open}]");
    let Some(bed) = Bed::new(User::Ours, &[&rule]) else {
        return;
    };
    let said = |name: &str, port: u16| bed.completed(attempt(&bed, name, port));
    assert!(said("tcp", open).contains("> tcp: done"));
    assert!(said("tcp", closed).contains("> tcp: refused, EACCES"));
    for name in ["udp", "first words", "listen"] {
        assert!(
            said(name, closed).contains(&format!("> {name}: refused, EACCES")),
            "{name}"
        );
    }
    bed.node.finish();
    // No port at all, and files all the same.
    let Some(bed) = Bed::new(User::Ours, &["network = []"]) else {
        return;
    };
    assert!(bed.completed(attempt(&bed, "unix", open)).contains("> unix: done"));
    assert!(
        bed.completed(attempt(&bed, "tcp", open))
            .contains("> tcp: refused, EACCES")
    );
    bed.node.finish();
    // Names are looked up by datagrams.
    let Some(bed) = Bed::new(User::Ours, &["network = [53]"]) else {
        return;
    };
    assert!(bed.completed(attempt(&bed, "udp", open)).contains("> udp: done"));
    assert!(
        bed.completed(attempt(&bed, "raw", open))
            .contains("> raw: refused, EACCES")
    );
    bed.node.finish();
}

#[test]
fn n5_another_worker_of_the_same_user_does_not_hear_a_task() {
    if no_landlock() | missing(PYTHON) {
        return;
    }
    let [one, other] = [0; 2].map(|_| Bed::new(User::Ours, &OWN_FILES).unwrap());
    for name in ["pause the worker", "reload the worker", "its status"] {
        let log = one.completed(attempt(&other, name, 0));
        assert!(log.contains(&format!("> {name}: refused, ")), "{log}");
    }
    other.completed(bash("true"));
    one.node.finish();
    other.node.finish();
}

#[test]
fn n2_what_is_mounted_at_two_places_is_closed_at_both() {
    if no_landlock() | test_needs::not_root() | missing("unshare") | missing(PYTHON) {
        return;
    }
    let mut bed = Bed::prepared(&OWN_FILES);
    let [node, elsewhere] = ["node", "outside/folder"].map(|name| bed.at(name).display().to_string());
    let twice = format!("mount --bind {node} {elsewhere} && exec \"$@\"");
    start_through(&mut bed.node, ["unshare", "--mount", "sh", "-c", &twice, "-"]);
    bed.farm.awake();
    for name in ["credentials", "credentials elsewhere"] {
        let log = bed.completed(attempt(&bed, name, 0));
        assert!(log.contains(&format!("> {name}: refused, EACCES")), "{log}");
    }
    bed.node.finish();
}

#[test]
fn n4_a_link_that_a_task_has_left_opens_nothing_to_the_next_one() {
    if no_landlock() {
        return;
    }
    let rules = [
        "write = [\"SHARED\"]",
        "read = [\"SHARED/assets\"]",
        "presets = [\"blender\"]",
    ];
    for user in User::all() {
        let mut bed = Bed::prepared(&rules);
        let [shared, outside] = ["shared", "outside"].map(|name| bed.at(name));
        bed.node
            .environment
            .push(("XDG_CACHE_HOME".into(), shared.join("cache").into()));
        fs::create_dir(shared.join("assets")).unwrap();
        if !bed.start(*user) {
            return;
        }
        let (shared, outside) = (shared.display(), outside.display());
        let log = bed.completed(bash(&format!("cd {shared}; echo x > cache/cycles/x && echo kept")));
        assert!(log.contains("> kept"), "{user:?}: {log}");
        bed.completed(bash(&format!(
            "cd {shared}; rm -r cache/* assets; ln -s {outside} cache/cycles; ln -s {outside} assets"
        )));
        let log = bed.completed(bash(&format!(
            "cat {shared}/assets/kept; echo > {outside}/kept; echo > {shared}/cache/cycles/new; echo over"
        )));
        assert!(
            log.matches("Permission denied").count() == 3 && !log.contains("> kept"),
            "{user:?}: {log}"
        );
        // Nor does the worker make a folder there.
        bed.completed(bash(&format!("cd {shared}; rm -r cache; ln -s {outside} cache")));
        bed.completed(bash("true"));
        bed.nothing_has_changed();
        bed.node.finish();
    }
}

#[test]
fn n4_what_is_allowed_goes_on_working() {
    if no_landlock() {
        return;
    }
    Bed::each(&RULES, |bed, user| {
        let shared = bed.at("shared").display().to_string();
        let script = format!(
            "set -e; cd {shared}; mkdir a b; echo x > a/x; mv a/x b/x; ln b/x a/y; ln -s y a/z; mkfifo p; echo > /dev/null; \
             echo y > $TMPDIR/y; mv $TMPDIR/y .; echo > /dev/shm/$$; rm /dev/shm/$$; cat /proc/self/stat > stat; rm -r a p; \
             (sleep 100 & kill $!; wait $!) || echo all of it"
        );
        let log = bed.completed(bash(&script));
        assert!(log.contains("> all of it"), "{user:?}: {log}");
    });
}

#[test]
fn n4_a_write_that_was_refused_is_told_with_the_rule() {
    if no_landlock() {
        return;
    }
    let bed = Bed::new(User::Ours, &RULES).unwrap();
    let config = bed.node.folder.join("flamenco-worker.toml");
    let rule = format!(
        "write = [\"{}\"] of [sandbox] in {}",
        bed.at("shared").display(),
        config.display()
    );
    let script = format!("echo > {}", bed.at("outside/new").display());
    let (activity, log) = bed.failed(bash(&script));
    assert!(
        activity.contains("code 1; perhaps the sandbox of this node refused something"),
        "{activity}"
    );
    assert!(
        log.contains("this ran in the sandbox of this node") && log.contains(&rule),
        "{log}"
    );
    // Also where the program goes on, and not where it was not refused anything.
    let log = bed.completed(bash(&format!("({script}); true")));
    assert!(log.contains(&rule), "{log}");
    assert!(!bed.completed(bash("true")).contains("sandbox"));
    bed.node.finish();
}

#[test]
fn n4_a_refusal_in_the_language_of_the_node_is_told_with_the_rule() {
    if no_landlock()
        | ["localedef", "/usr/share/i18n/locales/de_DE", GERMAN]
            .map(missing)
            .contains(&true)
    {
        return;
    }
    let locales = tempfile::tempdir().unwrap();
    let made = Command::new("localedef")
        .args(["-i", "de_DE", "-f", "UTF-8"])
        .arg(locales.path().join("de_DE.UTF-8"))
        .status();
    assert!(made.unwrap().success());
    let place = format!("LOCPATH={}", locales.path().display());
    let bed = Bed::through(&["env", "-u", "LANGUAGE", "LC_ALL=de_DE.UTF-8", &place], &RULES);
    bed.farm.awake();
    let log = bed.completed(bash(&format!("(echo > {}); true", bed.at("outside/new").display())));
    assert!(log.contains(": Keine Berechtigung"), "{log}");
    assert!(log.contains("this ran in the sandbox of this node"), "{log}");
    assert!(!bed.completed(bash("true")).contains("sandbox"));
    bed.node.finish();
}

#[test]
fn n5_root_s_tasks_have_no_capability_but_to_write_in_folders_of_others() {
    if test_needs::not_root() {
        return;
    }
    let bed = Bed::new(User::Ours, &RULES).unwrap();
    let log = bed.completed(bash("grep -E '^(Cap|NoNewPrivs)' /proc/self/status; exec true"));
    for line in [
        "CapPrm:\t0000000000000002",
        "CapEff:\t0000000000000002",
        "CapBnd:\t0000000000000002",
        "NoNewPrivs:\t1",
    ] {
        assert!(log.contains(line), "{line}: {log}");
    }
    bed.node.finish();
}
