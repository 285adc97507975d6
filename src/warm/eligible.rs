// SPDX-License-Identifier: GPL-3.0-or-later

//! Which command lines of Blender may be rendered in one that is kept: those that end in the frames, and whose rest would
//! do the same for other frames. Blender reads that rest itself.

use std::ops::RangeInclusive;

/// A command line that may.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Eligible {
    /// The arguments without the frames.
    pub arguments: Vec<String>,
    /// The frames, in order.
    pub frames: Vec<RangeInclusive<i32>>,
}

/// What renders the frames that come next.
const FRAMES: [&str; 2] = ["--render-frame", "-f"];

/// With any of these Blender does something else, or ends where it would go on.
const OTHER: [&str; 12] = [
    "--",
    "-a",
    "--render-anim",
    "--render-frame",
    "-f",
    "-c",
    "--command",
    "--python-console",
    "--help",
    "-h",
    "--version",
    "-v",
];

/// The highest frame of Blender (`MAXFRAME`).
const LAST: i32 = 1_048_574;

impl Eligible {
    /// The command line of `arguments`, in which `blendfile` is a word, if it is one.
    pub(crate) fn of(arguments: &[String], blendfile: &str) -> Option<Self> {
        let [rest @ .., flag, frames] = arguments else {
            return None;
        };
        let is_file = |word: &&String| word.to_lowercase().ends_with(".blend") || *word == blendfile;
        let is_meant = FRAMES.contains(&flag.as_str())
            && rest.iter().any(|word| word == "-b" || word == "--background")
            && !rest.iter().any(|word| OTHER.contains(&word.as_str()))
            && !blendfile.is_empty()
            && rest.iter().filter(is_file).count() == 1;
        let frames = frames.split(',').map(range).collect::<Option<_>>()?;
        is_meant.then(|| Self {
            arguments: rest.to_vec(),
            frames,
        })
    }
}

/// `12`, or `12..15`. What counts from the end or the start (`-1`, `+1`) is for Blender to read.
fn range(text: &str) -> Option<RangeInclusive<i32>> {
    let (first, last) = text.split_once("..").unwrap_or((text, text));
    let number = |text: &str| {
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse().ok().filter(|number| digits && *number <= LAST)
    };
    let (first, last) = (number(first)?, number(last)?);
    (first <= last).then_some(first..=last)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn eligible(words: &str) -> Option<Eligible> {
        let arguments: Vec<String> = words.split(' ').map(str::to_owned).collect();
        Eligible::of(&arguments, "/r/x.blend")
    }

    #[test]
    fn the_stock_jobs_are() {
        let job = "-b -y /r/x.blend --render-output /r/out/###### --render-format PNG";
        let found = eligible(&format!("{job} --render-frame 12")).unwrap();
        assert_eq!(
            (found.arguments.join(" "), found.frames),
            (job.to_owned(), vec![12..=12])
        );
        let found = eligible("--background /r/x.blend -E CYCLES -f 1,3..5").unwrap();
        assert_eq!(found.frames, [1..=1, 3..=5]);
    }

    #[test]
    fn whatever_else_ends_or_does_is_not() {
        for words in [
            "-b /r/x.blend -a",
            "-b /r/x.blend -f",
            "-b /r/x.blend -f -1",
            "-b /r/x.blend -f +1",
            "-b /r/x.blend -f 1..",
            "-b /r/x.blend -f 5..1",
            "-b /r/x.blend -f 1,",
            "-b /r/x.blend -f 9999999",
            "-b /r/x.blend -f 99999999999",
            "-b /r/x.blend -f 1 -f 2",
            "-b /r/x.blend -f 1 -- x",
            "-b /r/x.blend -- -f 1",
            "-b /r/x.blend /r/y.BLEND -f 1",
            "-b /r/x.blend /r/x.blend -f 1",
            "-b /r/x.blend --python-console -f 1",
            "-b -c x /r/x.blend -f 1",
            "/r/x.blend -f 1",
            "-b -f 1",
            "1",
        ] {
            assert_eq!(eligible(words), None, "{words}");
        }
        let without_file = ["-b".to_owned(), "-f".to_owned(), "1".to_owned()];
        assert_eq!(Eligible::of(&without_file, ""), None);
    }
}
