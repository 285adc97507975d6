// SPDX-License-Identifier: GPL-3.0-or-later
//! Where things are while the demo runs, and what stays of them.
//!
//! ```text
//! backstage   workers' homes and configurations, Manager's files, scene, samples   always gone at the end
//! output      turntable-0001.png .., turntable-1-18.mp4, worker.log or worker-1.log ..   stays, unless nothing was finished
//! ```

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use console::strip_ansi_codes;
use tempfile::TempDir;

use crate::{
    farm::Shot,
    interrupt::{End, failed},
    programs::read_text,
    show::Show,
};

/// The last lines of the worker's log that are shown when something failed.
const TAIL: usize = 12;

pub(crate) struct Places {
    backstage: TempDir,
    output: PathBuf,
    /// The output is a folder that we made up.
    made_up: bool,
}

impl Places {
    /// Makes both. Pictures and videos of an earlier demonstration are removed, or they would be taken for this one's.
    ///
    /// # Errors
    /// One of them cannot be made or written.
    pub(crate) fn make(output: Option<PathBuf>) -> Result<Self, End> {
        let backstage = tempfile::Builder::new()
            .prefix("flamenco-demo-backstage-")
            .tempdir()
            .map_err(failed("making a temporary directory"))?;
        let made_up = output.is_none();
        let output = match output {
            Some(chosen) => fresh(&chosen).map_err(failed(&format!("preparing {}", chosen.display())))?,
            None => tempfile::Builder::new()
                .prefix("flamenco-demo-")
                .tempdir()
                .map_err(failed("making a directory for the pictures"))?
                .keep(),
        };
        Ok(Self {
            backstage,
            output,
            made_up,
        })
    }

    pub(crate) fn backstage(&self) -> &Path {
        self.backstage.path()
    }

    pub(crate) fn output(&self) -> &Path {
        &self.output
    }

    pub(crate) fn log(&self) -> PathBuf {
        self.output.join("worker.log")
    }

    /// Of one among several workers, from 1.
    pub(crate) fn log_of(&self, number: usize) -> PathBuf {
        self.output.join(format!("worker-{number}.log"))
    }

    /// Pictures of samples that nobody keeps.
    pub(crate) fn samples(&self) -> PathBuf {
        self.backstage().join("samples")
    }

    /// A worker's working directory, with its configuration.
    ///
    /// # Errors
    /// It cannot be made or written.
    pub(crate) fn for_worker(&self, number: usize, configuration: &str) -> Result<PathBuf, End> {
        let place = self.backstage().join(format!("worker-{number}"));
        fs::create_dir(&place)
            .and_then(|()| fs::write(place.join("flamenco-worker.toml"), configuration))
            .map_err(failed("writing the worker's configuration"))?;
        Ok(place)
    }

    /// Looks at each picture before it says that they are there.
    ///
    /// # Errors
    /// One is missing or broken.
    pub(crate) fn tell_of_the_results(&self, shot: &Shot<'_>, show: &mut Show) -> Result<(), End> {
        let mut count = 0;
        for picture in shot.pictures() {
            image::open(&picture).map_err(failed(&format!("looking at {}", picture.display())))?;
            count += 1;
        }
        show.gap();
        show.fact("Pictures", &format!("{count} in {}", self.output.display()));
        if shot.encoder.is_some() {
            let video = shot.video();
            let size = fs::metadata(&video)
                .map_err(failed(&format!("looking at {}", video.display())))?
                .len();
            show.fact("Video", &format!("{} ({} kB)", video.display(), size.div_ceil(1000)));
        }
        show.fact("Log", &format!("{} (the worker's)", self.log().display()));
        Ok(())
    }

    /// After a failure: the logs stay, and the end of each that was written is shown.
    pub(crate) fn tell_of_the_logs(self, show: &mut Show) {
        let numbered = (1..).map(|number| self.log_of(number)).take_while(|log| log.exists());
        let logs: Vec<_> = std::iter::once(self.log()).chain(numbered).collect();
        let mut any = false;
        for log in logs {
            let text = strip_ansi_codes(&read_text(&log)).into_owned();
            let lines: Vec<_> = text.lines().collect();
            if lines.is_empty() {
                continue;
            }
            any = true;
            show.gap();
            show.plain(&format!("The worker's log is {}, and ends:", log.display()));
            for line in &lines[lines.len().saturating_sub(TAIL)..] {
                show.plain(&format!("  {line}"));
            }
        }
        if !any && self.made_up {
            // In a temporary place anyway.
            fs::remove_dir_all(&self.output).ok();
        }
    }

    /// At the end: pictures stay if a job of them was finished. Says where.
    pub(crate) fn keep_what_is_finished(self, finished: bool) -> Option<PathBuf> {
        if finished || !self.made_up {
            return finished.then_some(self.output);
        }
        // In a temporary place anyway.
        fs::remove_dir_all(&self.output).ok();
        None
    }
}

/// The folder, as an absolute path, without anything that an earlier run left there.
fn fresh(folder: &Path) -> io::Result<PathBuf> {
    fs::create_dir_all(folder)?;
    let folder = fs::canonicalize(folder)?;
    for entry in fs::read_dir(&folder)? {
        let entry = entry?;
        if is_of_an_earlier_run(&entry.file_name().to_string_lossy()) {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(folder)
}

fn is_of_an_earlier_run(name: &str) -> bool {
    let middle = |ending| {
        name.strip_prefix("turntable-")
            .and_then(|rest| rest.strip_suffix(ending))
    };
    let numbers = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-');
    let log = |name: &str| {
        name.strip_prefix("worker")
            .and_then(|rest| rest.strip_suffix(".log"))
            .is_some_and(numbers)
    };
    log(name) || [".png", ".mp4"].into_iter().filter_map(middle).any(numbers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_the_demo_made_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        let ours = [
            "turntable-0001.png",
            "turntable-1-18.mp4",
            "worker.log",
            "worker-12.log",
        ];
        let theirs = ["0001.png", "turntable-final.png", "turntable-0001.png.bak", "notes.txt"];
        for name in ours.iter().chain(&theirs) {
            fs::write(folder.path().join(name), "").unwrap();
        }
        fresh(folder.path()).unwrap();
        assert!(ours.iter().all(|name| !folder.path().join(name).exists()));
        assert!(theirs.iter().all(|name| folder.path().join(name).exists()));
    }

    #[test]
    fn an_interrupted_demo_keeps_finished_pictures_only_and_never_empties_a_chosen_folder() {
        let made_up = |output| Places::make(output).map_err(|_| ()).unwrap();
        let places = made_up(None);
        let output = places.output.clone();
        assert_eq!(places.keep_what_is_finished(false), None);
        assert!(!output.exists());
        let chosen = tempfile::tempdir().unwrap();
        let places = made_up(Some(chosen.path().to_owned()));
        let backstage = places.backstage().to_owned();
        assert_eq!(places.keep_what_is_finished(false), None);
        assert!(chosen.path().exists() && !backstage.exists());
    }
}
