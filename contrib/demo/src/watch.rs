// SPDX-License-Identifier: GPL-3.0-or-later
//! The stand-in's farm as a person follows it: a bar for all jobs and a line for each worker, or, where nothing can be drawn
//! over, a line for each change.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use standin_manager::{Job, JobStatus, Snapshot, StandIn, Task};

use crate::{
    crew::Crew,
    interrupt::{End, Interrupt},
    show::{Line, Show, counted, whole_bar},
    supervisor::Supervisor,
    view::{Row, State, steps},
};

/// How often the lines are drawn and signals are looked for.
const TICK: Duration = Duration::from_millis(100);

/// Who is watched, and by whom.
pub(crate) struct Watch<'a> {
    pub(crate) standin: &'a StandIn,
    pub(crate) crew: &'a Crew,
    pub(crate) show: &'a mut Show,
    pub(crate) interrupt: &'a mut Interrupt,
    board: Board,
    /// When a job was first seen, until it has been seen to end.
    running: HashMap<String, Instant>,
}

/// A job that has ended since the last look.
pub(crate) struct Ended {
    pub(crate) job: Job,
    pub(crate) took: Duration,
}

/// What was told last of each worker.
#[derive(Default)]
pub(crate) struct Board {
    told: Vec<String>,
}

impl<'a> Watch<'a> {
    pub(crate) fn new(standin: &'a StandIn, crew: &'a Crew, show: &'a mut Show, interrupt: &'a mut Interrupt) -> Self {
        Self {
            standin,
            crew,
            show,
            interrupt,
            board: Board::default(),
            running: HashMap::new(),
        }
    }

    /// Looks once, shows it, and waits a moment.
    ///
    /// # Errors
    /// Interrupted.
    pub(crate) fn tick(&mut self) -> Result<(), End> {
        let (_, bars) = self.show.room();
        let (rows, progress) = self.standin.look(|snapshot| {
            let members = self.crew.members().iter();
            let rows = members.map(|member| Row::of(snapshot, member.name()).unless_left(member));
            (rows.collect::<Vec<_>>(), farm_line(snapshot, bars))
        });
        self.board.show(&rows, progress, self.show);
        self.interrupt.rest(TICK)
    }

    /// The jobs that came to an end since this was last asked.
    pub(crate) fn ended(&mut self) -> Vec<Ended> {
        let jobs: Vec<Job> = self.standin.look(|snapshot| snapshot.jobs().cloned().collect());
        let mut ended = Vec::new();
        for job in jobs {
            if !is_over(job.status) {
                self.running.entry(job.id).or_insert_with(Instant::now);
            } else if let Some(since) = self.running.remove(&job.id) {
                let took = since.elapsed();
                ended.push(Ended { job, took });
            }
        }
        ended
    }

    /// No worker will do anything any more.
    pub(crate) fn all_left(&self) -> bool {
        self.crew.members().iter().all(|member| member.over().is_some())
    }
}

impl Board {
    pub(crate) fn show(&mut self, rows: &[Row], head: Line, show: &mut Show) {
        if show.draws() {
            show.block(&lines(rows, head, show.room()));
            return;
        }
        self.told.resize(rows.len(), String::new());
        for (row, told) in rows.iter().zip(&mut self.told) {
            let sentence = row.sentence();
            if *told != sentence {
                show.plain(&sentence);
                *told = sentence;
            }
        }
    }
}

impl Row {
    /// The Manager does not know how a process ended.
    pub(crate) fn unless_left(self, member: &Supervisor) -> Self {
        let how = match member.over() {
            None => return self,
            Some(Ok((_, status))) if status.success() => "has left".to_owned(),
            Some(Ok((_, status))) => format!("has left with {}", crate::programs::in_words(status)),
            Some(Err(reason)) => format!("is gone: {reason}"),
        };
        Self {
            state: State::Left(how),
            ..self
        }
    }
}

pub(crate) fn is_over(status: JobStatus) -> bool {
    match status {
        JobStatus::Canceled | JobStatus::Completed | JobStatus::Failed => true,
        JobStatus::Active
        | JobStatus::Paused
        | JobStatus::PauseRequested
        | JobStatus::Queued
        | JobStatus::CancelRequested
        | JobStatus::Requeueing
        | JobStatus::UnderConstruction => false,
    }
}

/// How far all jobs are together. Tasks are counted, as a job's own sum comes with its first step only.
fn farm_line(snapshot: &Snapshot<'_>, bars: bool) -> Line {
    let jobs = || snapshot.jobs().filter(|job| !is_over(job.status));
    let sum = |of: fn(&Task) -> i64| steps(jobs().flat_map(|job| snapshot.tasks(&job.id)).map(of).sum());
    let (done, total) = (sum(|task| task.steps_completed), sum(|task| task.steps_total));
    match jobs().count() {
        0 => Line::dim("No job is waiting."),
        count => {
            let beside = format!("{done} of {total} steps, {}", counted(count, "job"));
            whole_bar(done, total, &beside, bars)
        }
    }
}

/// As many workers as there are rows for, less one for those that there are not.
fn lines(rows: &[Row], head: Line, (height, bars): (usize, bool)) -> Vec<Line> {
    let name_width = rows.iter().map(|row| row.name.len()).max().unwrap_or(0);
    let room = height.saturating_sub(3).max(1);
    let shown = if rows.len() > room { room - 1 } else { rows.len() };
    let mut lines = vec![head];
    lines.extend(rows[..shown].iter().map(|row| row.line(name_width, bars)));
    if shown < rows.len() {
        lines.push(Line::dim(&format!("and {} more", rows.len() - shown)));
    }
    lines
}

#[cfg(test)]
mod tests {
    use console::strip_ansi_codes;

    use super::*;

    #[test]
    fn workers_that_the_terminal_has_no_rows_for_are_counted() {
        let row = |number| Row {
            name: format!("w-{number}"),
            state: State::Unseen,
            work: None,
            requested: None,
        };
        let rows: Vec<_> = (1..=9).map(row).collect();
        let shown = |height| {
            let lines = lines(&rows, Line::default(), (height, false));
            let last = lines.last().map(|Line { start, text, .. }| format!("{start}{text}"));
            // Without the colours that a terminal gets.
            let last = strip_ansi_codes(&last.unwrap_or_default()).trim_end().to_owned();
            (lines.len(), last)
        };
        assert_eq!(shown(24), (10, "  w-9  starting".to_owned()));
        assert_eq!(shown(12), (10, "  w-9  starting".to_owned()));
        assert_eq!(shown(11), (9, "  and 2 more".to_owned()));
        assert_eq!(shown(1), (2, "  and 9 more".to_owned()));
    }
}
