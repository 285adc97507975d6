// SPDX-License-Identifier: GPL-3.0-or-later

//! The "last rendered" view: of whatever a task writes, and of nothing else.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::json;
use standin_manager::{CommandSpec, JobSpec, TaskSpec, Uploaded};

use test_bed::{Farm, Node, logged};
use test_needs::missing;

/// Blender writes the same picture in each format, and goes on when the last one has been seen.
const FORMATS: &str = r#"
import array, bpy, os, time
folder = os.environ["PICTURES"]
scene = bpy.context.scene
render, settings = scene.render, scene.render.image_settings
render.engine = 'BLENDER_WORKBENCH'
render.resolution_x, render.resolution_y, render.resolution_percentage = 64, 48, 100
scene.view_settings.view_transform = 'Standard'
image = bpy.data.images.new("halves", 64, 48, alpha=True, float_buffer=True)
image.pixels.foreach_set(array.array('f', ((0.5, 0.1, 0.02, 1.0) * 32 + (0.0, 0.25, 0.9, 1.0) * 32) * 48))
scene.use_nodes = True
tree = scene.node_tree
tree.nodes.clear()
source, output = tree.nodes.new("CompositorNodeImage"), tree.nodes.new("CompositorNodeComposite")
source.image = image
tree.links.new(source.outputs[0], output.inputs[0])
for format in os.environ["FORMATS"].split():
    settings.file_format = format
    settings.color_mode = 'RGB'
    render.filepath = os.path.join(folder, format)
    bpy.ops.render.render(write_still=True)
    while not os.path.exists(os.path.join(folder, format + ".seen")):
        time.sleep(0.01)
"#;

/// What Blender 3.4 calls the formats of stills.
const STILLS: [&str; 14] = [
    "PNG",
    "JPEG",
    "BMP",
    "IRIS",
    "TARGA",
    "TARGA_RAW",
    "HDR",
    "TIFF",
    "OPEN_EXR",
    "OPEN_EXR_MULTILAYER",
    "CINEON",
    "DPX",
    "JPEG2000",
    "WEBP",
];

/// What the log says of a file that is none.
const NO_PICTURE: &str = "no \"last rendered\" picture";

/// The pictures of a task, once there are so many.
fn pictures(farm: &Farm, task: &str, count: usize) -> Vec<Uploaded> {
    farm.wait("a picture", |farm| {
        let found: Vec<_> = farm.pictures(task).cloned().collect();
        (found.len() >= count).then_some(found)
    })
}

fn pixel(picture: &Uploaded, x: u32, y: u32) -> [u8; 3] {
    image::load_from_memory(&picture.bytes)
        .unwrap()
        .into_rgb8()
        .get_pixel(x, y)
        .0
}

fn is_near(pixel: [u8; 3], wanted: [u8; 3]) -> bool {
    pixel.iter().zip(wanted).all(|(one, other)| one.abs_diff(other) <= 8)
}

#[test]
fn j23_each_still_format_of_blender_gives_a_picture_in_its_colours() {
    if missing("blender") {
        return;
    }
    let (farm, node) = Farm::with_awake_node();
    let folder = node.folder.join("pictures");
    fs::create_dir(&folder).unwrap();
    let script = node.folder.join("formats.py");
    fs::write(&script, FORMATS).unwrap();
    let renderer = node.folder.join("renderer");
    let environment = format!("PICTURES='{}' FORMATS='{}'", folder.display(), STILLS.join(" "));
    let run = format!(
        "#!/bin/sh\n{environment} exec blender -b --factory-startup -noaudio --python-exit-code 1 -P '{}'\n",
        script.display()
    );
    fs::write(&renderer, run).unwrap();
    fs::set_permissions(&renderer, PermissionsExt::from_mode(0o755)).unwrap();
    let command = CommandSpec::new("blender-render", json!({ "exe": renderer, "blendfile": "" }));
    let task = farm
        .job(JobSpec::new("render").task(TaskSpec::new("formats").kind("blender").command(command)))
        .remove(0);
    for (count, format) in (1..).zip(STILLS) {
        let shown = pictures(&farm, &task, count).pop().unwrap();
        let (brown, blue) = (pixel(&shown, 10, 20), pixel(&shown, 54, 20));
        assert!(
            is_near(brown, [188, 90, 39]) && is_near(blue, [0, 137, 244]),
            "{format}: {brown:?}, {blue:?}"
        );
        fs::write(folder.join(format!("{format}.seen")), "").unwrap();
    }
    farm.completed(&task);
    node.finish();
}

/// A task that runs this script with `Saved: 'NAME'` as `saved NAME`.
fn render(farm: &Farm, node: &Node, name: &str, script: &str) -> String {
    let renderer = node.folder.join(name);
    let head = "#!/bin/bash\ncd \"${0%/*}\"\nsaved() { printf \"Saved: '%s'\\n\" \"$1\"; }\n\
                seen() { while [ ! -e \"seen$1\" ]; do sleep 0.02; done; }\n";
    fs::write(&renderer, format!("{head}{script}")).unwrap();
    fs::set_permissions(&renderer, PermissionsExt::from_mode(0o755)).unwrap();
    let command = CommandSpec::new("blender-render", json!({ "exe": renderer, "blendfile": "" }));
    farm.job(JobSpec::new(name).task(TaskSpec::new(name).kind("blender").command(command)))
        .remove(0)
}

fn red(path: &Path) {
    image::RgbImage::from_pixel(64, 48, image::Rgb([255, 0, 0]))
        .save_with_format(path, image::ImageFormat::Png)
        .unwrap();
}

#[test]
fn j28_names_of_any_bytes_give_a_picture() {
    let (farm, node) = Farm::with_awake_node();
    red(&node.folder.join("red"));
    let task = render(
        &farm,
        &node,
        "odd names",
        r#"number=0
for name in $'\xff\xfe.png' $'two\nlines.png' "it's ' quoted'.png" '$(blank)  .png'; do
    cp red "$name"; saved "$PWD/$name"
    number=$((number + 1)); seen $number
done
"#,
    );
    for number in 1..=4 {
        pictures(&farm, &task, number);
        fs::write(node.folder.join(format!("seen{number}")), "").unwrap();
    }
    farm.completed(&task);
    node.finish();
}

#[test]
fn j25_what_is_no_file_of_the_task_is_not_sent_and_said_once() {
    let (farm, node) = Farm::with_awake_node();
    let at = |name: &str| node.folder.join(name);
    red(&at("red"));
    red(&at("old.png"));
    let old = File::options().append(true).open(at("old.png")).unwrap();
    old.set_modified(std::time::SystemTime::now() - std::time::Duration::from_secs(3600))
        .unwrap();
    // What is no picture at all is said of only where more is logged.
    let hostile = [
        ("fifo", "mkfifo fifo.png", "it is a FIFO"),
        ("link", "ln -s red link.png", "it is a link"),
        ("zero", "ln -s /dev/zero zero.png", "it is a link"),
        ("folder", "mkdir folder.png", "it is a folder"),
        ("old", "true", "it is older than the task"),
        ("text", "echo text > text.png", "format"),
        ("null", "ln -s /dev null.png", "it is a link"),
    ];
    for (name, make, why) in hostile {
        let task = render(&farm, &node, name, &format!("{make}; saved \"$PWD/{name}.png\"\n"));
        farm.completed(&task);
        let said =
            |line: &str| line.contains(NO_PICTURE) && line.contains(&format!("/{name}.png")) && line.contains(why);
        node.until(why, || node.log().lines().any(said));
    }
    let both = "saved /dev/zero; seen 1; saved \"$PWD/fifo.png\"; cp red good.png; saved \"$PWD/good.png\"\n";
    let task = render(&farm, &node, "both", both);
    logged(&node, "it is a device");
    fs::write(at("seen1"), "").unwrap();
    assert!(is_near(pixel(&pictures(&farm, &task, 1)[0], 9, 9), [255, 0, 0]));
    farm.completed(&task);
    assert_eq!(farm.manager.last_rendered(&task).len(), 1);
    let log = node.log();
    let said = log.lines().filter(|line| line.contains(NO_PICTURE));
    assert_eq!(said.count(), hostile.len() + 1, "{log}");
    node.finish();
}

/// The process that reads a picture, as the worker starts it, with so many seconds.
fn reader(picture: &Path, seconds: u32) -> Output {
    Command::new(test_bed::worker().unwrap())
        .arg("__flamenco-picture")
        .arg(picture)
        .arg(picture.with_extension("out"))
        .args(["0".to_owned(), seconds.to_string(), "null".to_owned()])
        .output()
        .unwrap()
}

#[test]
fn j26_a_picture_takes_no_more_memory_and_time_than_it_is_given() {
    let folder = tempfile::tempdir().unwrap();
    // A JPEG that goes on for 3 GB, none of which is on disk.
    let endless = folder.path().join("endless.jpg");
    let mut file = File::create(&endless).unwrap();
    file.write_all(b"\xff\xd8\xff\xe0\0\x10JFIF\0").unwrap();
    file.set_len(3 << 30).unwrap();
    let output = reader(&endless, 10);
    assert!(!output.status.success(), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("memory"), "{output:?}");
    // 65536 rows of 11000 black pixels, all of which are there, and none on disk.
    let bomb = folder.path().join("bomb.hdr");
    let mut file = File::create(&bomb).unwrap();
    file.write_all(b"#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n\n-Y 65536 +X 11000\n")
        .unwrap();
    file.set_len(3 << 30).unwrap();
    let output = reader(&bomb, 1);
    assert_eq!(output.status.signal(), Some(9), "{output:?}");
}
