// SPDX-License-Identifier: GPL-3.0-or-later

//! What the lines of Blender's output say together: frames that are done, and files that were written.
//!
//! Names may have any bytes, with two exceptions: a carriage return begins a line anew, and a name with a quote before a
//! line break seems to end at that quote.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::blender_lines::parse_line;
use crate::report::TaskLog;

/// Bytes of a name; the kernel takes none that is longer (PATH_MAX).
const LONGEST_NAME: usize = 4096;

/// What is remembered between two lines.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RenderOutput {
    /// A name that has a line break, as far as it came.
    begun: Option<Vec<u8>>,
    /// The last file of a File Output node in this frame. It is shown if the frame itself writes none, which Blender says
    /// after those of its nodes.
    node: Option<OsString>,
}

impl RenderOutput {
    /// Handles one line, and returns the file that was saved.
    pub(super) fn handle_line(&mut self, line: &[u8], log: &mut dyn TaskLog) -> Option<PathBuf> {
        let parsed = parse_line(line);
        let continued = self.continued(line);
        let saved = parsed.saved.or(continued.as_deref()).and_then(absolute);
        self.begun = parsed.saved_begin.map(<[u8]>::to_vec).or(self.begun.take());
        if let Some(path) = &saved {
            self.node = None;
            log.produced(path);
        }
        let saved_by_node = parsed.saved_by_node.map(|name| PathBuf::from(OsStr::from_bytes(name)));
        if saved_by_node.is_some() {
            self.node = saved_by_node.clone().map(OsString::from);
        }
        if parsed.step {
            if let Some(path) = self.node.take() {
                log.produced(Path::new(&path));
            }
            log.step();
        }
        saved.or(saved_by_node)
    }

    /// The name that a line before began, if it ends in this one.
    fn continued(&mut self, line: &[u8]) -> Option<Vec<u8>> {
        let mut name = self.begun.take()?;
        name.push(b'\n');
        match line.strip_suffix(b"'") {
            Some(end) => {
                name.extend(end);
                Some(name)
            }
            None => {
                name.extend(line);
                self.begun = Some(name).filter(|name| name.len() <= LONGEST_NAME);
                None
            }
        }
    }
}

/// Blender runs in the worker's directory, so its relative names are relative to that.
fn absolute(name: &[u8]) -> Option<PathBuf> {
    std::path::absolute(Path::new(OsStr::from_bytes(name))).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::tests::RecordingLog;

    fn after(lines: &[&[u8]]) -> RecordingLog {
        let mut log = RecordingLog::default();
        let mut output = RenderOutput::default();
        for line in lines {
            output.handle_line(line, &mut log);
        }
        log
    }

    #[test]
    fn pictures_have_absolute_names_and_frames_are_steps() {
        let log = after(&[
            b"Saved: 'out/1.png'",
            b" Time: 00:00.85 (Saving: 00:00.60)",
            b"Fra:1 Mem:1M | Time:00:00.05",
        ]);
        let here = std::env::current_dir().unwrap();
        assert_eq!((log.steps, log.produced.as_slice()), (1, &[here.join("out/1.png")][..]));
    }

    #[test]
    fn j28_names_of_any_bytes_are_kept_and_line_breaks_put_back() {
        let name = |bytes: &[u8]| PathBuf::from(OsStr::from_bytes(bytes));
        let log = after(&[b"Saved: '/r/ it's\xff.png'", b"Saved: '/r/a", b"", b"b.png'", b"c'"]);
        assert_eq!(log.produced, [name(b"/r/ it's\xff.png"), name(b"/r/a\n\nb.png")]);
        // What never ends is let go.
        let long = vec![b'x'; LONGEST_NAME];
        assert!(after(&[b"Saved: '/r/a", &long, b"b.png'"]).produced.is_empty());
    }

    #[test]
    fn j27_a_file_of_a_node_is_shown_where_the_frame_has_none() {
        let (node, other) = (b"Saved: /r/depth1.exr", b"Saved: /r/rgb1.exr");
        let time = b" Time: 00:00.85 (Saving: 00:00.60)";
        let shown = |lines: &[&[u8]]| after(lines).produced;
        assert_eq!(shown(&[node, b"Saved: '/r/1.png'", time]), [Path::new("/r/1.png")]);
        assert_eq!(shown(&[node, other, time]), [Path::new("/r/rgb1.exr")]);
        assert!(shown(&[node]).is_empty(), "the frame is not done");
    }
}
