// SPDX-License-Identifier: GPL-3.0-or-later

//! What the header of a JPEG says of the memory that it takes: its decoder keeps all coefficients where rows are not
//! there after one scan.

use std::io::{self, ErrorKind, Read};

use super::Source;

/// Bytes in which the first scan is looked for. A preview and a colour profile lie before it.
const LONGEST_HEADER: u64 = 16 << 20;
/// The first scan (ISO 10918-1, table B.1).
const START_OF_SCAN: u8 = 0xda;

/// Of how many components all coefficients are kept: of none where the first scan has all of them, as in baseline. What
/// is damaged has none either: its decoder says so.
pub(super) fn kept_components(source: &mut dyn Source) -> io::Result<u8> {
    match find(&mut source.take(LONGEST_HEADER)) {
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => Ok(0),
        found => found,
    }
}

fn find(header: &mut impl Read) -> io::Result<u8> {
    let mut start_of_image = [0; 2];
    header.read_exact(&mut start_of_image)?;
    let (mut components, mut is_progressive) = (0, false);
    loop {
        let mut marker = [0; 2];
        header.read_exact(&mut marker)?;
        // Any number of such bytes may lie before a marker.
        while marker[1] == 0xff {
            header.read_exact(&mut marker[1..])?;
        }
        let mut length = [0; 2];
        header.read_exact(&mut length)?;
        let Some(length) = u16::from_be_bytes(length).checked_sub(2).filter(|_| marker[0] == 0xff) else {
            return Ok(0);
        };
        let mut segment = [0; 6];
        let first = length.min(6);
        header.read_exact(&mut segment[..first.into()])?;
        match marker[1] {
            START_OF_SCAN => {
                let has_all = segment[0] == components && !is_progressive;
                return Ok(if has_all { 0 } else { components });
            }
            // Frames; the three between them are tables and an extension.
            kind @ 0xc0..=0xcf if !matches!(kind, 0xc4 | 0xc8 | 0xcc) => {
                components = segment[5];
                is_progressive = kind & 3 == 2;
            }
            _ => {}
        }
        io::copy(&mut header.take(u64::from(length - first)), &mut io::sink())?;
    }
}
