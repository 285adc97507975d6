// SPDX-License-Identifier: GPL-3.0-or-later

//! Real Blender and FFmpeg, whose presets have all that they need.

use std::fs::{self, File};
use std::process::Command;
use std::time::{Duration, SystemTime};

use serde_json::json;
use standin_manager::{CommandSpec, JobSpec, TaskSpec};

use super::{Bed, User, no_landlock};
use test_bed::{bash, exec};
use test_needs::missing;

const RULES: [&str; 6] = [
    "programs = [\"blender\", \"ffmpeg\"]",
    "write = [\"SHARED\"]",
    "read = [\"SHARED\"]",
    "network = \"none\"",
    "presets = [\"blender\"]",
    "require = true",
];

/// A worker with all of the rules, whose user has a home directory in the folder of the farm, and a scene that does what
/// `script` says when it is loaded.
fn bed(user: User, more: &[&str], script: &str) -> Option<Bed> {
    let mut bed = Bed::prepared(&[&RULES[..], more].concat());
    let scene = bed.at("shared/scene.blend");
    let made = Command::new("blender")
        .args([
            "-b",
            "--factory-startup",
            "--python-expr",
            include_str!("scene.py"),
            "--",
        ])
        .args([&scene.display().to_string(), script])
        .output()
        .unwrap();
    assert!(scene.exists(), "{made:?}");
    // A file that has just changed may change again, and is not for a Blender that is kept.
    let long_ago = SystemTime::now() - Duration::from_secs(3600);
    File::options()
        .write(true)
        .open(&scene)
        .unwrap()
        .set_modified(long_ago)
        .unwrap();
    fs::create_dir(bed.node.folder.join("user")).unwrap();
    let user_home = bed.node.folder.join("user");
    bed.node.environment.push(("HOME".into(), user_home.into()));
    bed.start(user).then_some(bed)
}

fn render(bed: &Bed, frames: &[&str]) -> CommandSpec {
    let output = bed.at("shared/out/frame-####").display().to_string();
    let args = [&["--render-output", &output, "--render-format", "PNG"], frames].concat();
    let parameters = json!({
        "exe": "blender", "exeArgs": "-b -y", "blendfile": bed.at("shared/scene.blend"), "args": args,
    });
    CommandSpec::new("blender-render", parameters)
}

#[test]
fn n8_where_the_user_s_home_is_the_worker_s_the_presets_open_what_they_name_in_it() {
    if no_landlock() {
        return;
    }
    for write in [
        &[][..],
        &["write = [\"SHARED\"]"],
        &["write = [\"SHARED\"]", "read = [\"SHARED\"]"],
    ] {
        for user in User::all() {
            let mut bed = Bed::prepared(&[&["presets = [\"blender\", \"nvidia\"]"], write].concat());
            let home = bed.node.home();
            fs::create_dir_all(home.join(".config/blender")).unwrap();
            fs::write(home.join(".config/blender/userpref"), "own preferences\n").unwrap();
            bed.node.environment.push(("HOME".into(), home.into()));
            if !bed.start(*user) {
                return;
            }
            let log = bed.completed(bash(
                "cd; cat .config/blender/userpref; for cache in .cache/cycles .nv; do echo kept > $cache/x; cat $cache/x; done; \
                 cat flamenco-worker-credentials.yaml spool/* > $TMPDIR/x; echo > .config/blender/userpref; echo > .cache/x; \
                 ln -sfn / .cache/cycles; rm -r .cache/cycles; ls -d .cache/cycles; echo $(wc -c < $TMPDIR/x) stolen",
            ));
            let is_right = log.contains("> own preferences") && log.matches("> kept").count() == 2;
            assert!(
                is_right && log.contains("> .cache/cycles") && log.contains("> 0 stolen"),
                "{user:?}: {log}"
            );
            bed.node.finish();
        }
    }
}

#[test]
fn n8_blender_renders_with_nodes_scripts_and_a_cache_below_all_rules() {
    if no_landlock() | missing("blender") {
        return;
    }
    for user in User::all() {
        let script = "import os, bpy; open(bpy.path.abspath('//by-script'), 'w').close(); \
                      print('TMPDIR', open(os.path.join(os.environ['TMPDIR'], 'x'), 'w').name)";
        let Some(bed) = bed(*user, &[], script) else { return };
        let log = bed.completed(render(&bed, &["-s", "1", "-e", "3", "-a"]));
        for made in ["out/frame-0003.png", "nodes/node0003.png", "by-script"] {
            assert!(bed.at("shared").join(made).exists(), "{user:?}, {made}: {log}");
        }
        assert!(
            fs::read_dir(bed.at("shared/blendcache_scene")).unwrap().count() > 0,
            "{log}"
        );
        assert!(log.contains("> TMPDIR "), "{log}");
        bed.node.finish();
    }
}

#[test]
fn n8_a_hostile_scene_is_refused_and_the_log_names_the_rules() {
    if no_landlock() | missing("blender") {
        return;
    }
    let script = "import os, socket, subprocess\n\
        def attempt(name, act):\n  \
          try: act(); print('attempt', name, 'done')\n  \
          except OSError as error: print('attempt', name, 'refused', error)\n\
        here = os.path.dirname(os.path.dirname(os.path.abspath(__import__('bpy').data.filepath)))\n\
        attempt('write', lambda: open(here + '/outside/new', 'w'))\n\
        attempt('read', lambda: open(here + '/outside/kept').read())\n\
        attempt('credentials', lambda: open(here + '/node/home/flamenco-worker-credentials.yaml').read())\n\
        attempt('startup', lambda: open(os.path.expanduser('~/.config/startup.py'), 'w'))\n\
        attempt('shell', lambda: subprocess.run(['/bin/sh', '-c', 'true']))\n\
        attempt('socket', lambda: socket.socket(socket.AF_INET, socket.SOCK_STREAM))\n";
    let Some(bed) = bed(User::Ours, &[], script) else {
        return;
    };
    let log = bed.completed(render(&bed, &["--render-frame", "1"]));
    for name in ["write", "read", "credentials", "startup", "shell", "socket"] {
        assert!(log.contains(&format!("attempt {name} refused")), "{name}: {log}");
    }
    assert!(log.contains("this ran in the sandbox of this node"), "{log}");
    bed.nothing_has_changed();
    bed.node.finish();
}

#[test]
fn n8_a_blender_that_is_kept_renders_task_after_task_below_the_rules() {
    if no_landlock() | missing("blender") {
        return;
    }
    let script = "import os, tempfile; tempfile.NamedTemporaryFile().close()";
    let Some(bed) = bed(User::Ours, &["[warm]", "blender = true"], script) else {
        return;
    };
    let tasks = (1..=3).map(|frame| {
        TaskSpec::new(&format!("frame {frame}"))
            .kind("blender")
            .command(render(&bed, &["--render-frame", &frame.to_string()]))
    });
    let all = bed.farm.job(tasks.fold(JobSpec::new("job"), JobSpec::task));
    for (task, frame) in all.iter().zip(1..) {
        bed.farm.completed(task);
        assert!(
            bed.at(&format!("shared/out/frame-{frame:04}.png")).exists(),
            "{}",
            bed.farm.log(task)
        );
    }
    let last = all
        .iter()
        .map(|task| bed.farm.log(task))
        .find(|log| log.contains("it has rendered 3 tasks"));
    assert!(last.is_some(), "{}", bed.farm.log(&all[2]));
    bed.node.finish();
}

#[test]
fn n8_ffmpeg_makes_a_video_of_the_frames() {
    if no_landlock() | missing("ffmpeg") {
        return;
    }
    for user in User::all() {
        let mut bed = Bed::prepared(&RULES);
        if !bed.start(*user) {
            return;
        }
        let frames = bed.at("shared/frame-%04d.png").display().to_string();
        bed.completed(exec(
            "ffmpeg",
            json!([
                "-v",
                "error",
                "-f",
                "lavfi",
                "-i",
                "testsrc=size=64x48:rate=1:duration=3",
                frames
            ]),
        ));
        let video = bed.at("shared/video/film.mp4");
        let parameters = json!({
            "exe": "ffmpeg", "fps": 24, "inputGlob": bed.at("shared/frame-*.png"), "outputFile": video,
            "args": ["-c:v", "mpeg4"],
        });
        let log = bed.completed(CommandSpec::new("frames-to-video", parameters));
        assert!(fs::metadata(&video).is_ok_and(|file| file.len() > 0), "{log}");
        let elsewhere = bed.at("outside/new/film.mp4");
        let parameters = json!({
            "exe": "ffmpeg", "fps": 24, "inputGlob": bed.at("shared/frame-*.png"), "outputFile": elsewhere,
        });
        let (activity, _) = bed.failed(CommandSpec::new("frames-to-video", parameters));
        assert!(activity.contains("cannot make the output's folder"), "{activity}");
        bed.nothing_has_changed();
        bed.node.finish();
    }
}
