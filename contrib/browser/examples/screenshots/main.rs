// SPDX-License-Identifier: GPL-3.0-or-later
//! Takes the pictures of the README from a real demonstration, into `contrib/screenshots/`:
//!
//! ```text
//! cargo build -p flamenco-worker -p demo && cargo run -p browser --example screenshots
//!
//! demo --stay, in a terminal of its own ─► its page, in Chromium ─► workers-*.png, jobs-*.png, task-*.png
//!                                      └─► what the terminal shows ─► terminal-*.png
//! a worker and Blender, in terminals of 80 and 200 columns ─► worker-*.png
//! ```
//!
//! Nothing in them is made up but the moment. Needs Chromium and its driver; Inter and JetBrains Mono (Debian's `fonts-inter`
//! and `fonts-jetbrains-mono`) make the same letters everywhere.

mod png;
mod scene;
mod terminal;
mod worker;

use std::{error::Error, fs, path::Path};

use browser::{Browser, Look, Page, Theme};

use self::{
    scene::Scene,
    terminal::{Program, show},
};
use test_bed::Terminal;

type Done = Result<(), Box<dyn Error>>;

fn main() -> Done {
    let target = Path::new(env!("CARGO_MANIFEST_DIR")).join("../screenshots");
    fs::create_dir_all(&target)?;
    let browser = Browser::start()?;
    worker::at_work(|name, terminal| draw(&browser, terminal, &target, name))?;
    if std::env::args().any(|word| word == "--worker") {
        return Ok(());
    }
    let demo = Program::run(&demo()?, &["--stay", "--workers", "4", "--jobs", "render,long,failing"])?;
    let scene = Scene::prepare(&browser, &demo.terminal)?;
    for (name, look) in looks() {
        scene.take(look, |view, page| {
            keep(page, &target.join(format!("{view}-{name}.png")))
        })?;
    }
    draw(&browser, &demo.terminal, &target, "terminal")
}

/// What a terminal shows, in both themes.
fn draw(browser: &Browser, terminal: &Terminal, target: &Path, name: &str) -> Done {
    for (theme_name, theme) in THEMES {
        let look = Look::default().theme(theme);
        let page = browser.page(look)?;
        let (width, height) = show(terminal, &page)?;
        page.look(Look { width, height, ..look })?;
        keep(&page, &target.join(format!("{name}-{theme_name}.png")))?;
    }
    Ok(())
}

const THEMES: [(&str, Theme); 2] = [("light", Theme::Light), ("dark", Theme::Dark)];

fn looks() -> impl Iterator<Item = (String, Look)> {
    let screens = [("wide", Look::default()), ("phone", Look::phone())];
    screens.into_iter().flat_map(|(screen, look)| {
        THEMES
            .into_iter()
            .map(move |(name, theme)| (format!("{screen}-{name}"), look.theme(theme)))
    })
}

/// Where cargo has put the demonstration: beside this program's own folder.
fn demo() -> Result<std::path::PathBuf, Box<dyn Error>> {
    let own = std::env::current_exe()?;
    let built = own.parent().and_then(Path::parent).ok_or("this program lies nowhere")?;
    let demo = built.join("demo");
    if demo.is_file() {
        Ok(demo)
    } else {
        Err(format!("{} is missing: cargo build -p flamenco-worker -p demo", demo.display()).into())
    }
}

fn keep(page: &Page<'_>, path: &Path) -> Done {
    let bytes = png::small(&page.picture()?)?;
    fs::write(path, &bytes)?;
    Ok(())
}
