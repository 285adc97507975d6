// SPDX-License-Identifier: GPL-3.0-or-later

//! Each of the eight commands, for real: real files, real FFmpeg, real Blender.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use serde_json::json;
use standin_manager::{CommandSpec, JobSpec, TaskSpec};

use test_bed::{Farm, Node, exec};
use test_needs::missing;

fn farm_with_node() -> (Farm, Node) {
    let (farm, node) = Farm::with_awake_node();
    (farm, node)
}

fn command(name: &str, parameters: serde_json::Value) -> CommandSpec {
    CommandSpec::new(name, parameters)
}

/// Runs a command that must fail; returns the text behind `Failed: `.
fn failure(farm: &Farm, command: CommandSpec) -> String {
    let task = farm.task(&[command]);
    farm.failed(&task);
    let log = farm.log(&task);
    let failed = log
        .lines()
        .find_map(|line| line.strip_prefix("Failed: "))
        .unwrap_or_else(|| panic!("{log}"))
        .to_owned();
    assert!(farm.manager.task(&task).unwrap().activity.starts_with("Failed: "));
    failed
}

/// A small picture, made by FFmpeg.
fn picture(path: &Path, seconds: f64) {
    let source = format!("testsrc=size=64x48:rate=1:duration=20,trim=start={seconds}");
    let status = std::process::Command::new("ffmpeg")
        .args(["-v", "error", "-y", "-f", "lavfi", "-i", &source, "-frames:v", "1"])
        .arg(path)
        .status()
        .unwrap();
    assert!(status.success());
}

#[test]
fn echo_logs_its_message_and_counts_as_a_step() {
    let (farm, node) = farm_with_node();
    let task = farm.task(&[command("echo", json!({ "message": "say \"hi\"\nthere" }))]);
    let done = farm.completed(&task);
    assert_eq!((done.steps_completed, done.activity.as_str()), (1, "Completed"));
    assert!(
        farm.log(&task).contains(r#"echo: "say \"hi\"\nthere""#),
        "{}",
        farm.log(&task)
    );
    assert!(failure(&farm, command("echo", json!({}))).contains("message"));
    node.finish();
}

#[test]
fn sleep_sleeps_whole_seconds_and_says_so() {
    let (farm, node) = farm_with_node();
    let task = farm.task(&[command("sleep", json!({ "duration_in_seconds": 1.9 }))]);
    farm.completed(&task);
    assert!(farm.log(&task).contains("slept 1s"), "{}", farm.log(&task));
    assert!(failure(&farm, command("sleep", json!({ "duration_in_seconds": "3" }))).contains("duration_in_seconds"));
    node.finish();
}

#[test]
fn exec_passes_its_arguments_on_as_they_were_meant() {
    let (farm, node) = farm_with_node();
    let task = farm.task(&[exec(
        "printf",
        json!(["%s\\n", "a b", 24, 5_000_000, 23.976_023_976, true, "", "ü"]),
    )]);
    farm.completed(&task);
    let log = farm.log(&task);
    let printed: Vec<_> = log
        .lines()
        .filter_map(|line| line.split_once(" > ").map(|(_, text)| text))
        .collect();
    assert_eq!(printed, ["a b", "24", "5000000", "23.976023976", "true", "", "ü"]);
    assert!(
        log.contains("going to run:\n\n    printf '%s\\n' 'a b' 24 5000000 23.976023976 true '' 'ü'\n\n"),
        "{log}"
    );
    assert_eq!(
        failure(&farm, exec("sh", json!(["-c", "exit 42"]))),
        "command exited abnormally with code 42"
    );
    let killed = failure(&farm, exec("sh", json!(["-c", "kill -SEGV $$"])));
    assert!(killed.contains("SIGSEGV"), "{killed}");
    node.finish();
}

#[test]
fn an_unknown_command_fails_and_what_came_before_it_has_run() {
    let (farm, node) = farm_with_node();
    let task = farm.task(&[
        exec("touch", json!(["first"])),
        command("Echo", json!({})),
        exec("touch", json!(["third"])),
    ]);
    farm.failed(&task);
    assert!(farm.log(&task).contains(r#"unknown command: "Echo""#));
    assert!(node.folder.join("first").exists() && !node.folder.join("third").exists());
    node.finish();
}

#[test]
fn a_task_without_commands_is_completed() {
    let (farm, node) = farm_with_node();
    let task = farm.task(&[]);
    farm.completed(&task);
    let task = farm.task(&[command("exec", serde_json::Value::Null)]);
    farm.failed(&task);
    node.finish();
}

#[test]
fn make_directory_makes_its_parents_too_and_refuses_a_file() {
    let (farm, node) = farm_with_node();
    let path = node.folder.join("a/b/c");
    let task = farm.task(&[
        command("make-directory", json!({ "path": path })),
        command("make-directory", json!({ "path": path })),
    ]);
    farm.completed(&task);
    assert!(path.is_dir());
    std::fs::write(node.folder.join("file"), "").unwrap();
    failure(
        &farm,
        command("make-directory", json!({ "path": node.folder.join("file") })),
    );
    node.finish();
}

#[test]
fn move_directory_keeps_what_was_there_and_refuses_what_would_lose_data() {
    let (farm, node) = farm_with_node();
    let (src, dest) = (node.folder.join("src"), node.folder.join("dest"));
    for (folder, content) in [(&src, "new"), (&dest, "old")] {
        std::fs::create_dir(folder).unwrap();
        std::fs::write(folder.join("file"), content).unwrap();
    }
    let task = farm.task(&[command("move-directory", json!({ "src": src, "dest": dest }))]);
    farm.completed(&task);
    assert_eq!(std::fs::read_to_string(dest.join("file")).unwrap(), "new");
    let kept = std::fs::read_dir(&node.folder)
        .unwrap()
        .flatten()
        .find(|entry| entry.file_name().to_string_lossy().starts_with("dest-2"));
    assert_eq!(
        std::fs::read_to_string(kept.unwrap().path().join("file")).unwrap(),
        "old"
    );
    failure(&farm, command("move-directory", json!({ "src": dest, "dest": dest })));
    failure(
        &farm,
        command("move-directory", json!({ "src": dest, "dest": dest.join("below") })),
    );
    assert_eq!(std::fs::read_to_string(dest.join("file")).unwrap(), "new");
    failure(&farm, command("move-directory", json!({ "src": src, "dest": dest })));
    node.finish();
}

#[test]
fn copy_file_copies_once_and_never_overwrites() {
    let (farm, node) = farm_with_node();
    let (src, dest) = (node.folder.join("src"), node.folder.join("new/dest"));
    std::fs::write(&src, "content").unwrap();
    std::fs::set_permissions(&src, std::fs::Permissions::from_mode(0o600)).unwrap();
    let task = farm.task(&[command("copy-file", json!({ "src": src, "dest": dest }))]);
    farm.completed(&task);
    assert_eq!(std::fs::read_to_string(&dest).unwrap(), "content");
    std::fs::write(&src, "changed").unwrap();
    assert!(failure(&farm, command("copy-file", json!({ "src": src, "dest": dest }))).contains("exists"));
    assert_eq!(std::fs::read_to_string(&dest).unwrap(), "content");
    assert!(failure(&farm, command("copy-file", json!({ "src": "relative", "dest": dest }))).contains("absolute"));
    node.finish();
}

#[test]
fn frames_to_video_makes_a_video_at_the_right_speed_in_a_directory_it_makes() {
    if missing("ffmpeg") {
        return;
    }
    let (farm, node) = farm_with_node();
    let frames = node.folder.join("frames");
    std::fs::create_dir(&frames).unwrap();
    for number in 1..=12 {
        picture(&frames.join(format!("{number:06}.png")), f64::from(number));
    }
    let video = node.folder.join("out/video.mp4");
    let parameters = json!({
        "exe": "ffmpeg", "fps": 24, "inputGlob": frames.join("*.png"), "outputFile": video,
        "args": ["-c:v", "h264", "-crf", "20", "-g", "18", "-vf", "pad=ceil(iw/2)*2:ceil(ih/2)*2", "-pix_fmt", "yuv420p", "-r", 24, "-y"],
    });
    let job = JobSpec::new("video").task(
        TaskSpec::new("preview-video")
            .kind("ffmpeg")
            .command(command("frames-to-video", parameters)),
    );
    let task = farm.job(job).remove(0);
    farm.completed(&task);
    let probe = std::process::Command::new("ffprobe")
        .args([
            "-v",
            "error",
            "-count_frames",
            "-show_entries",
            "stream=nb_read_frames,r_frame_rate",
            "-of",
            "csv=p=0",
        ])
        .arg(&video)
        .output()
        .unwrap();
    assert_eq!(
        String::from_utf8_lossy(&probe.stdout).trim(),
        "24/1,12",
        "{}",
        farm.log(&task)
    );
    node.finish();
}

/// A scene of two objects, with whatever this Blender renders quickest.
const SCENE: &str = "import bpy; s = bpy.context.scene; r = s.render; r.engine = 'BLENDER_WORKBENCH'; \
                     r.resolution_x = 64; r.resolution_y = 48; r.resolution_percentage = 100; r.use_file_extension = True";

#[test]
fn blender_render_renders_frames_counts_them_and_shows_the_last_picture() {
    if missing("blender") {
        return;
    }
    let (farm, node) = farm_with_node();
    let output = node.folder.join("render/######");
    let parameters = json!({
        "exe": "blender", "exeArgs": "-b -y", "argsBefore": [], "blendfile": "",
        "args": ["--python-expr", SCENE, "--render-output", output, "--render-format", "PNG", "--render-frame", "1..3"],
    });
    let render = command("blender-render", parameters).steps(3);
    let task = farm
        .job(JobSpec::new("render").task(TaskSpec::new("render-1-3").kind("blender").command(render)))
        .remove(0);
    let done = farm.completed(&task);
    assert_eq!(done.steps_completed, 3);
    for number in 1..=3 {
        assert!(node.folder.join(format!("render/{number:06}.png")).is_file());
    }
    let told: Vec<_> = farm
        .requests(standin_manager::Endpoint::TaskUpdate)
        .iter()
        .filter_map(|seen| seen.json()?["steps_completed"].as_u64())
        .collect();
    assert_eq!(
        told.last(),
        Some(&3),
        "the steps were counted from Blender's own lines: {told:?}"
    );
    farm.wait("a picture", |farm| farm.pictures(&task).next().map(|_| ()));
    let shown = farm.manager.last_rendered(&task);
    assert!(shown.iter().all(|picture| picture.mime == "image/jpeg"));
    node.finish();
}

#[test]
fn a_picture_larger_than_the_page_is_scaled_and_one_that_is_none_is_passed_over() {
    if missing("ffmpeg") {
        return;
    }
    let (farm, node) = farm_with_node();
    let large = node.folder.join("large.png");
    let made = std::process::Command::new("ffmpeg")
        .args([
            "-v",
            "error",
            "-y",
            "-f",
            "lavfi",
            "-i",
            "testsrc=size=3840x1000",
            "-frames:v",
            "1",
        ])
        .arg(&large)
        .status()
        .unwrap();
    assert!(made.success());
    std::fs::write(node.folder.join("broken.png"), b"\x89PNG\r\n\x1a\nnonsense").unwrap();
    let renderer = node.folder.join("renderer");
    std::fs::write(&renderer, "#!/bin/sh\necho \"Saved: '$1'\"\n").unwrap();
    std::fs::set_permissions(&renderer, std::fs::Permissions::from_mode(0o755)).unwrap();
    let render = |name: &str| {
        let parameters = json!({ "exe": renderer, "blendfile": "", "args": [name] });
        TaskSpec::new(name)
            .kind("blender")
            .command(command("blender-render", parameters))
    };
    let job = JobSpec::new("render")
        .task(render("broken.png"))
        .task(render("large.png"));
    let tasks = farm.job(job);
    farm.completed(&tasks[1]);
    farm.wait("a picture", |farm| farm.pictures(&tasks[1]).next().map(|_| ()));
    let shown = farm.manager.last_rendered(&tasks[1]).remove(0);
    let size = jpeg_size(&shown.bytes);
    assert_eq!(size, (1920, 500));
    assert!(farm.manager.last_rendered(&tasks[0]).is_empty());
    farm.completed(&tasks[0]);
    node.finish();
}

/// Width and height from a JPEG's frame header (ITU-T T.81, B.2.2).
fn jpeg_size(bytes: &[u8]) -> (u16, u16) {
    let mut at = 2;
    loop {
        let (marker, length) = (bytes[at + 1], u16::from_be_bytes([bytes[at + 2], bytes[at + 3]]));
        if matches!(marker, 0xC0..=0xC2) {
            let word = |offset: usize| u16::from_be_bytes([bytes[at + offset], bytes[at + offset + 1]]);
            return (word(7), word(5));
        }
        at += 2 + usize::from(length);
    }
}

/// Moves a folder with two files to another file system, which does not take their modes.
fn moved_without_modes(farm: &Farm, src: &Path, dest: &Path) {
    std::fs::create_dir_all(src.join("sub")).unwrap();
    for name in ["one", "sub/two"] {
        std::fs::write(src.join(name), name).unwrap();
        std::fs::set_permissions(src.join(name), PermissionsExt::from_mode(0o751)).unwrap();
    }
    let task = farm.task(&[command("move-directory", json!({ "src": src, "dest": dest }))]);
    farm.completed(&task);
    let log = farm.log(&task);
    assert_eq!(log.matches("could not be set there").count(), 1, "{log}");
    for name in ["one", "sub/two"] {
        assert_eq!(std::fs::read_to_string(dest.join(name)).unwrap(), name);
    }
    assert!(!src.exists());
}

#[test]
fn i17_storage_that_refuses_modes_and_times_takes_the_data_and_that_is_told_once() {
    let (farm, node) = farm_with_node();
    let Ok(there) = tempfile::tempdir_in("/dev/shm") else {
        return test_needs::skipped("there is no /dev/shm");
    };
    let refuse = "fchmod,utimensat:error=EPERM";
    let Some(strace) = test_bed::Strace::attach(&node, node.pid(), refuse, true) else {
        return;
    };
    moved_without_modes(&farm, &node.folder.join("src"), &there.path().join("dest"));
    strace.detach();
    node.finish();
}

#[test]
fn i17_fat_takes_the_data_and_what_it_has_not_is_told_once() {
    if test_needs::not_root() || missing("mkfs.vfat") || !crate::small_disk::own_mounts() {
        return;
    }
    let farm = Farm::new();
    let (image, storage) = (farm.folder.path().join("image"), farm.folder.path().join("fat"));
    std::fs::create_dir(&storage).unwrap();
    std::fs::File::create(&image).unwrap().set_len(16 << 20).unwrap();
    let run = |program: &str, arguments: &[&Path]| {
        let ran = std::process::Command::new(program).args(arguments).output().unwrap();
        ran.status.success()
    };
    assert!(run("mkfs.vfat", &[&image]));
    if !run("mount", &[Path::new("-oloop"), &image, &storage]) {
        return test_needs::skipped("this kernel mounts no FAT from a file");
    }
    let node = farm.awake_node();
    moved_without_modes(&farm, &node.folder.join("src"), &storage.join("dest"));
    node.finish();
    assert!(run("umount", &[&storage]));
}
