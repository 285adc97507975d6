// SPDX-License-Identifier: GPL-3.0-or-later
//! What the person sees. On a terminal: colours, and below the lasting lines some that `indicatif` draws over and over;
//! elsewhere: plain lines, each once. A write that fails is no error: the reader has closed the pipe, and wants no more.

mod text;

use std::{
    env,
    io::{self, IsTerminal, Write},
    os::fd::AsFd,
    time::Duration,
};

use console::{Term, colors_enabled, set_colors_enabled, style, truncate_str};
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use self::text::{GLUE, broken};
pub(crate) use self::text::{counted, tame, time};

/// Cells of the bar of a job, and of a worker's task.
const BAR: u16 = 24;
const SMALL_BAR: u16 = 10;
/// Narrower, and a worker's line has no bar.
const ROOM_FOR_BARS: usize = 78;
/// Columns and rows of what is no terminal.
const SIZE: (usize, usize) = (80, 24);
/// Where sentences start, and where they are broken at the latest.
const INDENT: &str = "      ";
const WIDTH: usize = 78;
/// Columns of what was done: its time is to the right of it.
const DONE: usize = 42;
/// Columns of a label.
const LABEL: usize = 9;

/// How far a job is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Progress {
    pub(crate) done: u32,
    pub(crate) total: u32,
    /// What is counted, in the plural.
    pub(crate) of: &'static str,
    /// What is being worked on.
    pub(crate) now: String,
    pub(crate) took: Duration,
}

/// A line that is drawn over and over.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Line {
    /// It stands before the bar, and is not cut.
    pub(crate) start: String,
    pub(crate) bar: Option<Bar>,
    /// As much of it is shown as fits.
    pub(crate) text: String,
}

/// A bar in a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bar {
    done: u32,
    total: u32,
    cells: u16,
}

/// Standard output.
pub(crate) struct Show {
    draws: bool,
    block: MultiProgress,
    drawn: Vec<(ProgressBar, Line)>,
}

impl Show {
    pub(crate) fn new() -> Self {
        let dumb = env::var_os("TERM").is_some_and(|kind| kind == "dumb");
        let draws = io::stdout().is_terminal() && !dumb;
        set_colors_enabled(draws && colors_enabled());
        Self {
            draws,
            block: MultiProgress::with_draw_target(ProgressDrawTarget::stdout()),
            drawn: Vec::new(),
        }
    }

    pub(crate) fn title(&mut self, text: &str) {
        self.lasting(&format!("\n  {}\n", style(text).bold()));
    }

    pub(crate) fn heading(&mut self, text: &str) {
        self.lasting(&format!("\n  {}", style(text).bold()));
    }

    /// Something found, or where something is.
    pub(crate) fn fact(&mut self, label: &str, text: &str) {
        let mut label = style(format!("{label:<LABEL$}")).dim();
        for line in broken(text, self.width().saturating_sub(LABEL + 3)) {
            self.lasting(&format!("  {label} {line}"));
            label = style(" ".repeat(LABEL));
        }
    }

    /// What happens meanwhile; on a terminal it gives way to what comes next.
    pub(crate) fn meanwhile(&mut self, text: &str) {
        if self.draws {
            self.block(&[Line::dim(text)]);
        } else {
            self.plain(text);
        }
    }

    /// The changing line of a job. Elsewhere than on a terminal there is none.
    pub(crate) fn progress(&mut self, progress: &Progress) {
        self.block(&[job_line(progress)]);
    }

    /// All the lines that change, in the place of those drawn last.
    pub(crate) fn block(&mut self, lines: &[Line]) {
        if !self.draws || self.drawn.iter().map(|(_, line)| line).eq(lines) {
            return;
        }
        for (bar, _) in self.drawn.drain(lines.len().min(self.drawn.len())..) {
            bar.finish_and_clear();
            self.block.remove(&bar);
        }
        for (at, line) in lines.iter().enumerate() {
            if let Some((bar, drawn)) = self.drawn.get_mut(at) {
                line.draw(bar);
                drawn.clone_from(line);
            } else {
                let bar = self.block.add(ProgressBar::no_length());
                line.draw(&bar);
                self.drawn.push((bar, line.clone()));
            }
        }
    }

    /// Lines are drawn over here: what changes need not be said in lines of its own.
    pub(crate) fn draws(&self) -> bool {
        self.draws
    }

    /// Rows for lines that change, and whether they are wide enough for bars.
    pub(crate) fn room(&self) -> (usize, bool) {
        let (columns, rows) = self.size();
        (rows, columns >= ROOM_FOR_BARS)
    }

    /// The pipe has no reader, or the terminal is gone.
    pub(crate) fn nobody_reads(&self) -> bool {
        let out = io::stdout();
        let mut looked_at = [PollFd::new(out.as_fd(), PollFlags::empty())];
        poll(&mut looked_at, PollTimeout::ZERO).is_ok_and(|ready| ready > 0)
    }

    /// One more piece of a job is ready: a line only where nothing is drawn over.
    pub(crate) fn piece(&mut self, name: &str, progress: &Progress) {
        if !self.draws {
            let Progress { done, total, of, .. } = progress;
            let took = time(progress.took);
            self.plain(&format!("  {name} is ready: {done} of {total} {of}, {took}"));
        }
    }

    /// What was done, how long it took, and what came of it.
    pub(crate) fn done(&mut self, what: &str, took: Duration, sentence: &str) {
        self.outcome(&style("✓").green().to_string(), what, took);
        self.sentence(sentence);
    }

    /// What was not done.
    pub(crate) fn not_done(&mut self, what: &str, took: Duration, sentence: &str) {
        self.outcome(&style("✗").red().to_string(), what, took);
        self.sentence(sentence);
    }

    /// A paragraph below what was done.
    pub(crate) fn sentence(&mut self, sentence: &str) {
        for line in broken(sentence, self.width().saturating_sub(INDENT.len())) {
            self.lasting(&format!("{INDENT}{}", style(line).dim()));
        }
    }

    /// Lines of a task's log below what was done; on a terminal, as much of each as fits.
    pub(crate) fn quote(&mut self, text: &str) {
        let width = if self.draws { self.size().0 } else { usize::MAX };
        for line in text.lines() {
            let line = tame(line);
            let line = truncate_str(&line, width.saturating_sub(INDENT.len() + 3), "…");
            self.lasting(&format!("{INDENT}│ {}", style(line).dim()));
        }
    }

    pub(crate) fn failure(&mut self, text: &str) {
        let (sentence, rest) = text.split_once('\n').unwrap_or((text, ""));
        self.lasting(&format!("\n  {} {sentence}", style("✗").red()));
        for line in rest.lines() {
            self.lasting(&format!("    {line}"));
        }
    }

    pub(crate) fn plain(&mut self, text: &str) {
        self.lasting(&format!("  {text}"));
    }

    pub(crate) fn gap(&mut self) {
        self.lasting("");
    }

    fn outcome(&mut self, mark: &str, what: &str, took: Duration) {
        let width = DONE.min(self.width().saturating_sub(INDENT.len() + 10));
        let (what, took) = (style(format!("{what:<width$}")).bold(), time(took));
        self.lasting(&format!("    {mark} {what} {took:>8}"));
    }

    /// Writes what stays. The lines that are drawn over give way to it.
    fn lasting(&mut self, text: &str) {
        self.block(&[]);
        writeln!(io::stdout(), "{}", text.replace(GLUE, " ")).ok();
    }

    fn width(&self) -> usize {
        WIDTH.min(self.size().0.saturating_sub(1))
    }

    /// Columns and rows, as they are now.
    fn size(&self) -> (usize, usize) {
        let size = self.draws.then(|| Term::stdout().size_checked()).flatten();
        size.map_or(SIZE, |(rows, columns)| (columns.into(), rows.into()))
    }
}

impl Drop for Show {
    /// Takes away what would stand there half drawn.
    fn drop(&mut self) {
        self.block(&[]);
    }
}

impl Line {
    /// A text that is less important than others.
    pub(crate) fn dim(text: &str) -> Self {
        Self {
            text: style(format!("  {text}")).dim().to_string(),
            ..Self::default()
        }
    }

    fn draw(&self, on: &ProgressBar) {
        let template = self.bar.map_or_else(
            || "{prefix}{wide_msg}".to_owned(),
            |Bar { cells, .. }| format!("{{prefix}}▕{{bar:{cells}.cyan}}▏ {{wide_msg}}"),
        );
        if let Ok(style) = ProgressStyle::with_template(&template) {
            on.set_style(style.progress_chars("█▉▊▋▌▍▎▏ "));
        }
        if let Some(Bar { done, total, .. }) = self.bar {
            on.set_length(total.max(1).into());
            on.set_position(done.min(total).into());
        }
        on.set_prefix(self.start.replace(GLUE, " "));
        on.set_message(self.text.replace(GLUE, " "));
    }
}

impl Bar {
    /// In the line of a worker.
    pub(crate) fn small(done: u32, total: u32) -> Self {
        Self {
            done,
            total,
            cells: SMALL_BAR,
        }
    }
}

fn job_line(progress: &Progress) -> Line {
    let Progress {
        done,
        total,
        of,
        now,
        took,
    } = progress;
    Line {
        start: "    ".to_owned(),
        bar: Some(Bar {
            cells: BAR,
            ..Bar::small(*done, *total)
        }),
        text: format!("{done:>2} of {total} {of}  {}  {now}", time(*took)),
    }
}

/// `▕███  ▏ 12 of 30 steps, 2 jobs`, with a shorter bar where there is no room for bars in the other lines.
pub(crate) fn whole_bar(done: u32, total: u32, beside: &str, bars: bool) -> Line {
    Line {
        start: "  ".to_owned(),
        bar: Some(Bar {
            cells: if bars { BAR } else { SMALL_BAR },
            ..Bar::small(done, total)
        }),
        text: beside.to_owned(),
    }
}
