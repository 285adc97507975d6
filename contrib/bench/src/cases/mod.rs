// SPDX-License-Identifier: GPL-3.0-or-later

//! What is measured, one file per family.

mod actions;
mod between;
mod cancel;
mod idle;
mod many;
mod pictures;
mod prints;
mod reload;
mod scrape;
mod start;
mod status;
mod warm;
mod work;

use crate::contender::Contender;
use crate::figures::Table;
use crate::proc;
use crate::scale::Scale;
use crate::waiting::at_once;

/// What a case gives up with.
type Result<T = ()> = std::result::Result<T, String>;

pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    /// How long, with two columns.
    pub(crate) takes: &'static str,
    pub(crate) run: fn(&Bench, &mut Table) -> Result,
}

pub(crate) const CASES: &[Case] = &[
    Case {
        name: "actions",
        about: "from *Apply* in the Worker Actions menu to its effect",
        takes: "3 min",
        run: actions::run,
    },
    Case {
        name: "work",
        about: "from a new job to its running program, with an idle worker",
        takes: "2 min",
        run: work::run,
    },
    Case {
        name: "cancel",
        about: "from a cancelled job to the death of the task's last process",
        takes: "2 min",
        run: cancel::run,
    },
    Case {
        name: "between",
        about: "from the end of a task's program to the start of the next one's, also in the sandbox",
        takes: "30 s",
        run: between::run,
    },
    Case {
        name: "start",
        about: "from the worker's start to its first request",
        takes: "5 s",
        run: start::run,
    },
    Case {
        name: "status",
        about: "a look at a worker: `flamenco-worker status`",
        takes: "10 s",
        run: status::run,
    },
    Case {
        name: "reload",
        about: "what a reload costs while a task runs",
        takes: "5 min",
        run: reload::run,
    },
    Case {
        name: "idle",
        about: "what a worker with nothing to do costs",
        takes: "3 min",
        run: idle::run,
    },
    Case {
        name: "scrape",
        about: "what it costs to be read by a Prometheus",
        takes: "10 s",
        run: scrape::run,
    },
    Case {
        name: "paced",
        about: "a program that prints 20 MB/s",
        takes: "1 min",
        run: prints::paced,
    },
    Case {
        name: "flood",
        about: "a program that prints 200 MB as fast as it can",
        takes: "1 min",
        run: prints::flood,
    },
    Case {
        name: "pictures",
        about: "from Blender's `Saved:` of a 4K picture to the small one at the Manager, in each format",
        takes: "8 min",
        run: pictures::run,
    },
    Case {
        name: "warm",
        about: "from one frame of a job to the next, with Blender kept and without",
        takes: "3 min",
        run: warm::run,
    },
    Case {
        name: "many",
        about: "a farm of 1,000 workers at one Manager",
        takes: "18 min",
        run: many::run,
    },
];

/// Everything a case works with.
pub(crate) struct Bench {
    pub(crate) contenders: Vec<Contender>,
    pub(crate) scale: Scale,
}

impl Bench {
    pub(crate) fn table(&self) -> Table {
        Table::new(self.contenders.iter().map(|one| one.title).collect())
    }

    /// What the figures depend on.
    pub(crate) fn about(&self) -> String {
        let processors = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
        let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        let memory = proc::total() / 1024 / 1024;
        let build = if cfg!(debug_assertions) {
            "debug build: figures mean little"
        } else {
            "release build"
        };
        let repetitions = self.scale.repetitions;
        let machine = format!(
            "{processors} processors, {memory} GB of memory, Linux {}",
            kernel.trim()
        );
        let workers = self
            .contenders
            .iter()
            .map(|one| format!("\n{}: {}", one.title, one.binary.display()));
        let workers: String = workers.collect();
        format!("{machine}; {build}; median and worst of {repetitions}{workers}")
    }

    /// Samples everything in `rows` with every contender, as often as the scale says and `together` at a time; returns what
    /// was found for each row, contender and repetition. The last argument of `sample`, from 0 to 1 and never the same, says
    /// at which point of a pause between two polls to act, so that all of a pause is covered evenly.
    fn samples<R: Sync, T: Clone + Send>(
        &self,
        rows: &[R],
        together: usize,
        sample: impl Fn(&R, &Contender, f64) -> Result<T> + Sync,
    ) -> Result<Vec<Vec<Vec<T>>>> {
        let (columns, repetitions) = (self.contenders.len(), self.scale.repetitions);
        let cells = rows.len() * columns;
        let taken = at_once(cells * repetitions, together, |number| {
            let (repetition, cell) = (number / cells, number % cells);
            let shift = (cell as f64 + 0.5) / cells as f64;
            let point = (repetition as f64 + shift) / repetitions as f64;
            sample(&rows[cell / columns], &self.contenders[cell % columns], point)
        })?;
        let of = |cell: usize| taken.iter().skip(cell).step_by(cells).cloned().collect();
        let row = |row: usize| (0..columns).map(|column| of(row * columns + column)).collect();
        Ok((0..rows.len()).map(row).collect())
    }
}
