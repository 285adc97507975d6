// SPDX-License-Identifier: GPL-3.0-or-later

//! What this process uses, under the names that every Prometheus client has for it.

use std::fs;

use nix::sys::resource::{Resource, UsageWho, getrlimit, getrusage};
use nix::sys::time::TimeVal;
use nix::unistd::{SysconfVar, sysconf};
use prometheus::{Counter, Gauge, IntGauge, IntGaugeVec, Opts, Registry};

use super::MetricsError;
use super::families::number;
use super::family::families;
use crate::clock;

families! {
    /// The families of any process.
    UsageFamilies {
        /// Processor time of the worker itself, without guards and programs.
        cpu_seconds: Counter = "process_cpu_seconds_total";
        /// Memory of the worker that is in RAM.
        resident_bytes: IntGauge = "process_resident_memory_bytes";
        /// Memory of the worker that has an address.
        virtual_bytes: IntGauge = "process_virtual_memory_bytes";
        /// Files that the worker has open.
        open_fds: IntGauge = "process_open_fds";
        /// How many it may have open.
        max_fds: IntGauge = "process_max_fds";
        /// When the worker started, in seconds since 1970.
        start_time: Gauge = "process_start_time_seconds";
    }
}

/// The name of the metric that has the version, and what it tells.
pub(super) const INFO: (&str, &str) = (
    "flamenco_worker_info",
    "The version of the worker, in its label; always 1.",
);

/// What this process is and uses.
#[derive(Debug)]
pub(super) struct ProcessFamilies(UsageFamilies);

impl ProcessFamilies {
    /// Has it written from now on, which counts as its start.
    ///
    /// # Errors
    /// When a name is none, or is there twice.
    pub(super) fn register(registry: &Registry, version: &str) -> Result<Self, MetricsError> {
        let info = IntGaugeVec::new(Opts::new(INFO.0, INFO.1), &["version"])?;
        registry.register(Box::new(info.clone()))?;
        info.get_metric_with_label_values(&[version])?.set(1);
        let usage = UsageFamilies::register(registry)?;
        usage.start_time.set(clock::since_1970().as_secs_f64());
        Ok(Self(usage))
    }

    /// Sets what is only known when it is asked for. What the kernel does not tell stays as it was.
    pub(super) fn set(&self) {
        if let Ok(usage) = getrusage(UsageWho::RUSAGE_SELF) {
            let seconds = seconds(usage.user_time()) + seconds(usage.system_time());
            self.0.cpu_seconds.inc_by((seconds - self.0.cpu_seconds.get()).max(0.0));
        }
        if let Some((size, resident)) = pages() {
            let page = sysconf(SysconfVar::PAGE_SIZE).ok().flatten().unwrap_or(4096);
            self.0.virtual_bytes.set(size.saturating_mul(page));
            self.0.resident_bytes.set(resident.saturating_mul(page));
        }
        if let Ok(open) = fs::read_dir("/proc/self/fd") {
            // One of them is the directory itself.
            self.0.open_fds.set(number(open.count().saturating_sub(1)));
        }
        if let Ok((soft, _)) = getrlimit(Resource::RLIMIT_NOFILE) {
            self.0.max_fds.set(number(soft));
        }
    }
}

/// All of this process and what of it is in RAM, in pages (proc_pid_statm(5)).
fn pages() -> Option<(i64, i64)> {
    let text = fs::read_to_string("/proc/self/statm").ok()?;
    let mut numbers = text.split_ascii_whitespace().map_while(|word| word.parse().ok());
    Some((numbers.next()?, numbers.next()?))
}

fn seconds(time: TimeVal) -> f64 {
    #[expect(
        clippy::cast_precision_loss,
        reason = "a processor time is far below 2^53 microseconds"
    )]
    let micros = (time.tv_sec() * 1_000_000 + time.tv_usec()) as f64;
    micros / 1e6
}
