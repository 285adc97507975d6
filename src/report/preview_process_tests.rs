// SPDX-License-Identifier: GPL-3.0-or-later

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;

use image::{ImageFormat, RgbImage};
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use tempfile::TempDir;

use super::*;

/// What comes of what is at `path`, for a task that began at the epoch.
fn made(path: &Path) -> Result<RgbImage, NoPreview> {
    let home = TempDir::new().unwrap();
    let request = PreviewRequest {
        picture: path.to_owned(),
        output: home.path().join("out.jpg"),
        not_before: SystemTime::UNIX_EPOCH,
        limit: Duration::from_secs(10),
        held: None,
    };
    make(request, |start| start(|| Ok(())))?;
    let bytes = fs::read(home.path().join("out.jpg")).unwrap();
    let image = image::load_from_memory_with_format(&bytes, ImageFormat::Jpeg).unwrap();
    Ok(image.into_rgb8())
}

fn picture(path: &Path) {
    RgbImage::from_pixel(64, 48, image::Rgb([255, 0, 0]))
        .save_with_format(path, ImageFormat::Png)
        .unwrap();
}

#[test]
fn what_is_asked_for_survives_the_command_line() {
    let request = PreviewRequest {
        picture: OsStr::from_bytes(b"/r/a\xff\n'.exr").into(),
        output: "/home/picture.jpg".into(),
        not_before: SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000),
        limit: Duration::from_secs(10),
        held: None,
    };
    let words = request.words();
    assert_eq!(words[0], PREVIEW_ROLE);
    assert_eq!(PreviewRequest::parse(&words[1..]), Some(request));
    assert_eq!(PreviewRequest::parse(&words), None);
    let odd = ["a", "b", "18446744073709551615", "x", "null"].map(OsString::from);
    assert_eq!(PreviewRequest::parse(&odd), None);
}

#[test]
fn j28_a_picture_of_any_name_in_any_folder_is_read() {
    let folder = TempDir::new().unwrap();
    fs::create_dir(folder.path().join("frames")).unwrap();
    symlink(folder.path().join("frames"), folder.path().join("link")).unwrap();
    for name in [&b"1.png"[..], b" it's\n\xff\xfe\t.exr", b"-", b"$(x)"] {
        let path = folder.path().join("link").join(OsStr::from_bytes(name));
        picture(&path);
        let pixel = made(&path).unwrap().get_pixel(5, 5).0;
        assert!(pixel[0] > 240 && pixel[1] < 12, "{pixel:?}");
    }
}

#[test]
fn j25_only_a_file_that_was_written_since_is_read() {
    let folder = TempDir::new().unwrap();
    let at = |name: &str| folder.path().join(name);
    picture(&at("other.png"));
    symlink(at("other.png"), at("link")).unwrap();
    symlink("/dev/zero", at("zero")).unwrap();
    mkfifo(&at("fifo"), Mode::S_IRWXU).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(at("socket")).unwrap();
    for (path, wanted) in [
        (at("link"), "it is a link, not a file"),
        (at("zero"), "it is a link, not a file"),
        (at("fifo"), "it is a FIFO, not a file"),
        (at("socket"), "it is a socket, not a file"),
        (at(""), "it is a folder, not a file"),
        ("/dev/zero".into(), "it is a device, not a file"),
    ] {
        assert_eq!(made(&path).unwrap_err().to_string(), wanted, "{path:?}");
    }
    assert!(matches!(made(&at("none")), Err(NoPreview::Io(_))));
    let file = File::options().append(true).open(at("other.png")).unwrap();
    file.set_modified(SystemTime::UNIX_EPOCH - Duration::from_secs(1))
        .unwrap();
    assert!(matches!(made(&at("other.png")), Err(NoPreview::TooOld)));
    file.set_modified(crate::clock::system_time()).unwrap();
    file.set_len(LARGEST_INPUT + 1).unwrap();
    assert!(matches!(made(&at("other.png")), Err(NoPreview::TooLarge(_))));
}

#[test]
fn a_small_picture_never_goes_through_a_link() {
    let folder = TempDir::new().unwrap();
    picture(&folder.path().join("in.png"));
    symlink(folder.path().join("elsewhere"), folder.path().join("out.jpg")).unwrap();
    let request = PreviewRequest {
        picture: folder.path().join("in.png"),
        output: folder.path().join("out.jpg"),
        not_before: SystemTime::UNIX_EPOCH,
        limit: Duration::from_secs(10),
        held: None,
    };
    make(request, |start| start(|| Ok(()))).unwrap();
    assert!(folder.path().join("out.jpg").symlink_metadata().unwrap().is_file());
    assert!(!folder.path().join("elsewhere").exists());
}
