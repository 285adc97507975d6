// SPDX-License-Identifier: GPL-3.0-or-later

//! Parses the lines that Blender prints. Each pattern counts at the start of a line, or (Blender 5) after `render`, blanks, `|`
//! and blanks, wherever that is:
//!
//! ```text
//! 2.x, 3.x   Saved: '/r/0001.png'        and  " Time: 00:00.85 (Saving: 00:00.60)"  with a blank first
//! 4.x        Saved: '/r/0001.png'             Time: 00:00.85 (Saving: 00:00.60)
//! 5.x        00:00.419  render           | Saved: '/r/0001.png'
//! ```
//!
//! Because of the blanks before `Time:` the Go worker counts no frame of Blender 3.

/// What one line says. Most lines say nothing that matters.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct BlenderLine<'a> {
    /// A file was written; this is its name as Blender prints it.
    pub(crate) saved: Option<&'a str>,
    /// A file of a File Output node was written. Blender 3.4 prints its name without quotes.
    pub(super) saved_by_node: Option<&'a str>,
    /// A frame was rendered, or skipped because its file exists. A line counts as one step at most.
    pub(super) step: bool,
}

/// Parses one line.
pub(crate) fn parse_line(line: &str) -> BlenderLine<'_> {
    // Nearly every line of a render is a progress line, which this makes cheap.
    if !["Saved: ", "Time: ", "kipping existing frame"]
        .iter()
        .any(|mark| line.contains(mark))
    {
        return BlenderLine::default();
    }
    let starts = || std::iter::once(line).chain(behind_render(line));
    BlenderLine {
        saved: starts().find_map(saved),
        saved_by_node: starts().find_map(|start| start.strip_prefix("Saved: ").filter(|name| name.starts_with('/'))),
        step: is_time(line.trim_start_matches(is_blank)) || starts().any(|start| is_time(start) || is_skipped(start)),
    }
}

/// What follows each `render`, blanks, `|`, blanks in the line.
fn behind_render(line: &str) -> impl Iterator<Item = &str> {
    line.match_indices("render").filter_map(|(at, word)| {
        let bar = some_blanks(&line[at + word.len()..])?;
        some_blanks(bar.strip_prefix('|')?)
    })
}

/// What follows one blank or more.
fn some_blanks(text: &str) -> Option<&str> {
    let rest = text.trim_start_matches(is_blank);
    (rest.len() < text.len()).then_some(rest)
}

fn is_blank(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\n' | '\x0c' | '\r')
}

/// The name up to the last quote of the line, because a name may contain a quote.
fn saved(start: &str) -> Option<&str> {
    let name = start.strip_prefix("Saved: '")?;
    Some(&name[..name.rfind('\'')?])
}

fn is_time(start: &str) -> bool {
    let time = start.strip_prefix("Time: ");
    time.is_some_and(|time| time.starts_with(|c: char| c.is_ascii_digit() || c == ':' || c == '.'))
}

fn is_skipped(start: &str) -> bool {
    start.starts_with("skipping existing frame") || start.starts_with("Skipping existing frame")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// All that Blender 3.4.1 said of frames 1 and 2, rendered by Workbench.
    const BLENDER_3_4: &str = "\
Blender 3.4.1
EGL Error (0x3009): EGL_BAD_MATCH: Arguments are inconsistent (for example, a valid context requires buffers not supplied by a valid surface).

Saved: '/render/out/001.png'
 Time: 00:00.87 (Saving: 00:00.26)

Saved: '/render/out/002.png'
 Time: 00:00.01 (Saving: 00:00.00)


Blender quit
";

    /// The same of frames 2 and 3, by Cycles without overwriting; most progress lines left out.
    const BLENDER_3_4_CYCLES: &str = "\
Blender 3.4.1
skipping existing frame \"/render/out/002.png\"
Fra:3 Mem:9.71M (Peak 9.71M) | Time:00:00.05 | Mem:0.00M, Peak:0.00M | Scene, ViewLayer | Updating Scene BVH | Building BVH 0%
Fra:3 Mem:10.36M (Peak 10.47M) | Time:00:00.06 | Remaining:00:00.00 | Mem:0.90M, Peak:0.90M | Scene, ViewLayer | Sample 1/2
Fra:3 Mem:10.42M (Peak 10.55M) | Time:00:00.06 | Mem:0.90M, Peak:0.90M | Scene, ViewLayer | Finished
Saved: '/render/out/003.png'
 Time: 00:00.25 (Saving: 00:00.18)


Blender quit
";

    fn all(output: &str) -> (Vec<&str>, usize) {
        let lines = || output.lines().map(parse_line);
        (
            lines().filter_map(|line| line.saved).collect(),
            lines().filter(|line| line.step).count(),
        )
    }

    #[test]
    fn real_output_of_blender_3_is_understood() {
        assert_eq!(
            all(BLENDER_3_4),
            (vec!["/render/out/001.png", "/render/out/002.png"], 2)
        );
        assert_eq!(all(BLENDER_3_4_CYCLES), (vec!["/render/out/003.png"], 2));
    }

    #[test]
    fn lines_that_are_steps() {
        for line in [
            "Time: 00:01.06 (Saving: 00:00.02)",
            " Time: 00:00.85 (Saving: 00:00.60)",
            "00:00.419  render           | Time: 00:01.06 (Saving: 00:00.02)",
            "render\t|\tTime: 1",
            "myrender | Time: 1",
            "render | x render | Time: 1",
            "Time: :",
            "Time: .x",
            "Time: 1 Time: 2",
            "Skipping existing frame \"/path/x0001.jpg\"",
            "skipping existing frame \"/path/x0001.jpg\"",
            "00:00.419  render           | Skipping existing frame \"/path/x0001.jpg\"",
        ] {
            assert!(parse_line(line).step, "{line:?}");
        }
    }

    #[test]
    fn lines_that_are_no_steps() {
        for line in [
            "Time: abc",
            "Time:1",
            "Time:  1",
            "Time: ٣",
            "time: 1",
            "render| Time: 1",
            "render |Time: 1",
            "Render | Time: 1",
            "render\u{b}| Time: 1",
            "render\u{a0}| Time: 1",
            "\u{feff}Time: 1",
            "\u{1b}[0mTime: 1",
            "x Time: 1",
            "  skipping existing frame",
            "SKIPPING existing frame",
            "",
        ] {
            assert_eq!(parse_line(line), BlenderLine::default(), "{line:?}");
        }
    }

    #[test]
    fn i2_a_file_of_a_node_is_named_without_quotes() {
        let parsed = parse_line("Saved: /render/nodes/depth0001.exr");
        assert_eq!(
            (parsed.saved, parsed.saved_by_node),
            (None, Some("/render/nodes/depth0001.exr"))
        );
        assert_eq!(parse_line("Saved: '/r/1.png'").saved_by_node, None);
        assert_eq!(parse_line("Info: Saved \"x.blend\"").saved_by_node, None);
    }

    #[test]
    fn saved_names_go_up_to_the_last_quote() {
        for (line, name) in [
            ("Saved: '/path/0001.png'", Some("/path/0001.png")),
            ("Saved: 'it's.png'", Some("it's.png")),
            ("Saved: 'a.png' and 'b'", Some("a.png' and 'b")),
            ("Saved: ''", Some("")),
            ("00:00.419  render           | Saved: 'a.png'", Some("a.png")),
            ("Saved: 'a.png", None),
            (" Saved: 'a.png'", None),
            ("Saved: \"a.png\"", None),
        ] {
            assert_eq!(parse_line(line).saved, name, "{line:?}");
        }
    }

    proptest! {
        #[test]
        fn no_line_is_too_much(line in "(render|[ |\tü]|Saved: '|Time: |[sS]kipping existing frame|['1:a]){0,12}") {
            let parsed = parse_line(&line);
            if let Some(name) = parsed.saved {
                prop_assert!(line.contains(name));
            }
        }
    }
}
