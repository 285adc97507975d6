// SPDX-License-Identifier: GPL-3.0-or-later

//! The time as a clock on the wall of this node shows it. That may be set to anything, while a calendar has a first and
//! a last day: what is beyond them is taken for them. Nothing else asks for this time: see `.clippy.toml`.

use std::ffi::OsStr;
use std::fs;
use std::path::Path;
use std::sync::OnceLock;
use std::time::{Duration, SystemTime};

use jiff::tz::TimeZone;
use jiff::{Timestamp, ZonedDateTime};

/// Where the node's own time zone is, unless `TZ` names one.
const SYSTEM: &str = "/etc/localtime";

/// A time zone is some 3 KB of rules.
const LARGEST: u64 = 1 << 20;

/// This node's time zone, looked up once. UTC where what names it is no file that could be read to its end.
pub fn zone() -> TimeZone {
    static ZONE: OnceLock<TimeZone> = OnceLock::new();
    let look = || match can_be_read(std::env::var_os("TZ").as_deref()) {
        true => TimeZone::system(),
        false => TimeZone::UTC,
    };
    ZONE.get_or_init(look).clone()
}

/// Now, in [`zone`].
pub fn now() -> ZonedDateTime {
    timestamp().to_zoned_datetime(zone())
}

/// Now.
pub fn timestamp() -> Timestamp {
    at(system())
}

/// Now, as the kernel has it.
#[expect(clippy::disallowed_methods, reason = "all others ask here")]
pub fn system() -> SystemTime {
    SystemTime::now()
}

/// A file's time, say, in the calendar.
pub fn at(time: SystemTime) -> Timestamp {
    let beyond = match time < SystemTime::UNIX_EPOCH {
        true => Timestamp::MIN,
        false => Timestamp::MAX,
    };
    Timestamp::try_from(time).unwrap_or(beyond)
}

/// How long 1970 is ago; nothing before it.
pub fn since_1970() -> Duration {
    system().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
}

/// The same in milliseconds, which is how our own files have it.
pub fn millis() -> u64 {
    u64::try_from(since_1970().as_millis()).unwrap_or(u64::MAX)
}

/// From milliseconds since 1970.
pub fn of_millis(millis: u64) -> Timestamp {
    let millis = i64::try_from(millis).unwrap_or(i64::MAX);
    Timestamp::from_millisecond(millis).unwrap_or(Timestamp::MAX)
}

/// Names this life of the host; empty where the kernel does not tell.
pub fn boot() -> String {
    let id = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    id.trim().to_owned()
}

/// Whether the library, which reads what `TZ` names as a file to its end, would come back. A name that is no path
/// here (`Europe/Berlin`) is one of the system's zones, or none.
fn can_be_read(tz: Option<&OsStr>) -> bool {
    let named = tz.map_or(SYSTEM.as_ref(), |tz| {
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
        assert_eq!(at(early).as_second(), -366 * 86_400);
        assert_eq!(at(SystemTime::UNIX_EPOCH + years(10_000)), Timestamp::MAX);
        assert_eq!(
            at(SystemTime::UNIX_EPOCH.checked_sub(years(20_000)).unwrap()),
            Timestamp::MIN
        );
        assert_eq!(
            (of_millis(0), of_millis(u64::MAX)),
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
