// SPDX-License-Identifier: GPL-3.0-or-later

//! Named pipes and devices where files are expected, put there by an operator's mistake or by a task: nothing waits for
//! them, nothing is filled by them, and a stop is obeyed. And what we write ourselves is for us alone.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use serde_json::json;

use test_bed::{Farm, Node, start_through};

fn pipe(path: &Path) {
    fs::remove_file(path).ok();
    mkfifo(path, Mode::S_IRUSR | Mode::S_IWUSR).unwrap();
}

/// Starts a node that is to leave with 78, and say what it found.
fn refused(mut node: Node, what: &str) -> Node {
    node.start();
    assert_eq!(node.ended(), 78, "{}", node.log());
    assert!(node.log().contains(what), "{}", node.log());
    node
}

#[test]
fn i22_a_pipe_or_device_in_the_place_of_an_operators_file_is_said() {
    let farm = Farm::new();
    let node = |name: &str, prepare: &dyn Fn(&mut Node, &Path)| {
        let mut node = farm.node(name);
        let path = node.folder.join("pipe");
        pipe(&path);
        fs::create_dir(node.home()).unwrap();
        prepare(&mut node, &path);
        node
    };
    let named = "it is a named pipe, not a file";
    refused(
        node("config", &|node, path| {
            node.arguments.extend(["--config".into(), path.into()]);
        }),
        named,
    );
    refused(
        node("device", &|node, _| {
            node.arguments.extend(["--config".into(), "/dev/zero".into()]);
        }),
        "it is a device, not a file",
    );
    refused(
        node("header", &|node, path| {
            let header = format!("headers = {{ X-Token = {{ file = \"{}\" }} }}", path.display());
            node.config.top.push(header);
        }),
        named,
    );
    refused(
        node("tls", &|node, path| {
            node.url = node.url.replace("http:", "https:");
            node.config
                .top
                .push(format!("tls = {{ ca_file = \"{}\" }}", path.display()));
        }),
        named,
    );
    refused(
        node("authorities", &|node, path| {
            node.url = node.url.replace("http:", "https:");
            node.environment.push(("SSL_CERT_FILE".into(), path.into()));
        }),
        named,
    );
    for file in ["flamenco-worker-credentials.yaml", "flamenco-worker.lock"] {
        refused(node(file, &|node, _| pipe(&node.home().join(file))), named);
    }
}

#[test]
fn i22_a_time_zone_that_is_no_file_is_utc_and_what_a_task_plants_in_the_home_stops_nobody() {
    let (farm, mut node) = Farm::with_node();
    node.environment.push(("TZ".into(), "/dev/zero".into()));
    farm.start(&mut node);
    assert!(node.log().lines().next().unwrap().contains("+00:00 "), "{}", node.log());
    let task = farm.script(
        "cd \"$FLAMENCO_HOME\" || exit 1; here=$(echo spool/????????-*)
         for name in machine resting spool/writable.new $here/report.json.new $here/log-000001 $here/log-000002; do
             rm -f $name; mkfifo $name || exit 1
         done
         seq 1 30000",
    );
    farm.completed(&task);
    let next = farm.script("echo next");
    farm.completed(&next);
    assert_eq!(node.stop(), 0, "{}", node.log());

    // What the next start finds.
    let spool = node.home().join("spool");
    let folder = |number: u32| spool.join(format!("3b241101-e2bb-4255-8caf-00000000000{number}"));
    for number in 1..=2 {
        fs::create_dir(folder(number)).unwrap();
    }
    pipe(&folder(1).join("task.json"));
    let assigned = json!({ "begun": 1, "task": { "uuid": "3b241101-e2bb-4255-8caf-000000000002", "job": "j" } });
    fs::write(folder(2).join("task.json"), assigned.to_string()).unwrap();
    pipe(&folder(2).join("log-000001"));
    pipe(&folder(3));
    pipe(&node.home().join("signed-on"));
    farm.start(&mut node);
    let last = farm.script("echo last");
    farm.completed(&last);
    let (code, _, _) = crate::history::history(&node, &[]);
    assert_eq!(code, 0);
    node.finish();
}

#[test]
fn what_we_write_is_for_us_alone_whatever_the_umask_and_a_home_open_to_others_is_said() {
    let (farm, mut node) = Farm::with_node();
    fs::create_dir(node.home()).unwrap();
    fs::set_permissions(node.home(), fs::Permissions::from_mode(0o777)).unwrap();
    start_through(&mut node, ["sh", "-c", "umask 0; exec \"$@\"", "sh"]);
    farm.awake();
    farm.completed(&farm.script("echo done"));
    node.until("the worker to say who can write to its home", || {
        node.log().contains("can be changed by others")
    });
    assert_eq!(node.stop(), 0);
    for (path, found) in everything_in(node.home()) {
        assert_eq!(found.mode() & 0o077, 0, "{}", path.display());
    }
    node.finish();
}

/// The home could not be used by its own user: exit 78.
#[test]
fn what_we_write_is_for_us_also_where_the_umask_denies_that() {
    let (farm, mut node) = Farm::with_node();
    start_through(&mut node, ["sh", "-c", "umask 0777; exec \"$@\"", "sh"]);
    farm.awake();
    farm.completed(&farm.script("umask | grep -qx 0077 && > made && cat made"));
    assert_eq!(node.stop(), 0);
    for (path, found) in everything_in(node.home()) {
        let wanted = if found.is_dir() { 0o700 } else { 0o600 };
        assert_eq!(found.mode() & 0o777, wanted, "{}", path.display());
    }
    node.finish();
}

/// All that is in a folder, at any depth.
fn everything_in(folder: PathBuf) -> Vec<(PathBuf, fs::Metadata)> {
    let (mut folders, mut found) = (vec![folder], Vec::new());
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap().flatten() {
            let metadata = entry.metadata().unwrap();
            if metadata.is_dir() {
                folders.push(entry.path());
            }
            found.push((entry.path(), metadata));
        }
    }
    found
}
