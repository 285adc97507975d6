// SPDX-License-Identifier: GPL-3.0-or-later
//! What this machine can render and encode with, found by trying: a Blender that starts is not yet a Blender that renders.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use crate::{
    farm::FRAMES,
    interrupt::{End, Interrupt, failed},
    own,
    programs::{self, Probe},
};

/// What one frame should take: long enough to watch and to interrupt, short enough to wait for.
pub(crate) const FRAME_TIME: Duration = Duration::from_millis(350);
/// The first start of a freshly installed Blender was seen to take 15 s.
const BLENDER_TRIAL: Duration = Duration::from_secs(60);
const FFMPEG_TRIAL: Duration = Duration::from_secs(15);
/// Encoders in the order of preference: not every FFmpeg is built with H.264.
const ENCODERS: [&str; 2] = ["h264", "mpeg4"];

/// How pictures are made here.
pub(crate) struct Renderer {
    /// For people.
    pub(crate) label: String,
    /// What the Manager's `{blender}` stands for.
    pub(crate) exe: PathBuf,
    /// What its `{blenderArgs}` stands for.
    pub(crate) exe_args: String,
    pub(crate) scene: PathBuf,
    /// Arguments that make it render what is there already.
    pub(crate) overwriting: &'static [&'static str],
    /// Arguments that make it do so in four times the time.
    pub(crate) thorough: &'static [&'static str],
}

impl Renderer {
    /// Makes the scene in this folder, with Blender if it can.
    ///
    /// # Errors
    /// Interrupted, or the folder cannot be written.
    pub(crate) fn find(folder: &Path, interrupt: &mut Interrupt) -> Result<Self, End> {
        let Some(blender) = programs::on_path("blender") else {
            return Self::ours("no blender on the PATH");
        };
        match Self::blender(&blender, folder, interrupt) {
            Ok(Some(found)) => Ok(found),
            Ok(None) | Err(End::Failed(_)) => {
                Self::ours(&format!("{} did not render a trial picture", blender.display()))
            }
            Err(end @ End::Interrupted(_)) => Err(end),
        }
    }

    fn blender(exe: &Path, folder: &Path, interrupt: &mut Interrupt) -> Result<Option<Self>, End> {
        let (script, scene) = (folder.join("scene.py"), folder.join("turntable.blend"));
        fs::write(&script, include_str!("scene.py")).map_err(failed("writing the scene's script"))?;
        let words = ["-b", "--factory-startup", "--python-exit-code", "3", "--python"];
        let mut command = Command::new(exe);
        command.args(words).arg(script).arg("--").arg(&scene);
        command.args([FRAMES.to_string(), FRAME_TIME.as_secs_f32().to_string()]);
        let trial = Probe {
            command,
            notes: &folder.join("blender.txt"),
            deadline: BLENDER_TRIAL,
        }
        .run(interrupt)?;
        let version = trial.success.then(|| version_in(&trial.output)).flatten();
        Ok(version.filter(|_| scene.is_file()).map(|version| Self {
            label: format!("Blender {version} ({})", exe.display()),
            exe: exe.to_owned(),
            exe_args: "-b -y".to_owned(),
            scene,
            overwriting: &[
                "--python-expr",
                "import bpy; bpy.context.scene.render.use_overwrite = True",
            ],
            thorough: &[
                "--python-expr",
                "import bpy; it = bpy.context.scene; it.render.use_overwrite = True; it.cycles.samples *= 4",
            ],
        }))
    }

    fn ours(why: &str) -> Result<Self, End> {
        Ok(Self {
            label: format!("the demo's own ({why})"),
            exe: env::current_exe().map_err(failed("looking for this program"))?,
            exe_args: format!("{} -b -y", own::ROLE),
            // It is named for the log's sake: there is nothing to read.
            scene: "turntable.blend".into(),
            overwriting: &[own::OVERWRITE],
            thorough: &[own::OVERWRITE, own::THOROUGH],
        })
    }
}

/// How a video is made here.
pub(crate) struct Encoder {
    pub(crate) label: String,
    pub(crate) codec: &'static str,
}

impl Encoder {
    /// The first encoder that works; `Err` in words if there is none.
    ///
    /// # Errors
    /// The outer one: interrupted.
    pub(crate) fn find(folder: &Path, interrupt: &mut Interrupt) -> Result<Result<Self, String>, End> {
        let Some(ffmpeg) = programs::on_path("ffmpeg") else {
            return Ok(Err("no ffmpeg on the PATH".to_owned()));
        };
        for codec in ENCODERS {
            let words = "-v error -f lavfi -i color=s=64x64:d=1:r=4 -pix_fmt yuv420p -c:v";
            let mut command = Command::new(&ffmpeg);
            command.args(words.split(' ')).args([codec, "-f", "null", "-"]);
            let trial = Probe {
                command,
                notes: &folder.join("ffmpeg.txt"),
                deadline: FFMPEG_TRIAL,
            }
            .run(interrupt);
            match trial {
                Ok(trial) if trial.success => {
                    let label = format!("FFmpeg ({}), {codec}", ffmpeg.display());
                    return Ok(Ok(Self { label, codec }));
                }
                Ok(_) | Err(End::Failed(_)) => {}
                Err(end @ End::Interrupted(_)) => return Err(end),
            }
        }
        Ok(Err(format!("{} can encode neither H.264 nor MPEG-4", ffmpeg.display())))
    }
}

/// What the scene's script says at its end.
fn version_in(output: &str) -> Option<String> {
    let line = output.lines().find(|line| line.contains("DEMO-SCENE "))?;
    Some(line.split_once("version=")?.1.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_read_from_the_last_word_of_the_script() {
        let output = "Blender 4.5.0\nInfo: saved\nDEMO-SCENE samples=4 version=4.5.0 LTS\n\nBlender quit\n";
        assert_eq!(version_in(output).as_deref(), Some("4.5.0 LTS"));
        assert_eq!(version_in("Blender 4.5.0\nBlender quit\n"), None);
    }
}
