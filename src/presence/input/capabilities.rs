// SPDX-License-Identifier: GPL-3.0-or-later

//! Which devices people use, by what they can say. Not all do that are called input: lids, jacks and the microphone of a
//! laptop are switches, accelerometers tell that a machine shakes, and firmware presses buttons of its own.

use std::fs;
use std::path::Path;

/// Where the kernel describes devices, by their numbers.
const DEVICES: &str = "/sys/dev/char";

/// `INPUT_PROP_ACCELEROMETER` (linux/input-event-codes.h, as all below).
const ACCELEROMETER: usize = 6;

/// `ABS_MT_POSITION_X`: a touch screen, or a touch pad.
const TOUCH: usize = 0x35;

/// Keys of devices that firmware speaks through: a machine that is woken by the network presses its power button, a monitor that
/// is switched on, or a cable, its video keys. Where it is a person, the keyboard or the mouse tells so, too.
const OF_FIRMWARE: [usize; 13] = [
    116, // KEY_POWER
    142, // KEY_SLEEP
    143, // KEY_WAKEUP
    205, // KEY_SUSPEND
    224, // KEY_BRIGHTNESSDOWN
    225, // KEY_BRIGHTNESSUP
    227, // KEY_SWITCHVIDEOMODE
    241, // KEY_VIDEO_NEXT
    242, // KEY_VIDEO_PREV
    243, // KEY_BRIGHTNESS_CYCLE
    244, // KEY_BRIGHTNESS_AUTO
    245, // KEY_DISPLAY_OFF
    356, // KEY_POWER2
];

/// Whether people use the device of this number (`st_rdev`). What the kernel does not describe they may.
pub(super) fn is_for_people(device: u64) -> bool {
    let numbers = format!("{}:{}", nix::sys::stat::major(device), nix::sys::stat::minor(device));
    describes_people(&Path::new(DEVICES).join(numbers).join("device"))
}

fn describes_people(described: &Path) -> bool {
    let bits = |name: &str| {
        fs::read_to_string(described.join(name))
            .ok()
            .and_then(|text| Bits::parse(&text))
    };
    let all = ["capabilities/key", "capabilities/rel", "capabilities/abs", "properties"].map(bits);
    let [Some(key), Some(rel), Some(abs), Some(properties)] = all else {
        return true;
    };
    !properties.has(ACCELEROMETER)
        && (rel.any(|_| true) || abs.has(TOUCH) || key.any(|key| !OF_FIRMWARE.contains(&key)))
}

/// A set of numbers as sysfs shows it: words in hexadecimal, the highest first.
#[derive(Debug, Default)]
struct Bits(Vec<usize>);

impl Bits {
    fn parse(text: &str) -> Option<Self> {
        let words = text.split_ascii_whitespace().rev();
        let words = words.map(|word| usize::from_str_radix(word, 16).ok());
        words.collect::<Option<_>>().map(Self)
    }

    fn has(&self, bit: usize) -> bool {
        self.any(|one| one == bit)
    }

    fn any(&self, wanted: impl Fn(usize) -> bool) -> bool {
        let words = self.0.iter().zip((0..).step_by(Self::WORD));
        words
            .flat_map(|(word, first)| {
                (0..Self::WORD)
                    .filter(move |at| word >> at & 1 == 1)
                    .map(move |at| first + at)
            })
            .any(wanted)
    }

    /// The kernel's `unsigned long`.
    const WORD: usize = usize::BITS as usize;
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Key, rel, abs and properties as they are seen on machines of ours.
    fn is_of_people(all: [&str; 4]) -> bool {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("capabilities")).unwrap();
        for (name, text) in ["capabilities/key", "capabilities/rel", "capabilities/abs", "properties"]
            .iter()
            .zip(all)
        {
            fs::write(folder.path().join(name), format!("{text}\n")).unwrap();
        }
        describes_people(folder.path())
    }

    #[test]
    fn m10_what_people_use_is_told_from_lids_jacks_and_buttons_of_the_firmware() {
        let people = [
            (
                "a keyboard",
                [
                    "402000000 3803078f800d001 feffffdfffefffff fffffffffffffffe",
                    "0",
                    "0",
                    "0",
                ],
            ),
            ("a mouse", ["1f0000 0 0 0 0", "1943", "0", "0"]),
            ("a touch pad", ["e520 10000 0 0 0 0", "0", "2e0800000000003", "5"]),
            ("a touch screen", ["0", "0", "60800000000000", "2"]),
            ("a pen", ["1c03 0 0 0 0 0", "0", "1000d000003", "2"]),
            ("volume keys of a headset", ["1000000000000 0", "0", "0", "0"]),
        ];
        for (name, all) in people {
            assert!(is_of_people(all), "{name}");
        }
        let others = [
            ("a power button", ["10000000000000 0", "0", "0", "0"]),
            ("a sleep button", ["4000 0 0", "0", "0", "0"]),
            ("a video bus", ["3e000b00000000 0 0 0", "0", "0", "0"]),
            ("a lid, a jack, a speaker", ["0", "0", "0", "0"]),
            ("an accelerometer", ["1 0 0 0 0", "0", "7", "40"]),
        ];
        for (name, all) in others {
            assert!(!is_of_people(all), "{name}");
        }
        assert!(is_of_people(["what is this", "0", "0", "0"]));
        assert!(is_for_people(u64::MAX));
    }
}
