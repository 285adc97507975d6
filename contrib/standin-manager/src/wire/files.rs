// SPDX-License-Identifier: GPL-3.0-or-later
//! `/job-files/`: task logs and pictures as they lie in the storage, whole or by the range a client asks for.

use std::{
    fs::{self, File},
    io::{self, Read, Seek, SeekFrom},
    ops::Range,
    path::{Path, PathBuf},
};

use super::{Asked, answer::Answer};

/// `JobFilesURLPrefix` of the real one.
pub(crate) const PREFIX: &str = "/job-files/";

/// `path` comes from the request, behind the prefix.
pub(crate) fn answer(storage: &Path, path: &str, asked: &Asked<'_>) -> Answer {
    let found = inside(storage, path).and_then(|path| {
        let size = fs::metadata(&path).ok().filter(fs::Metadata::is_file)?.len();
        Some((path, size))
    });
    let Some((path, size)) = found else {
        return Answer::bare_error(404, "Not Found");
    };
    let mut answer = match wanted(asked.header("range"), size) {
        Wanted::Whole => read(&path, 0..size).map(|bytes| Answer::typed(200, kind(&path), bytes)),
        Wanted::Part(part) => {
            let shown = format!("bytes {}-{}/{size}", part.start, part.end - 1);
            read(&path, part).map(|bytes| Answer::typed(206, kind(&path), bytes).header("Content-Range", &shown))
        }
        Wanted::Nothing => {
            let body = b"invalid range: failed to overlap\n".to_vec();
            let answer = Answer::typed(416, "text/plain; charset=utf-8", body);
            Ok(answer.header("Content-Range", &format!("bytes */{size}")))
        }
    }
    .unwrap_or_else(|_| Answer::bare_error(500, "Internal Server Error"));
    let length = answer.body.len().to_string();
    answer = answer.header("Content-Length", &length);
    answer
        .header("Accept-Ranges", "bytes")
        .header("X-Content-Type-Options", "nosniff")
}

/// The file a request means, links followed; `None` where that is not below the storage.
fn inside(storage: &Path, path: &str) -> Option<PathBuf> {
    // Every name in the storage is made of these; so nothing needs to be decoded, and no name leads upwards.
    let plain = |part: &str| {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        !part.is_empty() && !part.starts_with('.') && part.bytes().all(allowed)
    };
    if !path.split('/').all(plain) {
        return None;
    }
    let storage = storage.canonicalize().ok()?;
    let found = storage.join(path).canonicalize().ok()?;
    found.starts_with(storage).then_some(found)
}

fn read(path: &Path, part: Range<u64>) -> io::Result<Vec<u8>> {
    let mut file = File::open(path)?;
    file.seek(SeekFrom::Start(part.start))?;
    let mut bytes = Vec::new();
    file.take(part.end - part.start).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn kind(path: &Path) -> &'static str {
    match path.extension().and_then(|ending| ending.to_str()) {
        Some("txt") => "text/plain; charset=utf-8",
        Some("jpg") => "image/jpeg",
        Some("png") => "image/png",
        Some(_) | None => "application/octet-stream",
    }
}

#[derive(Debug, PartialEq)]
enum Wanted {
    Whole,
    Part(Range<u64>),
    /// No byte of it exists.
    Nothing,
}

/// One range; several at once are answered with the whole, as RFC 9110 allows.
fn wanted(header: Option<&str>, size: u64) -> Wanted {
    let Some(header) = header else {
        return Wanted::Whole;
    };
    let range = header.strip_prefix("bytes=").unwrap_or_default().trim();
    if range.contains(',') {
        return Wanted::Whole;
    }
    let Some((first, last)) = range.split_once('-') else {
        return Wanted::Nothing;
    };
    let part = match (first.parse::<u64>(), last.parse::<u64>()) {
        (Ok(first), Ok(last)) => first..last.saturating_add(1).min(size),
        (Ok(first), Err(_)) if last.is_empty() => first..size,
        (Err(_), Ok(last)) if first.is_empty() => size.saturating_sub(last)..size,
        (Ok(_) | Err(_), Err(_)) | (Err(_), Ok(_)) => 0..0,
    };
    if part.is_empty() {
        Wanted::Nothing
    } else {
        Wanted::Part(part)
    }
}

#[cfg(test)]
mod tests {
    use super::{Wanted, wanted};

    #[test]
    fn a_range_is_cut_to_what_there_is() {
        let cases = [
            (None, Wanted::Whole),
            (Some("bytes=0-"), Wanted::Part(0..10)),
            (Some("bytes=4-5"), Wanted::Part(4..6)),
            (Some("bytes=4-99"), Wanted::Part(4..10)),
            (Some("bytes=-3"), Wanted::Part(7..10)),
            (Some("bytes=-99"), Wanted::Part(0..10)),
            (Some("bytes=10-"), Wanted::Nothing),
            (Some("bytes=5-4"), Wanted::Nothing),
            (Some("bytes=18446744073709551615-"), Wanted::Nothing),
            (Some("bytes=0-18446744073709551615"), Wanted::Part(0..10)),
            (Some("lines=1-2"), Wanted::Nothing),
            (Some("bytes=0-1,4-5"), Wanted::Whole),
        ];
        for (header, part) in cases {
            assert_eq!(wanted(header, 10), part, "{header:?}");
        }
    }
}
