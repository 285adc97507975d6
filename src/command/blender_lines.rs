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

use memchr::memmem;

/// What one line says. Most lines say nothing that matters. Names are bytes, as Blender prints them.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct BlenderLine<'a> {
    /// A file was written; this is its name.
    pub(crate) saved: Option<&'a [u8]>,
    /// The same, but the quote at its end is missing: a line break is part of the name.
    pub(super) saved_begin: Option<&'a [u8]>,
    /// A file of a File Output node was written. Blender 3.4 prints its name without quotes.
    pub(super) saved_by_node: Option<&'a [u8]>,
    /// A frame was rendered, or skipped because its file exists. A line counts as one step at most.
    pub(super) step: bool,
}

/// Parses one line.
pub(crate) fn parse_line(line: &[u8]) -> BlenderLine<'_> {
    // Nearly every line of a render is a progress line, which this makes cheap.
    let marks: [&[u8]; 3] = [b"Saved: ", b"Time: ", b"kipping existing frame"];
    if !marks.iter().any(|mark| memmem::find(line, mark).is_some()) {
        return BlenderLine::default();
    }
    let starts = || std::iter::once(line).chain(behind_render(line));
    let quoted = || starts().filter_map(|start| start.strip_prefix(b"Saved: '"));
    BlenderLine {
        saved: quoted().find_map(closed),
        saved_begin: quoted().find(|name| closed(name).is_none()),
        saved_by_node: starts().find_map(|start| start.strip_prefix(b"Saved: ").filter(|name| name.starts_with(b"/"))),
        step: is_time(without_blanks(line)) || starts().any(|start| is_time(start) || is_skipped(start)),
    }
}

/// What follows each `render`, blanks, `|`, blanks in the line.
fn behind_render(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    const RENDER: &[u8] = b"render";
    memmem::find_iter(line, RENDER).filter_map(|at| {
        let bar = some_blanks(&line[at + RENDER.len()..])?;
        some_blanks(bar.strip_prefix(b"|")?)
    })
}

/// What follows one blank or more.
fn some_blanks(text: &[u8]) -> Option<&[u8]> {
    let rest = without_blanks(text);
    (rest.len() < text.len()).then_some(rest)
}

fn without_blanks(text: &[u8]) -> &[u8] {
    let blanks = text
        .iter()
        .take_while(|byte| matches!(byte, b' ' | b'\t' | b'\n' | b'\x0c' | b'\r'));
    &text[blanks.count()..]
}

/// The name up to the last quote of the line, because a name may contain a quote.
fn closed(name: &[u8]) -> Option<&[u8]> {
    Some(&name[..memchr::memrchr(b'\'', name)?])
}

fn is_time(start: &[u8]) -> bool {
    let time = start.strip_prefix(b"Time: ").and_then(<[u8]>::first);
    time.is_some_and(|first| matches!(first, b'0'..=b'9' | b':' | b'.'))
}

fn is_skipped(start: &[u8]) -> bool {
    start.starts_with(b"skipping existing frame") || start.starts_with(b"Skipping existing frame")
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

    fn text(name: &[u8]) -> &str {
        std::str::from_utf8(name).unwrap()
    }

    fn all(output: &str) -> (Vec<&str>, usize) {
        let lines = || output.lines().map(|line| parse_line(line.as_bytes()));
        (
            lines().filter_map(|line| line.saved.map(text)).collect(),
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
            assert!(parse_line(line.as_bytes()).step, "{line:?}");
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
            assert_eq!(parse_line(line.as_bytes()), BlenderLine::default(), "{line:?}");
        }
    }

    #[test]
    fn i2_a_file_of_a_node_is_named_without_quotes() {
        let parsed = parse_line(b"Saved: /render/nodes/depth0001.exr");
        assert_eq!(
            (parsed.saved, parsed.saved_by_node),
            (None, Some(&b"/render/nodes/depth0001.exr"[..]))
        );
        assert_eq!(parse_line(b"Saved: '/r/1.png'").saved_by_node, None);
        assert_eq!(parse_line(b"Info: Saved \"x.blend\"").saved_by_node, None);
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
            assert_eq!(parse_line(line.as_bytes()).saved.map(text), name, "{line:?}");
        }
    }

    #[test]
    fn j28_a_name_need_not_be_text_and_may_go_on_in_the_next_line() {
        let parsed = parse_line(b"Saved: '/r/caf\xe9 '1'.png'");
        assert_eq!(
            (parsed.saved, parsed.saved_begin),
            (Some(&b"/r/caf\xe9 '1'.png"[..]), None)
        );
        let parsed = parse_line(b"00:00.419  render           | Saved: '/r/two");
        assert_eq!((parsed.saved, parsed.saved_begin), (None, Some(&b"/r/two"[..])));
    }

    proptest! {
        #[test]
        fn no_line_is_too_much(line in "(render|[ |\tü]|Saved: '|Time: |[sS]kipping existing frame|['1:a]){0,12}") {
            let parsed = parse_line(line.as_bytes());
            if let Some(name) = parsed.saved {
                prop_assert!(line.contains(text(name)));
            }
        }
    }
}
