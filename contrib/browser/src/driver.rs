// SPDX-License-Identifier: GPL-3.0-or-later
//! `chromedriver` and all it starts, which end with their owner: also when a test fails.

use std::{
    fs,
    io::{self, BufRead, BufReader},
    os::unix::process::CommandExt,
    path::Path,
    process::{Child, ChildStdout, Command, Stdio},
    time::Duration,
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::json;
use tempfile::TempDir;

use crate::{
    error::Error,
    http,
    page::{Look, Page},
};

/// What must be installed: Debian's `chromium` and `chromium-driver`.
pub const PROGRAMS: [&str; 2] = ["chromium", "chromedriver"];

/// A browser that can open pages. Dropping it ends every process that bears its profile's name.
pub struct Browser {
    driver: Child,
    /// Held open: `chromedriver` must be able to write to it.
    _stdout: BufReader<ChildStdout>,
    port: u16,
    profiles: TempDir,
}

impl Browser {
    /// # Errors
    /// `chromedriver` is missing or does not come up.
    pub fn start() -> Result<Self, Error> {
        let profiles = tempfile::Builder::new()
            .prefix("browser-")
            .tempdir()
            .map_err(Error::Start)?;
        let mut driver = Command::new("chromedriver")
            .arg("--port=0")
            // What it starts inherits this, and is found by it; so it keeps its files to itself, too.
            .env("TMPDIR", profiles.path())
            .env("HOME", profiles.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .map_err(Error::Start)?;
        let (stdout, port) = port_of(&mut driver).map_err(Error::Start)?;
        Ok(Self {
            driver,
            _stdout: stdout,
            port,
            profiles,
        })
    }

    /// A Chromium of its own with one empty page.
    ///
    /// # Errors
    /// Chromium is missing or does not come up.
    pub fn page(&self, look: Look) -> Result<Page<'_>, Error> {
        let profile = tempfile::Builder::new()
            .prefix("profile-")
            .tempdir_in(self.profiles.path())
            .map_err(Error::Start)?
            .keep();
        let arguments = [
            "--headless=new",
            "--no-sandbox",
            "--disable-dev-shm-usage",
            "--disable-gpu",
            "--disable-extensions",
            "--disable-background-networking",
            "--hide-scrollbars",
            "--no-first-run",
            "--force-color-profile=srgb",
            &format!("--user-data-dir={}", profile.display()),
        ];
        let wanted = json!({ "capabilities": { "alwaysMatch": {
            "goog:chromeOptions": { "args": arguments },
            "goog:loggingPrefs": { "browser": "ALL" },
        } } });
        let session = http::call(self.port, "POST", "/session", &wanted)?;
        let id = session["sessionId"].as_str().unwrap_or_default();
        Page::new(self, format!("/session/{id}"), look)
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    fn end(&self) {
        let group = Pid::from_raw(-i32::try_from(self.driver.id()).unwrap_or(i32::MAX));
        // Gone already.
        kill(group, Signal::SIGKILL).ok();
        // Chromium leads a group of its own, and helps no child to survive it: some rounds are enough.
        for _ in 0..200 {
            let left = bearing(self.profiles.path());
            if left.is_empty() {
                return;
            }
            for pid in left {
                // Gone already.
                kill(pid, Signal::SIGKILL).ok();
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        self.end();
        // Was started by us.
        self.driver.wait().ok();
    }
}

/// It says so on a line such as `ChromeDriver was started successfully on port 33221.`
fn port_of(driver: &mut Child) -> io::Result<(BufReader<ChildStdout>, u16)> {
    let stdout = driver.stdout.take().ok_or(io::ErrorKind::BrokenPipe)?;
    let mut lines = BufReader::new(stdout);
    let mut line = String::new();
    while lines.read_line(&mut line)? > 0 {
        let port = line
            .trim_end()
            .trim_end_matches('.')
            .rsplit_once("successfully on port ");
        if let Some(port) = port.and_then(|(_, port)| port.parse().ok()) {
            return Ok((lines, port));
        }
        line.clear();
    }
    Err(io::ErrorKind::UnexpectedEof.into())
}

/// The living processes that carry this folder's name in their arguments or their environment.
fn bearing(folder: &Path) -> Vec<Pid> {
    let name = folder.as_os_str().as_encoded_bytes();
    let bears = |path: &Path| {
        ["cmdline", "environ"].iter().any(|file| {
            let text = fs::read(path.join(file)).unwrap_or_default();
            text.windows(name.len()).any(|part| part == name)
        })
    };
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pid = |entry: fs::DirEntry| {
        let pid = entry.file_name().to_str()?.parse().ok()?;
        bears(&entry.path()).then(|| Pid::from_raw(pid))
    };
    entries.filter_map(pid).filter(|pid| *pid != Pid::this()).collect()
}

#[cfg(test)]
mod tests {
    use super::{Browser, Look, bearing};

    #[test]
    fn nothing_of_a_browser_is_left() {
        let Ok(browser) = Browser::start() else { return };
        let folder = browser.profiles.path().to_owned();
        let page = browser.page(Look::default()).unwrap();
        page.goto("data:text/html,<title>here</title>").unwrap();
        assert!(bearing(&folder).len() > 2);
        // As a failing test does: the page is not closed first.
        std::mem::forget(page);
        drop(browser);
        assert_eq!(bearing(&folder), []);
        assert!(!folder.exists());
    }
}
