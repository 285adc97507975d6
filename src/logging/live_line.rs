// SPDX-License-Identifier: GPL-3.0-or-later

//! The line below the log that tells how far the running task is, in as many cells as there are.
//!
//! ```text
//!  0:38 shot_010 ▕██▋                 ▏ frame 12 of 240, 3.2 s each, about 12 min left
//!  0:38 shot_010  frame 12 of 240, about 12 min left                                        narrower: what matters least goes first
//!  frame 12 of 240
//!  0:38 ⠹ transcode  running                                                               nobody knows how long
//! ```

use std::time::Duration;

use unicode_width::UnicodeWidthChar;

use crate::printable;

/// Cells of the bar. A longer one says no more; a shorter one is not worth the room.
const LONGEST_BAR: usize = 40;
const SHORTEST_BAR: usize = 8;

/// Cells of a name that can still be told from others. Names of Flamenco's tasks differ at their ends (`render-1-10`).
const SHORTEST_NAME: usize = 10;

const BOLD: &str = "\x1b[1m";
const CYAN: &str = "\x1b[36m";
const DIM: &str = "\x1b[2m";
const PLAIN: &str = "\x1b[0m";

/// How lines are drawn in this terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct LineStyle {
    pub(super) colours: bool,
    /// Letters beyond ASCII are shown as what they are.
    pub(super) unicode: bool,
}

/// What there is to tell of the running task.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct LiveLine {
    /// How long it has run.
    pub(crate) elapsed: Duration,
    /// Its name. It comes from elsewhere: any text.
    pub(crate) name: String,
    /// How much of it is done, from 0 to 1, where that is known.
    pub(crate) share: Option<f64>,
    /// Where it is, in a few words.
    pub(crate) place: String,
    /// How long a frame takes.
    pub(crate) pace: Option<String>,
    /// How long it will take.
    pub(crate) left: Option<String>,
}

/// What of it is drawn. The fields are in the order in which they are given up.
#[derive(Debug, Clone, Copy)]
struct Parts {
    pace: bool,
    clock: bool,
    bar: bool,
    left: bool,
    name: bool,
}

impl LiveLine {
    /// The line in at most so many cells, with the escapes that colour it.
    pub(super) fn fit(&self, cells: usize, style: LineStyle) -> String {
        let name = printable::escape_line(&self.name);
        let mut parts = Parts {
            pace: self.pace.is_some(),
            clock: true,
            bar: true,
            left: self.left.is_some(),
            name: !name.is_empty(),
        };
        while self.least(&name, parts) > cells && parts.give_up() {}
        self.draw(&name, parts, cells, style)
    }

    /// The fewest cells that it takes with these parts.
    fn least(&self, name: &str, parts: Parts) -> usize {
        let name = if parts.name {
            width(name).min(SHORTEST_NAME) + 1
        } else {
            0
        };
        self.fixed(parts) + name + if parts.bar { self.shortest_bar() } else { 0 }
    }

    /// The cells of what cannot be shortened.
    fn fixed(&self, parts: Parts) -> usize {
        let clock = if parts.clock { width(&self.clock()) + 1 } else { 0 };
        1 + clock + width(&self.words(parts))
    }

    /// With its ends and the blank behind them.
    fn shortest_bar(&self) -> usize {
        self.share.map_or(2, |_| SHORTEST_BAR + 3)
    }

    fn draw(&self, name: &str, parts: Parts, cells: usize, style: LineStyle) -> String {
        let mut room = cells.saturating_sub(self.fixed(parts));
        let mut line = Painter::new(cells, style);
        line.add("", " ");
        if parts.clock {
            line.add(DIM, &self.clock());
            line.add("", " ");
        }
        if parts.name {
            let for_bar = if parts.bar { self.shortest_bar() } else { 0 };
            let name = shortened(name, room.saturating_sub(for_bar + 1), style);
            room = room.saturating_sub(width(&name) + 1);
            line.add(BOLD, &name);
            line.add("", " ");
        }
        match self.share {
            Some(share) if parts.bar => {
                let bar = bar(share, room.saturating_sub(3).min(LONGEST_BAR), style);
                let (left, right) = if style.unicode { ("▕", "▏") } else { ("[", "]") };
                line.add("", left);
                line.add(CYAN, &bar);
                line.add("", right);
                line.add("", " ");
            }
            None if parts.bar => {
                line.add(CYAN, self.spinner(style));
                line.add("", " ");
            }
            Some(_) | None => {}
        }
        line.add("", &self.words(parts));
        line.text
    }

    fn words(&self, parts: Parts) -> String {
        let pace = self.pace.as_deref().filter(|_| parts.pace);
        let left = self.left.as_deref().filter(|_| parts.left);
        let words = [Some(&*self.place), pace, left];
        words.into_iter().flatten().collect::<Vec<_>>().join(", ")
    }

    /// `0:38`, `12:48`, `1:02:03`.
    fn clock(&self) -> String {
        let seconds = self.elapsed.as_secs();
        let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
        match hours {
            0 => format!("{minutes}:{seconds:02}"),
            _ => format!("{hours}:{minutes:02}:{seconds:02}"),
        }
    }

    /// It turns once a second: something goes on.
    fn spinner(&self, style: LineStyle) -> &'static str {
        const TURNS: [&str; 10] = ["⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧", "⠇", "⠏"];
        const ASCII_TURNS: [&str; 4] = ["|", "/", "-", "\\"];
        let turns: &[&str] = if style.unicode { &TURNS } else { &ASCII_TURNS };
        let turn = usize::try_from(self.elapsed.as_secs()).unwrap_or_default();
        turns[turn % turns.len()]
    }
}

impl Parts {
    /// Gives up what matters least of what is left; false where there is nothing more to give up.
    fn give_up(&mut self) -> bool {
        let parts = [
            &mut self.pace,
            &mut self.clock,
            &mut self.bar,
            &mut self.left,
            &mut self.name,
        ];
        match parts.into_iter().find(|part| **part) {
            Some(part) => {
                *part = false;
                true
            }
            None => false,
        }
    }
}

/// Puts a line together, and cuts it off where the cells end.
struct Painter {
    text: String,
    room: usize,
    style: LineStyle,
}

impl Painter {
    fn new(cells: usize, style: LineStyle) -> Self {
        Self {
            text: String::new(),
            room: cells,
            style,
        }
    }

    fn add(&mut self, colour: &str, text: &str) {
        let text = start(text, self.room);
        self.room -= width(text);
        if colour.is_empty() || !self.style.colours || text.is_empty() {
            self.text.push_str(text);
        } else {
            self.text.extend([colour, text, PLAIN]);
        }
    }
}

/// As much of a bar as is done; the last cell in eighths, where there are letters for them.
fn bar(share: f64, cells: usize, style: LineStyle) -> String {
    const EIGHTHS: [&str; 9] = [" ", "▏", "▎", "▍", "▌", "▋", "▊", "▉", "█"];
    const WHOLE: [&str; 2] = ["-", "#"];
    let levels: &[&str] = if style.unicode { &EIGHTHS } else { &WHOLE };
    let steps = levels.len() - 1;
    let filled = filled(share, cells * steps);
    (0..cells)
        .map(|cell| levels[filled.saturating_sub(cell * steps).min(steps)])
        .collect()
}

/// So many of `all`, rounded down: only what is done looks done.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "a share of the few cells of a window"
)]
fn filled(share: f64, all: usize) -> usize {
    ((share.clamp(0.0, 1.0) * all as f64) as usize).min(all)
}

/// Both ends of a name in at most so many cells: tasks of one job differ in their ends.
fn shortened(name: &str, cells: usize, style: LineStyle) -> String {
    if width(name) <= cells {
        return name.to_owned();
    }
    let gap = if style.unicode { "…" } else { "~" };
    let room = cells.saturating_sub(1);
    let tail = end(name, room / 2);
    let head = start(name, room - width(tail));
    format!("{head}{gap}{tail}")
}

/// The cells of a text, at most: letters that are joined take fewer.
fn width(text: &str) -> usize {
    text.chars().map(cells_of).sum()
}

fn cells_of(letter: char) -> usize {
    /// Makes a picture of the letter before it, which is twice as wide in some terminals.
    const EMOJI: char = '\u{fe0f}';
    match letter {
        EMOJI => 1,
        letter => letter.width().unwrap_or(0),
    }
}

/// As much of the start of a text as fits.
fn start(text: &str, cells: usize) -> &str {
    let mut used = 0;
    let cut = text.char_indices().find(|(_, letter)| {
        used += cells_of(*letter);
        used > cells
    });
    cut.map_or(text, |(at, _)| &text[..at])
}

/// As much of its end.
fn end(text: &str, cells: usize) -> &str {
    let mut used = 0;
    let cut = text.char_indices().rev().find(|(_, letter)| {
        used += cells_of(*letter);
        used > cells
    });
    cut.map_or(text, |(at, letter)| &text[at + letter.len_utf8()..])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const UNICODE: LineStyle = LineStyle {
        colours: false,
        unicode: true,
    };
    const ASCII: LineStyle = LineStyle {
        colours: false,
        unicode: false,
    };

    fn render() -> LiveLine {
        LiveLine {
            elapsed: Duration::from_secs(38),
            name: "shot_010".into(),
            share: Some(0.25),
            place: "frame 12 of 240".into(),
            pace: Some("3.2 s each".into()),
            left: Some("about 12 min left".into()),
        }
    }

    fn fitted(line: &LiveLine, style: LineStyle) -> String {
        let fitted = [130, 79, 70, 60, 50, 40, 30, 19, 9, 0].map(|cells| {
            let line = line.fit(cells, style);
            assert!(width(&line) <= cells, "{cells}: {line}");
            line
        });
        fitted.join("\n")
    }

    #[test]
    fn j15_what_matters_least_goes_first() {
        let expected = [
            " 0:38 shot_010 ▕██████████                              ▏ frame 12 of 240, 3.2 s each, about 12 min left",
            " 0:38 shot_010 ▕███▊           ▏ frame 12 of 240, 3.2 s each, about 12 min left",
            " 0:38 shot_010 ▕████▌             ▏ frame 12 of 240, about 12 min left",
            " 0:38 shot_010 ▕██      ▏ frame 12 of 240, about 12 min left",
            " shot_010 frame 12 of 240, about 12 min left",
            " shot_010 frame 12 of 240",
            " shot_010 frame 12 of 240",
            " frame 12 of 240",
            " frame 12",
            "",
        ];
        assert_eq!(fitted(&render(), UNICODE), expected.join("\n"));
        let ascii = " 0:38 shot_010 [###------------] frame 12 of 240, 3.2 s each, about 12 min left";
        assert_eq!(render().fit(79, ASCII), ascii);
    }

    #[test]
    fn j15_of_what_has_no_end_the_time_is_told_and_of_a_long_name_both_ends() {
        let film = LiveLine {
            elapsed: Duration::from_secs(3723),
            name: "transcode the whole of the film".into(),
            place: "running".into(),
            ..LiveLine::default()
        };
        let told = [60, 30, 19].map(|cells| film.fit(cells, UNICODE));
        let expected = [
            " 1:02:03 transcode the whole of the film ⠸ running",
            " 1:02:03 trans… film ⠸ running",
            " trans…film running",
        ];
        assert_eq!(told, expected);
        assert!(film.fit(60, ASCII).ends_with("film \\ running"));
        let wide = LiveLine {
            name: "ラベンダー畑の夜明け-render-1-10".into(),
            ..render()
        };
        assert_eq!(
            wide.fit(79, UNICODE),
            " 0:38 ラベン…er-1-10 ▕██▎      ▏ frame 12 of 240, 3.2 s each, about 12 min left"
        );
    }

    #[test]
    fn j16_colours_are_closed_where_they_are_cut_off() {
        let colours = LineStyle {
            colours: true,
            ..UNICODE
        };
        for cells in 0..130 {
            let line = render().fit(cells, colours);
            let opened = [BOLD, CYAN, DIM]
                .iter()
                .map(|colour| line.matches(colour).count())
                .sum::<usize>();
            assert_eq!(opened, line.matches(PLAIN).count(), "{line:?}");
        }
    }

    proptest! {
        #[test]
        fn j15_no_name_makes_it_longer_or_moves_the_cursor(name in "\\PC{0,30}|.{0,30}|(👩\u{200d}🚀|☺\u{fe0f}|e\u{301}|\x1b\\[2J|日|ﷺ){0,12}", cells in 0_usize..120) {
            let named = LiveLine { name, ..render() };
            for style in [UNICODE, ASCII] {
                let line = named.fit(cells, style);
                prop_assert!(width(&line) <= cells, "{line}");
                prop_assert!(!line.contains(char::is_control), "{line:?}");
            }
        }
    }
}
