// SPDX-License-Identifier: GPL-3.0-or-later

//! Blender's `Saved:` of a picture, and the small one at the Manager. Blender makes the pictures.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::json;
use standin_manager::{CommandSpec, Endpoint};

use super::{Bench, Result};
use crate::contender::Contender;
use crate::figures::{Table, Times};
use crate::node::Node;

/// A gradient with grain, in each still format.
const MAKE: &str = r#"
import array, bpy, os, random
width, height, folder = int(os.environ["WIDTH"]), int(os.environ["HEIGHT"]), os.environ["PICTURES"]
render = bpy.context.scene.render
render.engine = 'BLENDER_WORKBENCH'
render.resolution_x, render.resolution_y, render.resolution_percentage = width, height, 100
image = bpy.data.images.new("grain", width, height, float_buffer=True)
random.seed(1)
def row():
    for x in range(width):
        grain = random.random() * 0.1
        yield from (x / width + grain, 0.5 + grain, 0.3 + grain, 1.0)
# A few rows again and again: farther apart than any compression looks.
rows = array.array('f', (light for _ in range(16) for light in row()))
image.pixels.foreach_set((rows * (height // 16 + 1))[:width * height * 4])
bpy.context.scene.use_nodes = True
tree = bpy.context.scene.node_tree
tree.nodes.clear()
source, output = tree.nodes.new("CompositorNodeImage"), tree.nodes.new("CompositorNodeComposite")
source.image = image
tree.links.new(source.outputs[0], output.inputs[0])
settings = render.image_settings
def write(name, format, **more):
    settings.file_format = format
    for key, value in more.items():
        setattr(settings, key, value)
    render.filepath = os.path.join(folder, name)
    bpy.ops.render.render(write_still=True)
for format in ('PNG', 'JPEG', 'BMP', 'IRIS', 'TARGA', 'TARGA_RAW', 'HDR', 'TIFF', 'CINEON', 'DPX', 'JPEG2000', 'WEBP'):
    write(format, format, color_mode='RGB')
for format in ('PNG', 'TIFF', 'JPEG2000'):
    write(format + ' 16 bits', format, color_mode='RGBA', color_depth='16')
for codec in ('NONE', 'ZIP', 'ZIPS', 'PIZ', 'PXR24', 'RLE', 'B44', 'B44A', 'DWAA', 'DWAB'):
    # B44 is for half floats alone.
    for name, depth in (('half', '16'), ('float', '32'))[:1 if 'B44' in codec else 2]:
        write(f'OPEN_EXR {name} {codec}', 'OPEN_EXR', color_mode='RGBA', color_depth=depth, exr_codec=codec)
write('OPEN_EXR_MULTILAYER float ZIP', 'OPEN_EXR_MULTILAYER', color_depth='32', exr_codec='ZIP')
"#;
/// What prints the line once it is told to.
const RENDERER: &str = "read go < \"${0%/*}/go\"; echo \"Saved: '$1'\"; sleep 60";

pub(super) fn run(bench: &Bench, table: &mut Table) -> Result {
    let folder = tempfile::Builder::new().prefix("pictures-").tempdir().map_err(text)?;
    let pictures = make(folder.path(), bench.scale.picture)?;
    let times = bench.samples(&pictures, 1, |picture, contender, _| sample(picture, contender))?;
    for (picture, times) in pictures.iter().zip(times) {
        let name = picture.file_stem().unwrap_or_default().to_string_lossy();
        for (column, times) in times.into_iter().enumerate() {
            let times: Times = times.into_iter().collect();
            table
                .row(&format!("{name} of {} pixels a row", bench.scale.picture.0))
                .goal("1 s")
                .cell(column, times);
        }
    }
    Ok(())
}

fn make(folder: &Path, size: (u32, u32)) -> Result<Vec<PathBuf>> {
    let script = folder.join("make.py");
    fs::write(&script, MAKE).map_err(text)?;
    let pictures = folder.join("pictures");
    fs::create_dir(&pictures).map_err(text)?;
    let made = Command::new("blender")
        .args(["-b", "--factory-startup", "-noaudio", "--python-exit-code", "1", "-P"])
        .arg(&script)
        .env("PICTURES", &pictures)
        .env("WIDTH", size.0.to_string())
        .env("HEIGHT", size.1.to_string())
        .stdout(Stdio::null())
        .status()
        .map_err(|error| format!("cannot run blender, which makes the pictures: {error}"))?;
    if !made.success() {
        return Err(format!("blender, which makes the pictures, ended with {made}"));
    }
    let entries = fs::read_dir(&pictures).map_err(text)?;
    let mut found: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
    found.sort();
    Ok(found)
}

fn sample(picture: &Path, contender: &Contender) -> Result<Duration> {
    let folder = tempfile::Builder::new().prefix("bench-").tempdir().map_err(text)?;
    let (renderer, go) = (folder.path().join("renderer"), folder.path().join("go"));
    fs::write(&renderer, RENDERER).map_err(text)?;
    nix::unistd::mkfifo(&go, nix::sys::stat::Mode::S_IRWXU).map_err(text)?;
    // Only what was written since the task began is shown.
    let written = fs::File::options().append(true).open(picture).map_err(text)?;
    written.set_modified(std::time::SystemTime::now()).map_err(text)?;
    let node = Node::awake(contender)?;
    let parameters = json!({ "exe": "/bin/bash", "exeArgs": "", "blendfile": "", "args": [renderer, picture] });
    node.submit(&CommandSpec::new("blender-render", parameters))?;
    // It is opened when the program reads it.
    fs::write(&go, "go\n").map_err(text)?;
    let saved = node.manager.now();
    let sent = node.wait("a picture", |farm| {
        let mut pictures = farm
            .requests()
            .iter()
            .filter(|seen| seen.endpoint == Endpoint::OutputProduced);
        pictures.next().map(|seen| seen.received)
    })?;
    Ok(sent.saturating_sub(saved))
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}
