// SPDX-License-Identifier: GPL-3.0-or-later

//! The time as a clock on the wall of this node shows it.

use std::ffi::OsStr;
use std::fs;
use std::path::Path;
use std::sync::OnceLock;

use jiff::ZonedDateTime;
use jiff::tz::TimeZone;

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
    jiff::Timestamp::now().to_zoned_datetime(zone())
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
    fn i22_a_time_zone_is_a_file_or_a_name() {
        let fine = |tz: &str| can_be_read(Some(tz.as_ref()));
        assert!(fine("Europe/Berlin") && fine("EST5EDT,M3.2.0,M11.1.0") && fine("") && fine(":/etc/passwd"));
        assert!(!fine("/dev/zero") && !fine(":/dev/zero") && !fine("/dev/../dev/zero"));
    }
}
