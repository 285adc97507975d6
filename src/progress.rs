// SPDX-License-Identifier: GPL-3.0-or-later

//! How far a running task is: frames or steps, how long each takes, how much longer the rest will.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::protocol::AssignedTask;

/// What renders: its steps are frames.
const RENDERER: &str = "blender-render";

/// Frames that take longer than this are long beside the start of the program.
pub(crate) const LONG_FRAME: Duration = Duration::from_secs(10);

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

/// What a task counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Unit {
    /// Pictures of one scene: each takes about as long as the one before.
    Frame,
    /// Whatever commands count; nothing can be said of the next one's length.
    Step,
}

/// How far a task is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Progress {
    /// What is counted.
    pub unit: Unit,
    /// So many are done.
    pub done: u32,
    /// So many there are; 0: nobody knows.
    pub all: u32,
    #[serde(with = "crate::elapsed")]
    began: Instant,
    #[serde(default, with = "crate::elapsed::option")]
    first: Option<Instant>,
    #[serde(default, with = "crate::elapsed::option")]
    last: Option<Instant>,
    /// How long it stood still, but for the pause that goes on. The moments above are moved by that.
    #[serde(default, skip_serializing_if = "Duration::is_zero")]
    paused: Duration,
    #[serde(default, skip_serializing_if = "Option::is_none", with = "crate::elapsed::option")]
    paused_since: Option<Instant>,
}

impl Progress {
    /// The progress of a task that begins now.
    pub(crate) fn of(task: &AssignedTask) -> Self {
        let renders = !task.commands.is_empty() && task.commands.iter().all(|command| command.name == RENDERER);
        Self {
            unit: if renders { Unit::Frame } else { Unit::Step },
            done: 0,
            all: u32::try_from(task.steps_total.max(0)).unwrap_or(u32::MAX),
            began: Instant::now(),
            first: None,
            last: None,
            paused: Duration::ZERO,
            paused_since: None,
        }
    }

    /// Counts one more as done.
    pub(crate) fn step(&mut self) {
        let now = self.now();
        self.done = self.done.saturating_add(1);
        self.first.get_or_insert(now);
        self.last = Some(now);
    }

    /// It stands still from now on.
    pub(crate) fn pause(&mut self) {
        self.paused_since.get_or_insert_with(Instant::now);
    }

    /// It goes on. Returns how long it stood still; `None` if it did not.
    pub(crate) fn resume(&mut self) -> Option<Duration> {
        let time = self.paused_since.take()?.elapsed();
        self.paused += time;
        for at in [Some(&mut self.began), self.first.as_mut(), self.last.as_mut()]
            .into_iter()
            .flatten()
        {
            *at += time;
        }
        Some(time)
    }

    /// Whether it stands still.
    pub(crate) fn is_paused(&self) -> bool {
        self.paused_since.is_some()
    }

    /// Since the task began.
    pub(crate) fn took(&self) -> Duration {
        self.began.elapsed() + self.paused
    }

    /// How long of that it stood still.
    pub(crate) fn stood_still(&self) -> Duration {
        self.paused + self.paused_since.map_or(Duration::ZERO, |since| since.elapsed())
    }

    /// While it stands still, no time goes by for it.
    fn now(&self) -> Instant {
        self.paused_since.unwrap_or_else(Instant::now)
    }

    /// How long one frame takes, in the mean. The first took the start of the program, too, and counts only once that is the
    /// lesser part: the second has been under way for [`LONG_FRAME`], and is not done. `None` before that, and of what has no
    /// equal steps.
    pub(crate) fn each(&self) -> Option<Duration> {
        let (first, last) = self.first.zip(self.last).filter(|_| self.unit == Unit::Frame)?;
        match self.done {
            0 | 1 => (self.now() - first >= LONG_FRAME).then(|| first - self.began),
            done => Some((last - first) / (done - 1)),
        }
    }

    /// More can be told after [`LONG_FRAME`], though no frame is done until then.
    pub(crate) fn ripens(&self) -> bool {
        self.unit == Unit::Frame && self.done == 1 && self.each().is_none()
    }

    /// How much longer the task will take, as far as that can be told from what was.
    pub(crate) fn left(&self) -> Option<Duration> {
        let rest = self.all.checked_sub(self.done).filter(|_| self.all > 0)?;
        let each = self.each()?;
        let under_way = self.now().saturating_duration_since(self.last?).min(each);
        Some(each.saturating_mul(rest).saturating_sub(under_way))
    }

    /// How far it is now.
    pub(crate) fn estimate(&self) -> Estimate {
        Estimate {
            unit: self.unit,
            done: self.done,
            all: self.all,
            each: self.each(),
            left: self.left(),
        }
    }
}

/// How far a task is at one moment, without a clock of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Estimate {
    /// What is counted.
    pub unit: Unit,
    /// So many are done.
    pub done: u32,
    /// So many there are; 0: nobody knows.
    pub all: u32,
    /// See [`Progress::each`].
    pub each: Option<Duration>,
    /// See [`Progress::left`].
    pub left: Option<Duration>,
}

impl Estimate {
    /// The number of the one that is worked on, from 1.
    fn current(&self) -> u32 {
        let next = self.done.saturating_add(1);
        if self.all == 0 { next } else { next.min(self.all) }
    }

    /// `frame 12 of 240`.
    pub(crate) fn position(&self) -> String {
        let unit = match self.unit {
            Unit::Frame => "frame",
            Unit::Step => "step",
        };
        match self.all {
            0 => format!("{unit} {}", self.current()),
            all => format!("{unit} {} of {all}", self.current()),
        }
    }

    /// `, 3.2 s each, about 12 min left`, with what of it is known.
    pub(crate) fn pace(&self) -> String {
        let known = [self.each_in_words(), self.left_in_words()].into_iter().flatten();
        known.map(|words| format!(", {words}")).collect()
    }

    /// `3.2 s each`.
    pub(crate) fn each_in_words(&self) -> Option<String> {
        self.each.map(|each| format!("{} each", precise(each)))
    }

    /// `about 12 min left`.
    pub(crate) fn left_in_words(&self) -> Option<String> {
        let left = self.left.filter(|_| self.done < self.all)?;
        Some(format!("about {} left", rough(left)))
    }

    /// How much of it is done, from 0 to 1: of the time, where that is known. `None` where there is nothing to count.
    pub(crate) fn share(&self) -> Option<f64> {
        if self.all < 2 {
            return None;
        }
        let done = f64::from(self.done) / f64::from(self.all);
        let whole = self.each.map(|each| each.as_secs_f64() * f64::from(self.all));
        let of_time = self
            .left
            .zip(whole)
            .map(|(left, whole)| 1.0 - left.as_secs_f64() / whole);
        Some(
            of_time
                .filter(|share| share.is_finite())
                .unwrap_or(done)
                .clamp(0.0, 1.0),
        )
    }
}

/// `frame 12 of 240, 3.2 s each, about 12 min left`, with what of it is known.
impl fmt::Display for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let estimate = self.estimate();
        write!(f, "{}{}", estimate.position(), estimate.pace())
    }
}

/// A time as it was measured: `0.08 s`, `3.2 s`, `48 s`, `12 min 48 s`, `3 h 5 min`, `2 d 4 h`.
pub(crate) fn precise(time: Duration) -> String {
    match time.as_secs() {
        0 => format!("{:.2} s", time.as_secs_f64()),
        1..10 => format!("{:.1} s", time.as_secs_f64()),
        seconds @ 10..MINUTE => format!("{seconds} s"),
        seconds @ MINUTE..HOUR => format!("{} min {} s", seconds / MINUTE, seconds % MINUTE),
        seconds @ HOUR..DAY => format!("{} h {} min", seconds / HOUR, seconds % HOUR / MINUTE),
        seconds => format!("{} d {} h", seconds / DAY, seconds % DAY / HOUR),
    }
}

/// ` (and 12 min 5 s paused)`, behind how long something took; empty where it never was.
pub(crate) fn and_paused(time: Duration) -> String {
    if time.is_zero() {
        String::new()
    } else {
        format!(" (and {} paused)", precise(time))
    }
}

/// A time that is only estimated, rounded up: `40 s`, `12 min`, `3 h 30 min`, `2 d 4 h`.
fn rough(time: Duration) -> String {
    let seconds = time.as_secs() + u64::from(time.subsec_nanos() > 0);
    let up = |unit: u64| seconds.div_ceil(unit) * unit;
    match seconds {
        ..10 => format!("{} s", seconds.max(1)),
        10..=55 => format!("{} s", up(5)),
        56..=5400 => format!("{} min", up(MINUTE) / MINUTE),
        5401..172_800 => precise(Duration::from_secs(up(10 * MINUTE))).replace(" 0 min", ""),
        _ => precise(Duration::from_secs(up(HOUR))).replace(" 0 h", ""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn progress(command: &str, all: i64) -> Progress {
        let text = format!(r#"{{"uuid":"t","commands":[{{"name":"{command}"}}],"steps_total":{all}}}"#);
        Progress::of(&serde_json::from_str(&text).unwrap())
    }

    async fn frames(progress: &mut Progress, times: &[f64]) {
        for time in times {
            tokio::time::advance(Duration::from_secs_f64(*time)).await;
            progress.step();
        }
    }

    #[tokio::test(start_paused = true)]
    async fn frames_tell_how_long_each_takes_and_the_rest_will() {
        let mut render = progress(RENDERER, 240);
        assert_eq!(render.to_string(), "frame 1 of 240");
        // The first one took as long as the file took to load.
        frames(&mut render, &[63.2]).await;
        assert_eq!(render.to_string(), "frame 2 of 240");
        frames(&mut render, &[3.2; 10]).await;
        let told = "frame 12 of 240, 3.2 s each, about 13 min left";
        assert_eq!(render.to_string(), told);
        tokio::time::advance(Duration::from_secs(600)).await;
        let long = "frame 12 of 240, 3.2 s each, about 13 min left";
        assert_eq!(render.to_string(), long, "one frame more than the mean counts as one");
        frames(&mut render, &[3.2; 229]).await;
        assert_eq!((render.done, render.left()), (240, Some(Duration::ZERO)));
        let whole = render.to_string();
        assert!(
            whole.starts_with("frame 240 of 240, ") && !whole.contains("left"),
            "{whole}"
        );
        frames(&mut render, &[1.0]).await;
        assert_eq!(render.left(), None, "more than there should be");
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_frame_counts_once_the_second_takes_long_too() {
        let mut render = progress(RENDERER, 240);
        frames(&mut render, &[3600.0]).await;
        assert_eq!((render.to_string().as_str(), render.ripens()), ("frame 2 of 240", true));
        tokio::time::advance(LONG_FRAME).await;
        let told = "frame 2 of 240, 1 h 0 min each, about 9 d 23 h left";
        assert_eq!((render.to_string().as_str(), render.ripens()), (told, false));
    }

    #[tokio::test(start_paused = true)]
    async fn m2_while_it_stands_still_no_time_goes_by() {
        let mut render = progress(RENDERER, 5);
        frames(&mut render, &[10.0, 2.0, 2.0]).await;
        tokio::time::advance(Duration::from_secs(1)).await;
        let before = render.to_string();
        render.pause();
        tokio::time::advance(Duration::from_secs(3600)).await;
        assert_eq!(render.to_string(), before);
        assert_eq!(render.stood_still(), Duration::from_secs(3600));
        assert_eq!(render.resume(), Some(Duration::from_secs(3600)));
        assert_eq!(render.resume(), None);
        assert_eq!(render.to_string(), before);
        // Half of it was rendered before.
        frames(&mut render, &[1.0]).await;
        assert_eq!(render.to_string(), "frame 5 of 5, 2.0 s each, about 2 s left");
        assert_eq!(render.took(), Duration::from_secs(3616));
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_not_known_is_left_out() {
        let mut unknown = progress(RENDERER, 0);
        assert_eq!(unknown.to_string(), "frame 1");
        frames(&mut unknown, &[0.08, 0.08]).await;
        assert_eq!(unknown.to_string(), "frame 3, 0.08 s each");
        // Two commands of a task have nothing in common.
        let mut steps = progress("exec", 5);
        frames(&mut steps, &[4.0]).await;
        assert_eq!(steps.to_string(), "step 2 of 5");
        assert_eq!(progress("exec", -7).to_string(), "step 1");
        assert_eq!(progress("exec", i64::MAX).to_string(), "step 1 of 4294967295");
    }

    #[test]
    fn times_have_as_many_digits_as_they_are_worth() {
        let told =
            [0.004, 0.5, 3.25, 48.7, 768.0, 11_100.0, 187_200.0].map(|time| precise(Duration::from_secs_f64(time)));
        assert_eq!(
            told,
            [
                "0.00 s",
                "0.50 s",
                "3.2 s",
                "48 s",
                "12 min 48 s",
                "3 h 5 min",
                "2 d 4 h"
            ]
        );
        let told = [0.0, 7.2, 31.0, 56.0, 700.0, 5401.0, 7200.0, 172_800.0, 1e9]
            .map(|time| rough(Duration::from_secs_f64(time)));
        assert_eq!(
            told,
            [
                "1 s",
                "8 s",
                "35 s",
                "1 min",
                "12 min",
                "1 h 40 min",
                "2 h",
                "2 d",
                "11574 d 2 h"
            ]
        );
    }
}
