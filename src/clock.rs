// SPDX-License-Identifier: GPL-3.0-or-later

//! The time of day on this node. Its clock may be set to anything, while a calendar has a first and a last day: a time
//! beyond them is taken for them. No other room reads the clock: see `.clippy.toml`.

use std::ffi::OsStr;
use std::fs;
use std::path::Path;
use std::sync::OnceLock;
use std::time::{Duration, SystemTime};

use jiff::tz::TimeZone;
use jiff::{Timestamp, ZonedDateTime};

/// The file of the node's own time zone, which counts unless `TZ` names another.
const SYSTEM_ZONE: &str = "/etc/localtime";

/// The longest file that is read as a time zone, in bytes: a real one has some 3 KB of rules.
const LARGEST: u64 = 1 << 20;

/// This node's time zone, which is looked up once. It is UTC where the name of the zone leads to no file that could be
/// read to its end.
pub(crate) fn zone() -> TimeZone {
    static ZONE: OnceLock<TimeZone> = OnceLock::new();
    let look = || match can_be_read(std::env::var_os("TZ").as_deref()) {
        true => TimeZone::system(),
        false => TimeZone::UTC,
    };
    ZONE.get_or_init(look).clone()
}

/// The present time in [`zone`].
pub(crate) fn now() -> ZonedDateTime {
    timestamp().to_zoned_datetime(zone())
}

/// The present time.
pub(crate) fn timestamp() -> Timestamp {
    timestamp_of(system_time())
}

/// The present time, as the kernel has it.
#[expect(clippy::disallowed_methods, reason = "all others call this")]
pub(crate) fn system_time() -> SystemTime {
    SystemTime::now()
}

/// A time (a file's, say) in the calendar.
pub(crate) fn timestamp_of(time: SystemTime) -> Timestamp {
    let beyond = match time < SystemTime::UNIX_EPOCH {
        true => Timestamp::MIN,
        false => Timestamp::MAX,
    };
    Timestamp::try_from(time).unwrap_or(beyond)
}

/// The time since 1970, or zero before.
pub(crate) fn since_1970() -> Duration {
    system_time().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
}

/// The milliseconds since 1970, in which our own files have times.
pub(crate) fn unix_millis() -> u64 {
    u64::try_from(since_1970().as_millis()).unwrap_or(u64::MAX)
}

/// The time that is so many milliseconds after 1970.
pub(crate) fn timestamp_of_millis(millis: u64) -> Timestamp {
    let millis = i64::try_from(millis).unwrap_or(i64::MAX);
    Timestamp::from_millisecond(millis).unwrap_or(Timestamp::MAX)
}

/// The kernel's name for this life of the host; empty where it does not tell.
pub(crate) fn boot_id() -> String {
    let id = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    id.trim().to_owned()
}

/// Whether the library, which reads the file that `TZ` names to its end, would come back. A name that is no path here
/// (`Europe/Berlin`) is one of the system's zones, or none.
fn can_be_read(tz: Option<&OsStr>) -> bool {
    let named = tz.map_or(SYSTEM_ZONE.as_ref(), |tz| {
        let path = tz.to_str().and_then(|tz| tz.strip_prefix(':'));
        path.map_or(Path::new(tz), Path::new)
    });
    fs::metadata(named).map_or(true, |found| {
        found.is_file() && found.len() <= LARGEST || found.is_dir()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn i23_a_time_beyond_the_calendar_is_its_end() {
        let years = |years: u64| Duration::from_secs(years * 366 * 86_400);
        let early = SystemTime::UNIX_EPOCH.checked_sub(years(1)).unwrap();
        assert_eq!(timestamp_of(early).as_second(), -366 * 86_400);
        assert_eq!(timestamp_of(SystemTime::UNIX_EPOCH + years(10_000)), Timestamp::MAX);
        assert_eq!(
            timestamp_of(SystemTime::UNIX_EPOCH.checked_sub(years(20_000)).unwrap()),
            Timestamp::MIN
        );
        assert_eq!(
            (timestamp_of_millis(0), timestamp_of_millis(u64::MAX)),
            (Timestamp::UNIX_EPOCH, Timestamp::MAX)
        );
        for end in [Timestamp::MIN, Timestamp::MAX] {
            let text = end
                .to_zoned_datetime(zone())
                .strftime("%Y-%m-%dT%H:%M:%S%.3f%:z")
                .to_string();
            assert!(text.contains("9999-"), "{text}");
        }
    }

    #[test]
    fn i22_a_time_zone_is_a_file_or_a_name() {
        let fine = |tz: &str| can_be_read(Some(tz.as_ref()));
        assert!(fine("Europe/Berlin") && fine("EST5EDT,M3.2.0,M11.1.0") && fine("") && fine(":/etc/passwd"));
        assert!(!fine("/dev/zero") && !fine(":/dev/zero") && !fine("/dev/../dev/zero"));
    }
}
