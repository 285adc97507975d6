// SPDX-License-Identifier: GPL-3.0-or-later

//! The spool as one process hands it over to its successor, which goes on where it was: no folder is read, and no run counts
//! as ended. All that is not on the disk is in the value, as the disk may be full, read-only, or stand still.
//!
//! ```text
//! finish_sending ── TaskWriter::hand_over ──► Spool::hand_over ─► HandedSpool ─► Spool::take_over ──► Spool::resume
//! ```

use std::collections::{BTreeSet, VecDeque};
use std::io;
use std::path::Path;
use std::rc::Rc;

use serde::{Deserialize, Serialize};

use super::Spool;
use super::context::SpoolContext;
use super::delivery_state::{DeliveryState, HandedDelivery};
use super::interrupted_runs::{HandedInterruptions, InterruptedRuns};
use super::limits::Limits;
use super::log::HandedLog;
use super::name::{folder_name, is_folder_name};
use super::notices::Notice;
use super::paths::SpoolPaths;
use super::records::ReportRecord;
use super::run_state::RunState;
use super::shared::Contents;
use super::task_folder::TaskFolder;
use super::task_writer::TaskWriter;
use super::unsent::Unsent;
use crate::files::Thread;
use crate::protocol::Id;
use crate::timings::Timings;

/// All that a spool knows. A field that an older version did not write has its default, and one that is not known is left out.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct HandedSpool {
    /// Oldest first.
    folders: Vec<HandedFolder>,
    set_aside: BTreeSet<String>,
    interrupted: HandedInterruptions,
    last_begun: u64,
    notices: VecDeque<Notice>,
    /// Where the process itself takes it over again, it still knows of a call that does not come back.
    #[serde(skip)]
    files: Option<Thread>,
}

/// The folder of a task, without what is on the disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct HandedFolder {
    task: Id,
    /// Of the folder, which is in that of the spool.
    #[serde(default)]
    name: String,
    begun: u64,
    record: ReportRecord,
    run: RunState,
    #[serde(default)]
    log: HandedLog,
    #[serde(default)]
    unsent: Unsent,
    #[serde(default)]
    delivery: HandedDelivery,
}

impl Spool {
    /// From now on no request begins. Returns when the last one is answered. Cancel safe; what is on its way at the
    /// [`hand_over`](Self::hand_over) is sent again, as after an answer that was lost.
    pub(crate) async fn finish_sending(&self) {
        self.0.requests.close().await;
    }

    /// All that the spool knows now. What the disk takes of it is there, too: waits for the disk, shortly. The sender is not
    /// to run any more.
    pub(crate) fn hand_over(&self) -> HandedSpool {
        let folders = self.0.folders.borrow();
        HandedSpool {
            folders: folders.iter().map(|folder| folder.borrow_mut().hand_over()).collect(),
            set_aside: self.0.set_aside.borrow().clone(),
            interrupted: self.0.interrupted.borrow().hand_over(),
            last_begun: self.0.last_begun.get(),
            notices: self.0.notices.hand_over(),
            files: Some(self.0.context.files.clone()),
        }
    }

    /// The spool in `folder` as it was handed over. Touches nothing on the disk.
    ///
    /// # Errors
    /// When there can be no more threads.
    pub(crate) fn take_over(
        folder: &Path,
        handed: HandedSpool,
        limits: Limits,
        timings: &Timings,
    ) -> io::Result<Contents> {
        let context = SpoolContext {
            limits,
            timings: timings.clone(),
            files: handed.files.map_or_else(Thread::start, Ok)?,
        };
        let folders = handed.folders.into_iter();
        Ok(Contents {
            paths: SpoolPaths::of(folder),
            found: folders
                .map(|handed| TaskFolder::take_over(folder, handed, &context))
                .collect(),
            set_aside: handed.set_aside,
            interrupted: InterruptedRuns::take_over(folder, handed.interrupted, context.files.clone()),
            last_begun: handed.last_begun,
            notices: handed.notices,
            context,
        })
    }

    /// The reporter's end of a task that runs, where the process before this one let go of it; `None` if it does not run.
    pub(crate) fn resume(&self, task: &str) -> Option<TaskWriter> {
        let folder = self.0.folder(task).filter(|folder| folder.borrow().is_running())?;
        Some(TaskWriter::new(Rc::clone(&self.0), folder))
    }
}

impl TaskFolder {
    fn hand_over(&mut self) -> HandedFolder {
        let mut unsent = self.unsent.clone();
        if let Some(update) = &self.on_its_way {
            unsent.give_back(update.activity.clone(), update.steps);
        }
        let on_its_way = self.on_its_way.as_ref().and_then(|update| update.log.as_ref());
        let log = self.log.hand_over(on_its_way);
        HandedFolder {
            task: self.task.clone(),
            name: self.path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
            begun: self.begun,
            record: ReportRecord {
                log: self.log.progress(),
                ..self.record.clone()
            },
            run: self.run.clone(),
            log,
            unsent,
            delivery: self.delivery.hand_over(),
        }
    }

    fn take_over(spool: &Path, handed: HandedFolder, context: &SpoolContext) -> Self {
        let name = Some(handed.name).filter(|name| is_folder_name(name));
        let path = spool.join(name.unwrap_or_else(|| folder_name(&handed.task)));
        let idle = Self::idle(&handed.task, &path, handed.begun, context);
        Self {
            log: idle.log.take_over(handed.log, handed.record.log),
            record: handed.record,
            run: handed.run,
            unsent: handed.unsent,
            delivery: DeliveryState::take_over(&handed.delivery, &context.timings),
            ..idle
        }
    }
}
