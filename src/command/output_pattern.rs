// SPDX-License-Identifier: GPL-3.0-or-later

//! Which pictures a command line makes Blender write, as far as it says so. Blender reads its arguments in order: what
//! holds for `-f` or `-a` is what stands before it. Tried with Blender 3.4:
//!
//! ```text
//! -o //out/a##_b##c -F PNG -f 1..2    beside the .blend: out/a##_b01c.png, out/a##_b02c.png
//! -o /out/x####.exr -F PNG -f 1       /out/x0001.png       (an ending of another format gives way)
//! -o /out/x.png     -F PNG -f 1       /out/x.png0001.png
//! -o /out/f -F OPEN_EXR -x 0 -f 12    /out/f0012
//! ```

use std::path::{Component, Path, PathBuf};

use super::picture_format::{PICTURES, endings};

/// Blender appends these where a name has no `#`.
const DIGITS: usize = 4;
/// What Blender puts between name and ending for each eye, and nothing for a picture that is not stereoscopic.
const VIEWS: [&str; 3] = ["", "_L", "_R"];
/// Options whose next word is their value, as far as they stand on the command line of a render (`blender --help`).
const WITH_VALUE: [&str; 20] = [
    "-P",
    "--python",
    "--python-text",
    "--python-expr",
    "--python-exit-code",
    "-E",
    "--engine",
    "-t",
    "--threads",
    "--log",
    "--log-level",
    "--log-file",
    "--app-template",
    "--addons",
    "--gpu-backend",
    "--debug-value",
    "--verbose",
    "--env-system-datafiles",
    "--env-system-scripts",
    "--env-system-python",
];

/// Pictures that Blender was told to write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct OutputPattern {
    pub(super) folder: PathBuf,
    /// The name up to the number of the frame.
    before: String,
    digits: usize,
    /// What may follow the number.
    tails: Vec<String>,
    /// Empty where the .blend says which.
    frames: Vec<FrameRange>,
}

/// Some frames; the step is at least 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct FrameRange {
    first: u32,
    last: u32,
    step: u32,
}

/// What the arguments have settings so far.
#[derive(Debug, Default)]
struct RenderArguments<'a> {
    blendfile: Option<&'a str>,
    pattern: Option<&'a str>,
    format: Option<&'a str>,
    start: Option<u32>,
    end: Option<u32>,
    step: u32,
}

/// Reads a command line of Blender that is run in `directory`. Nothing for a render whose output only the .blend
/// knows.
pub(super) fn output_patterns(arguments: &[String], directory: &Path) -> Vec<OutputPattern> {
    let mut settings = RenderArguments {
        step: 1,
        ..RenderArguments::default()
    };
    let mut outputs = Vec::new();
    let mut words = arguments.iter().map(String::as_str);
    while let Some(word) = words.next() {
        match word {
            "--" => break,
            "-o" | "--render-output" => settings.pattern = words.next(),
            "-F" | "--render-format" => settings.format = words.next(),
            "-s" | "--frame-start" => settings.start = words.next().and_then(number),
            "-e" | "--frame-end" => settings.end = words.next().and_then(number),
            "-j" | "--frame-jump" => settings.step = words.next().and_then(number).unwrap_or(1).max(1),
            // Its names are among those that are expected anyway.
            "-x" | "--use-extension" => {
                words.next();
            }
            // Another scene has another output.
            "-S" | "--scene" => {
                words.next();
                (settings.pattern, settings.format, settings.start, settings.end) = (None, None, None, None);
            }
            "-a" | "--render-anim" => outputs.extend(settings.output(settings.range(), directory)),
            "-f" | "--render-frame" => {
                let frames = words.next().map(frames).unwrap_or_default();
                outputs.extend(settings.output(frames, directory));
            }
            option if WITH_VALUE.contains(&option) => {
                words.next();
            }
            file if !file.starts_with('-') && file.contains(".blend") => {
                // It brings settings of its own.
                settings = RenderArguments {
                    blendfile: Some(file),
                    step: 1,
                    ..RenderArguments::default()
                };
            }
            _ => {}
        }
    }
    outputs
}

impl RenderArguments<'_> {
    fn range(&self) -> Vec<FrameRange> {
        let range = self.start.zip(self.end).map(|(first, last)| FrameRange {
            first,
            last,
            step: self.step,
        });
        range.into_iter().collect()
    }

    fn output(&self, frames: Vec<FrameRange>, directory: &Path) -> Option<OutputPattern> {
        let pattern = self.pattern?;
        let (folder, name) = match pattern.rfind('/') {
            Some(slash) => pattern.split_at(slash + 1),
            None => ("", pattern),
        };
        let folder = match folder.strip_prefix("//") {
            // Without a .blend, Blender has no such folder.
            Some(relative) => normalized(&directory.join(self.blendfile?).parent()?.join(relative)),
            None => directory.join(folder),
        };
        let (before, digits, after) = split_at_frame(name);
        Some(OutputPattern {
            folder,
            before: before.to_owned(),
            digits,
            tails: tails(after, self.format),
            frames,
        })
    }
}

impl OutputPattern {
    /// How many names there are.
    pub(super) fn name_count(&self) -> usize {
        let frames: u64 = self.frames.iter().map(FrameRange::count).sum();
        usize::try_from(frames)
            .unwrap_or(usize::MAX)
            .saturating_mul(self.tails.len())
    }

    /// All names of pictures that may be written; see [`OutputPattern::name_count`].
    pub(super) fn names(&self) -> impl Iterator<Item = String> {
        let frames = self.frames.iter().flat_map(FrameRange::all);
        frames.flat_map(|frame| {
            let stem = format!("{}{frame:0width$}", self.before, width = self.digits);
            self.tails.iter().map(move |tail| format!("{stem}{tail}"))
        })
    }

    /// Whether it is one of these names.
    pub(super) fn matches(&self, name: &str) -> bool {
        let Some(rest) = name.strip_prefix(&self.before) else {
            return false;
        };
        let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let (digits, tail) = rest.split_at(digits);
        // A number is as long as the pattern wants it, or longer without a zero in front.
        let is_number = digits.len() == self.digits || (digits.len() > self.digits && !digits.starts_with('0'));
        let Some(frame) = number(digits).filter(|_| is_number) else {
            return false;
        };
        self.tails.iter().any(|known| known == tail) && self.frames.iter().any(|frames| frames.contain(frame))
    }
}

impl FrameRange {
    fn count(&self) -> u64 {
        if self.last < self.first {
            return 0;
        }
        u64::from((self.last - self.first) / self.step) + 1
    }

    fn all(&self) -> impl Iterator<Item = u32> + use<> {
        let step = usize::try_from(self.step).unwrap_or(usize::MAX);
        (self.first..=self.last).step_by(step)
    }

    fn contain(&self, frame: u32) -> bool {
        (self.first..=self.last).contains(&frame) && (frame - self.first).is_multiple_of(self.step)
    }
}

/// `1,3..5`. What is relative to the .blend's own range (`+1`, `-1`) is not known, and left out.
fn frames(list: &str) -> Vec<FrameRange> {
    let one = |item: &str| {
        let (first, last) = item.split_once("..").unwrap_or((item, item));
        Some(FrameRange {
            first: number(first)?,
            last: number(last)?,
            step: 1,
        })
    };
    list.split(',').filter_map(one).collect()
}

/// A number of digits alone, as far as Blender counts (1048574).
fn number(text: &str) -> Option<u32> {
    let plain = !text.is_empty() && text.len() <= 9 && text.bytes().all(|byte| byte.is_ascii_digit());
    plain.then(|| text.parse().ok()).flatten()
}

/// The name before its last run of `#`, the length of that, and the name after it.
fn split_at_frame(name: &str) -> (&str, usize, &str) {
    let Some(last) = name.rfind('#') else {
        return (name, DIGITS, "");
    };
    let before = name[..last].trim_end_matches('#');
    (before, last + 1 - before.len(), &name[last + 1..])
}

/// What may follow the number: `after` as it is, or with the format's ending in the place of a picture's.
fn tails(after: &str, format: Option<&str>) -> Vec<String> {
    let known = PICTURES.iter().find(|ending| {
        let at = after.len().checked_sub(ending.len());
        at.and_then(|at| after.get(at..))
            .is_some_and(|tail| tail.eq_ignore_ascii_case(ending))
    });
    let base = known.map_or(after, |ending| &after[..after.len() - ending.len()]);
    let mut tails = vec![after.to_owned()];
    for ending in endings(format) {
        tails.extend(VIEWS.iter().map(|view| format!("{base}{view}{ending}")));
    }
    tails.sort_unstable();
    tails.dedup();
    tails
}

/// Without `..`, as Blender takes them out of a path with `//`.
fn normalized(path: &Path) -> PathBuf {
    let mut normalized = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => {
                normalized.pop();
            }
            Component::CurDir => {}
            Component::Prefix(_) | Component::RootDir | Component::Normal(_) => normalized.push(part),
        }
    }
    normalized
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Vec<OutputPattern> {
        let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        output_patterns(&words, Path::new("/here"))
    }

    /// The pictures that a command line may write, among them `wanted`, which Blender 3.4 does write.
    fn writes(line: &str, wanted: &[&str]) {
        let read = read(line);
        let all: Vec<_> = read
            .iter()
            .flat_map(|output| output.names().map(|name| output.folder.join(name)))
            .collect();
        for name in wanted {
            assert!(
                all.contains(&PathBuf::from(name)),
                "{line}: {name} is not among {all:?}"
            );
        }
        for output in &read {
            assert_eq!(output.names().count(), output.name_count());
            assert!(output.names().all(|name| output.matches(&name)), "{line}");
        }
    }

    #[test]
    fn i2_the_names_are_those_that_blender_writes() {
        for (line, names) in [
            (
                "/r/x.blend -o //o/#### -F PNG -f 1..2",
                &["/r/o/0001.png", "/r/o/0002.png"][..],
            ),
            ("/r/x.blend -o //o/a -F PNG -f 250", &["/r/o/a0250.png"]),
            ("/r/x.blend -o //o/a##_b##c -F PNG -f 1", &["/r/o/a##_b01c.png"]),
            ("/r/x.blend -o //o/x####.exr -F PNG -f 2", &["/r/o/x0002.png"]),
            ("/r/x.blend -o //o/x.png -F PNG -f 2", &["/r/o/x.png0002.png"]),
            (
                "/r/q/x.blend -o //../o/# -F PNG -f 2,250",
                &["/r/o/2.png", "/r/o/250.png"],
            ),
            ("x.blend -o //o/# -F PNG -f 2", &["/here/o/2.png"]),
            ("/r/x.blend -o o/rel -F PNG -f 1", &["/here/o/rel0001.png"]),
            ("/r/x.blend -o /o8/ -F PNG -f 1", &["/o8/0001.png"]),
            ("/r/x.blend -o //o#9/x -F PNG -f 1", &["/r/o#9/x0001.png"]),
            ("/r/x.blend -o //f -F OPEN_EXR -x 0 -f 12", &["/r/f0012"]),
            (
                "/r/x.blend -o //f -F OPEN_EXR_MULTILAYER -x 1 -s 3 -e 9 -j 3 -a",
                &["/r/f0003.exr", "/r/f0006.exr", "/r/f0009.exr"],
            ),
            ("/r/x.blend -o //f.jpg -F JPEG -x 0 -f 12", &["/r/f.jpg0012"]),
            ("/r/x.blend -o //f -F NOPE -f 12", &["/r/f0012.png"]),
            (
                "/r/x.blend -o //f -f 12",
                &["/r/f0012.png", "/r/f0012.tif", "/r/f0012_L.exr"],
            ),
            ("/r/x.blend -o //f -F OPEN_EXR -f 12", &["/r/f0012.exr", "/r/f0012.jpg"]),
        ] {
            writes(line, names);
        }
    }

    #[test]
    fn i2_a_flamenco_command_line_is_understood() {
        let words = [
            "-b",
            "-y",
            "/r/x.blend",
            "--scene",
            "S",
            "--python-expr",
            "import bpy; 'x.blend'",
            "--render-output",
            "/o/######",
            "--render-format",
            "PNG",
            "--render-frame",
            "8..10",
        ];
        let read = output_patterns(&words.map(str::to_owned), Path::new("/here"));
        assert_eq!(read.len(), 1);
        assert_eq!(read[0].folder, Path::new("/o"));
        assert!(read[0].matches("000008.png") && read[0].matches("000010.png"));
        for other in [
            "000007.png",
            "000011.png",
            "0008.png",
            "0000008.png",
            "000008.exr",
            "x000008.png",
            "000008.png.partial",
        ] {
            assert!(!read[0].matches(other), "{other}");
        }
    }

    #[test]
    fn i2_what_only_the_blend_knows_is_not_guessed() {
        for line in [
            "/r/x.blend -f 1",
            "-o /o/x /r/x.blend -f 1",
            "/r/x.blend -o /o/x -S Other -f 1",
            "-o //x -f 1",
            "/r/x.blend -- -o /o/x -f 1",
            "/r/x.blend -o",
        ] {
            assert_eq!(read(line), [], "{line}");
        }
        for line in [
            "/r/x.blend -o /o/x -f -1",
            "/r/x.blend -o /o/x -a",
            "/r/x.blend -o /o/x -s 1 -a",
            "/r/x.blend -o /o/x -f",
        ] {
            let read = read(line);
            assert_eq!((read.len(), read[0].name_count()), (1, 0), "{line}");
        }
    }

    #[test]
    fn i2_no_range_is_too_long() {
        let read = read("/r/x.blend -o /o/x -s 0 -e 999999999 -a");
        assert!(read[0].name_count() > 1_000_000_000);
        assert!(read[0].matches("x123456.png"));
        assert_eq!(super::frames("5..1").iter().map(FrameRange::count).sum::<u64>(), 0);
    }
}
