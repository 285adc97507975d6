// SPDX-License-Identifier: GPL-3.0-or-later

//! The formats of the files that a renderer writes: their file extensions, and whether a file is complete.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// The file extensions of the pictures that Blender writes.
pub(super) const PICTURES: [&str; 18] = [
    ".png", ".jpg", ".jpeg", ".exr", ".tif", ".tiff", ".tga", ".bmp", ".webp", ".jp2", ".j2c", ".hdr", ".dpx", ".cin",
    ".rgb", ".iris", ".sxr", ".mxr",
];
/// The file extensions of the movies that Blender writes.
const MOVIES: [&str; 12] = [
    ".mp4", ".mkv", ".avi", ".mov", ".mpg", ".m2v", ".webm", ".ogv", ".ogg", ".flv", ".dv", ".mpeg",
];
/// A header or a table that is longer, in bytes, is not read.
const MAX_READ: u64 = 8 << 20;

/// Whether a file of this name may be a picture or a movie.
pub(super) fn is_rendered(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    PICTURES.iter().chain(&MOVIES).any(|ending| name.ends_with(ending))
}

/// The file extensions that Blender may give to a picture of this format (its `--render-format`); all of them if the format is
/// not known.
pub(super) fn endings(format: Option<&str>) -> &'static [&'static str] {
    match format {
        Some("PNG") => &[".png"],
        Some("JPEG") => &[".jpg", ".jpeg"],
        // Blender may write a preview beside it.
        Some("OPEN_EXR" | "OPEN_EXR_MULTILAYER" | "MULTILAYER" | "EXR") => &[".exr", ".jpg"],
        Some("TIFF") => &[".tif", ".tiff"],
        Some("TGA" | "RAWTGA" | "TARGA" | "TARGA_RAW") => &[".tga"],
        Some("BMP") => &[".bmp"],
        Some("WEBP") => &[".webp"],
        Some("JP2" | "JPEG2000") => &[".jp2", ".j2c"],
        Some("HDR") => &[".hdr"],
        Some("DPX") => &[".dpx"],
        Some("CINEON") => &[".cin"],
        Some("IRIS") => &[".rgb"],
        // A movie is found because a process has it open.
        Some("FFMPEG" | "AVIJPEG" | "AVIRAW") => &[],
        Some(_) | None => &PICTURES,
    }
}

/// Whether a file is a complete picture, by what its format writes last. A file of an unknown format, or of one that does not
/// tell, counts as incomplete.
///
/// # Errors
/// Fails if the file cannot be read.
pub(super) fn is_whole(file: &File) -> io::Result<bool> {
    let length = file.metadata()?.len();
    let mut head = [0; 32];
    if length < 32 {
        return Ok(false);
    }
    file.read_exact_at(&mut head, 0)?;
    let mut tail = [0; 12];
    file.read_exact_at(&mut tail, length - 12)?;
    let long = |at: usize| [head[at], head[at + 1], head[at + 2], head[at + 3]];
    Ok(match head {
        [0x89, b'P', b'N', b'G', ..] => tail == *b"\0\0\0\0IEND\xae\x42\x60\x82",
        [0xff, 0xd8, 0xff, ..] | [0xff, 0x4f, 0xff, 0x51, ..] | [0, 0, 0, 12, b'j', b'P', b' ', b' ', ..] => {
            tail.ends_with(&[0xff, 0xd9])
        }
        [0x76, 0x2f, 0x31, 0x01, ..] => exr_is_whole(file, length)?,
        // The directory is written last, and then its offset into the header.
        [b'I', b'I', 42, 0, ..] => (9..length).contains(&u32::from_le_bytes(long(4)).into()),
        [b'M', b'M', 0, 42, ..] => (9..length).contains(&u32::from_be_bytes(long(4)).into()),
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => {
            u64::from(u32::from_le_bytes(long(4))) + 8 <= length
        }
        [b'B', b'M', ..] => u64::from(u32::from_le_bytes(long(2))) == length,
        [b'S', b'D', b'P', b'X', ..] => u64::from(u32::from_be_bytes(long(16))) == length,
        [b'X', b'P', b'D', b'S', ..] => u64::from(u32::from_le_bytes(long(16))) == length,
        _ => false,
    })
}

/// Whether an OpenEXR file is complete. It has a table of the offsets of its blocks, which are all zero until the last block
/// is written (the "Line offset tables" of its file layout). The table ends where the first block begins.
fn exr_is_whole(file: &File, length: u64) -> io::Result<bool> {
    let mut bytes = vec![0; usize::try_from(length.min(MAX_READ)).unwrap_or(0)];
    file.read_exact_at(&mut bytes, 0)?;
    let Some(table) = exr_table(&bytes).and_then(|at| bytes.get(at..).map(|rest| (at, rest))) else {
        return Ok(false);
    };
    let (start, rest) = table;
    let mut offsets = rest.as_chunks::<8>().0.iter().map(|bytes| u64::from_le_bytes(*bytes));
    let Some(first) = offsets.next().filter(|first| *first > start as u64 && *first < length) else {
        return Ok(false);
    };
    let Some(others) = ((first - start as u64) / 8).checked_sub(1) else {
        return Ok(false);
    };
    let others = usize::try_from(others).unwrap_or(usize::MAX);
    let mut seen = 0;
    let inside = offsets.take(others).all(|offset| {
        seen += 1;
        offset >= first && offset < length
    });
    Ok(inside && seen == others)
}

/// The offset of the tables. They follow the headers, each of which has attributes (name, type, size, value) and then a zero;
/// after several headers one more zero follows.
fn exr_table(bytes: &[u8]) -> Option<usize> {
    const MULTIPART: u32 = 0x1000;
    let version = u32::from_le_bytes(*bytes.get(4..)?.first_chunk()?);
    let mut at = 8;
    loop {
        while *bytes.get(at)? != 0 {
            at += text_length(bytes.get(at..)?)?;
            at += text_length(bytes.get(at..)?)?;
            let size = u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?);
            at = at.checked_add(4)?.checked_add(usize::try_from(size).ok()?)?;
        }
        at += 1;
        if version & MULTIPART == 0 {
            return Some(at);
        }
        if *bytes.get(at)? == 0 {
            return Some(at + 1);
        }
    }
}

/// The length of a text and its zero.
fn text_length(bytes: &[u8]) -> Option<usize> {
    bytes.iter().position(|byte| *byte == 0).map(|length| length + 1)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn whole(bytes: &[u8]) -> bool {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("picture");
        fs::write(&path, bytes).unwrap();
        is_whole(&File::open(path).unwrap()).unwrap()
    }

    /// The smallest file of OpenEXR's layout: one attribute, two blocks.
    fn exr(offsets: [u64; 2]) -> Vec<u8> {
        let mut bytes = b"\x76\x2f\x31\x01\x02\0\0\0lines\0int\0\x04\0\0\0\x02\0\0\0\0".to_vec();
        for offset in offsets {
            bytes.extend(offset.to_le_bytes());
        }
        bytes.extend([7; 40]);
        bytes
    }

    #[test]
    fn i2_a_picture_is_whole_with_its_last_byte_and_not_before() {
        let mut png = Vec::new();
        let mut jpeg = Vec::new();
        let picture = image::RgbImage::from_fn(40, 30, |x, y| image::Rgb([(x * y % 251) as u8, 3, 9]));
        picture
            .write_to(&mut io::Cursor::new(&mut png), image::ImageFormat::Png)
            .unwrap();
        picture
            .write_to(&mut io::Cursor::new(&mut jpeg), image::ImageFormat::Jpeg)
            .unwrap();
        for bytes in [png, jpeg] {
            assert!(whole(&bytes));
            for cut in [0, 1, 40, bytes.len() / 2, bytes.len() - 1] {
                assert!(!whole(&bytes[..cut]), "{cut} of {}", bytes.len());
            }
        }
    }

    #[test]
    fn i2_an_exr_is_whole_when_its_table_is_written() {
        let start = u64::try_from(exr([0, 0]).len()).unwrap() - 40;
        assert!(whole(&exr([start, start + 20])));
        for offsets in [[0, 0], [start, 0], [start, start + 40], [start + 8, start], [3, 4]] {
            assert!(!whole(&exr(offsets)), "{offsets:?}");
        }
        let bytes = exr([start, start + 20]);
        for cut in 0..bytes.len() - 40 {
            assert!(!whole(&bytes[..cut]), "{cut}");
        }
    }

    #[test]
    fn i2_an_exr_whose_first_block_begins_within_its_table_is_not_whole() {
        let start = u64::try_from(exr([0, 0]).len()).unwrap() - 40;
        for first in start - 16..start - 8 {
            assert!(!whole(&exr([first, start])), "{first}");
        }
    }

    #[test]
    fn i2_other_formats_tell_by_their_header() {
        let file = |head: &[u8]| [head, &[0; 100]].concat()[..100].to_vec();
        assert!(whole(&file(b"II*\0\x20\0\0\0")) && whole(&file(b"MM\0*\0\0\0\x20")));
        assert!(!whole(&file(b"II*\0\0\0\0\0")) && !whole(&file(b"MM\0*\0\0\x20\x20")));
        assert!(whole(&file(b"RIFF\x5c\0\0\0WEBP")) && !whole(&file(b"RIFF\x5d\0\0\0WEBP")));
        assert!(whole(&file(b"BM\x64\0\0\0")) && !whole(&file(b"BM\x65\0\0\0")));
        assert!(!whole(&[0; 100]) && !whole(b"#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n\n-Y 1 +X 1\n"));
    }

    #[test]
    fn i2_names_of_pictures_and_movies_are_known() {
        for name in ["a.png", "A.EXR", "x.y.mkv"] {
            assert!(is_rendered(name), "{name}");
        }
        for name in ["png", "a.blend", "a.png.partial", "x.log", ""] {
            assert!(!is_rendered(name), "{name}");
        }
    }
}
