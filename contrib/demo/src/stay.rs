// SPDX-License-Identifier: GPL-3.0-or-later
//! A farm that runs for as long as the person wants, steered from its page.

use nix::libc::SIGPIPE;
use standin_manager::JobStatus;

use crate::{
    interrupt::{End, failed},
    samples::{SampleName, Sampler},
    show::{Show, tame},
    watch::{Ended, Watch},
};

/// Submits the samples, and watches.
///
/// # Errors
/// Always: interrupted, as it should be, or a job cannot be submitted.
pub(crate) fn stay(watch: &mut Watch<'_>, sampler: &Sampler<'_>, names: &[SampleName]) -> Result<(), End> {
    for name in names {
        let job = sampler.one(*name).job;
        watch.standin.submit(job).map_err(failed("submitting a job"))?;
    }
    let mut deserted = false;
    loop {
        for ended in watch.ended() {
            tell(watch, &ended);
        }
        if watch.all_left() && !std::mem::replace(&mut deserted, true) {
            watch
                .show
                .plain("All workers have left. Ctrl+C ends the demonstration.");
        }
        watch.tick()?;
        someone_reads(watch.show)?;
    }
}

/// Nobody can be shown anything: as if SIGPIPE had ended us, but in order.
///
/// # Errors
/// Interrupted, if so.
pub(crate) fn someone_reads(show: &Show) -> Result<(), End> {
    if show.nobody_reads() {
        return Err(End::Interrupted(SIGPIPE));
    }
    Ok(())
}

fn tell(watch: &mut Watch<'_>, Ended { job, took }: &Ended) {
    let what = format!("{}: {}", tame(&job.name), job.status);
    if job.status == JobStatus::Completed {
        watch.show.done(&what, *took, "");
    } else {
        watch.show.not_done(&what, *took, "");
    }
}
