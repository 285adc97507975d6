// SPDX-License-Identifier: GPL-3.0-or-later

use std::os::unix::fs::symlink;

use super::*;
use crate::command::output_pattern::output_patterns;

/// A folder, and a run of frames 1 to 3 whose pictures belong into `out` there.
struct TestRun {
    folder: tempfile::TempDir,
    run: RenderRun,
}

impl TestRun {
    fn new(prepare: impl FnOnce(&Path)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("out");
        fs::create_dir(&out).unwrap();
        prepare(&out);
        let words = ["-o", out.join("x").to_str().unwrap(), "-F", "PNG", "-f", "1..3"].map(str::to_owned);
        let outputs = output_patterns(&words, Path::new("/"));
        let run = RenderRun {
            before: Some(stamp_pictures(&outputs).unwrap()),
            mounts: mounts_of(&outputs),
            outputs,
            saved: Vec::new(),
            writing: Vec::new(),
            tmpdir: folder.path().join("tmp"),
            began: crate::clock::system_time(),
            not_after: None,
        };
        Self { folder, run }
    }

    fn out(&self, name: &str) -> PathBuf {
        self.folder.path().join("out").join(name)
    }

    fn is_open(&mut self, path: &Path) {
        let path = path
            .parent()
            .unwrap()
            .canonicalize()
            .unwrap()
            .join(path.file_name().unwrap());
        self.run.writing.push(OpenFile {
            inode: Some(fs::symlink_metadata(&path).unwrap().ino()),
            path: path.to_str().unwrap().to_owned(),
        });
    }

    fn set_aside(&self) -> Vec<String> {
        let UnfinishedSearch {
            unfinished,
            problems: mut lines,
        } = self.run.find();
        let done = unfinished.into_iter().map(UnfinishedPicture::set_aside);
        lines.extend(done.filter_map(|done| done.unwrap_or_else(Some)));
        lines
    }

    fn names(&self) -> Vec<String> {
        let mut names: Vec<_> = fs::read_dir(self.folder.path().join("out"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }
}

fn png() -> Vec<u8> {
    let mut bytes = Vec::new();
    let picture = image::RgbImage::new(20, 20);
    picture
        .write_to(&mut io::Cursor::new(&mut bytes), image::ImageFormat::Png)
        .unwrap();
    bytes
}

#[test]
fn i2_only_what_this_run_began_and_did_not_finish_is_set_aside() {
    let mut test = TestRun::new(|out| fs::write(out.join("x0003.png"), "older").unwrap());
    fs::write(test.out("x0001.png"), "half").unwrap();
    fs::write(test.out("x0002.png"), png()).unwrap();
    fs::write(test.out("x0004.png"), "half, of another task").unwrap();
    fs::write(test.out("x0001.png.partial"), "of an earlier try").unwrap();
    test.run.saved.push(test.out("x0009.png"));
    let path = test.out("x0001.png").display().to_string();
    assert_eq!(
        test.set_aside(),
        [format!(
            "Set aside: {path} was not finished; its 4 B are now in x0001.png.partial"
        )]
    );
    assert_eq!(
        test.names(),
        ["x0001.png.partial", "x0002.png", "x0003.png", "x0004.png"]
    );
    assert_eq!(fs::read(test.out("x0001.png.partial")).unwrap(), b"half");
}

#[test]
fn i2_what_was_saved_stays_also_under_another_name_of_its_folder() {
    let mut test = TestRun::new(|_| ());
    let alias = test.folder.path().join("alias");
    symlink(test.folder.path().join("out"), &alias).unwrap();
    for frame in 1..=3 {
        fs::write(test.out(&format!("x000{frame}.png")), "no picture").unwrap();
    }
    test.run.saved.push(test.out("x0001.png"));
    test.run.saved.push(alias.join("x0002.png"));
    // The same name elsewhere is another file.
    test.run.saved.push(test.folder.path().join("depth/x0003.png"));
    test.set_aside();
    assert_eq!(test.names(), ["x0001.png", "x0002.png", "x0003.png.partial"]);
}

#[test]
fn i2_a_placeholder_goes_and_an_older_one_stays() {
    let test = TestRun::new(|out| fs::write(out.join("x0002.png"), "").unwrap());
    fs::write(test.out("x0001.png"), "").unwrap();
    let lines = test.set_aside();
    assert!(lines.len() == 1 && lines[0].starts_with("Removed: "), "{lines:?}");
    assert_eq!(test.names(), ["x0002.png"]);
}

#[test]
fn i2_an_older_picture_that_was_begun_anew_is_set_aside() {
    let test = TestRun::new(|out| fs::write(out.join("x0001.png"), png()).unwrap());
    fs::write(test.out("x0001.png"), "half").unwrap();
    test.set_aside();
    assert_eq!(test.names(), ["x0001.png.partial"]);
}

#[test]
fn i2_links_are_left_alone_and_so_is_what_they_lead_to() {
    let mut test = TestRun::new(|_| ());
    let precious = test.folder.path().join("precious.png");
    fs::write(&precious, "half").unwrap();
    symlink(&precious, test.out("x0001.png")).unwrap();
    fs::create_dir(test.out("x0002.png")).unwrap();
    nix::unistd::mkfifo(&test.out("x0003.png"), Mode::S_IRWXU).unwrap();
    // What is open behind the link is outside the output's folder.
    test.is_open(&precious);
    assert_eq!(test.set_aside(), [""; 0]);
    assert_eq!(test.names(), ["x0001.png", "x0002.png", "x0003.png"]);
    assert!(precious.exists());
}

#[test]
fn i2_what_was_open_for_writing_goes_also_where_the_pattern_does_not_tell() {
    let mut test = TestRun::new(|out| fs::create_dir(out.join("nodes")).unwrap());
    for name in ["nodes/depth0001.exr", "movie.mp4", "notes.txt", "moved.png"] {
        fs::write(test.out(name), "half").unwrap();
        let path = test.out(name);
        test.is_open(&path);
    }
    // Another file bears the name by now.
    fs::rename(test.out("moved.png"), test.out("kept.png")).unwrap();
    fs::write(test.out("moved.png"), "another").unwrap();
    let tmp = test.run.tmpdir.clone();
    fs::create_dir(&tmp).unwrap();
    fs::write(tmp.join("preview.png"), "half").unwrap();
    test.is_open(&tmp.join("preview.png"));
    test.run.tmpdir = tmp.canonicalize().unwrap();
    test.set_aside();
    assert_eq!(
        test.names(),
        ["kept.png", "moved.png", "movie.mp4.partial", "nodes", "notes.txt"]
    );
    assert!(test.out("nodes/depth0001.exr.partial").exists() && tmp.join("preview.png").exists());
    // The same without a pattern: pictures and movies anywhere.
    fs::write(test.out("movie.mp4"), "half").unwrap();
    let movie = test.out("movie.mp4");
    test.run.writing.clear();
    test.is_open(&movie);
    test.run.outputs.clear();
    test.set_aside();
    assert!(!test.out("movie.mp4").exists());
    fs::write(test.out("old.mp4"), "half").unwrap();
    let old = File::options().write(true).open(test.out("old.mp4")).unwrap();
    old.set_modified(crate::clock::system_time() - Duration::from_secs(3600))
        .unwrap();
    let old = test.out("old.mp4");
    test.is_open(&old);
    assert_eq!(test.set_aside(), [""; 0]);
}

#[test]
fn i2_what_somebody_else_writes_meanwhile_is_left_to_them() {
    let test = TestRun::new(|_| ());
    fs::write(test.out("x0001.png"), "half").unwrap();
    let mut found = test.run.find().unfinished;
    fs::write(test.out("x0001.png"), "half and more").unwrap();
    let line = found.remove(0).set_aside().unwrap().unwrap();
    assert!(line.starts_with("Left alone: "), "{line}");
    assert_eq!(test.names(), ["x0001.png"]);
}

#[test]
fn i2_what_was_written_after_the_host_was_up_again_is_another_nodes() {
    let mut test = TestRun::new(|_| ());
    fs::write(test.out("x0001.png"), "half").unwrap();
    test.run.not_after = Some(crate::clock::system_time() - Duration::from_secs(60));
    assert_eq!(test.set_aside(), [""; 0]);
    test.run.not_after = Some(crate::clock::system_time() + Duration::from_secs(60));
    assert_eq!(test.set_aside().len(), 1);
}

#[test]
fn i2_without_its_file_system_nothing_counts_as_looked_at() {
    let mut test = TestRun::new(|_| ());
    assert!(!test.run.mounts.is_empty());
    fs::write(test.out("x0001.png"), "half").unwrap();
    test.run.mounts.push(test.folder.path().to_owned());
    let lines = test.set_aside();
    let what = format!("nothing is mounted at {}; ", test.folder.path().display());
    assert!(lines.len() == 1 && lines[0].contains(&what), "{lines:?}");
    assert_eq!(test.names(), ["x0001.png"]);
}

#[test]
fn i2_what_cannot_be_set_aside_is_said() {
    let test = TestRun::new(|_| ());
    fs::write(test.out("x0001.png"), "half").unwrap();
    fs::create_dir(test.out("x0001.png.partial")).unwrap();
    let lines = test.set_aside();
    assert!(
        lines.len() == 1 && lines[0].starts_with("Cannot set aside") && lines[0].contains("EISDIR"),
        "{lines:?}"
    );
    assert_eq!(test.names(), ["x0001.png", "x0001.png.partial"]);
}

#[test]
fn i2_a_long_range_is_found_by_reading_the_folder() {
    let mut test = TestRun::new(|_| ());
    let words = [
        "-o",
        test.out("x").to_str().unwrap(),
        "-F",
        "PNG",
        "-s",
        "1",
        "-e",
        "900000",
        "-a",
    ]
    .map(str::to_owned);
    test.run.outputs = output_patterns(&words, Path::new("/"));
    fs::write(test.out("x123456.png"), "half").unwrap();
    test.set_aside();
    assert_eq!(test.names(), ["x123456.png.partial"]);
}
