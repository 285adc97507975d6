// SPDX-License-Identifier: GPL-3.0-or-later

//! Where something is listened for, as an operator writes it.

use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use thiserror::Error;

/// What is written before the path of a socket.
const UNIX: &str = "unix:";

/// The longest path of a socket, in bytes: 108 with the NUL at its end (unix(7)).
const LONGEST_PATH: usize = 107;

/// Where something is listened for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ListenAddress {
    /// An address of this machine, with a port.
    Tcp(SocketAddr),
    /// The absolute path of a socket.
    Unix(PathBuf),
}

/// Why a text is no [`ListenAddress`].
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub(crate) enum ListenAddressError {
    /// A port without an address, as in `:9464`.
    #[error("needs an address as well: \"127.0.0.1{0}\" is for this machine alone, \"0.0.0.0{0}\" for the network")]
    NoAddress(String),
    /// A name, or an address without a port.
    #[error(
        "must be an address with a port such as \"127.0.0.1:9464\" or \"[::1]:9464\", or \"unix:\" and a path, not {0:?}: \
         names are not looked up"
    )]
    Other(String),
    /// A path that does not begin with a slash.
    #[error("must have an absolute path after \"unix:\", one that starts with a slash")]
    Relative,
    /// A path that the kernel does not take.
    #[error(
        "must have a path of at most {LONGEST_PATH} bytes after \"unix:\": the kernel takes no longer one for a socket"
    )]
    TooLong,
}

impl ListenAddress {
    /// Reads what was written.
    ///
    /// # Errors
    /// When that is neither an address with a port nor the path of a socket.
    pub(super) fn parse(text: &str) -> Result<Self, ListenAddressError> {
        let text = text.trim();
        if let Some(path) = text.strip_prefix(UNIX) {
            return match Path::new(path) {
                path if !path.is_absolute() => Err(ListenAddressError::Relative),
                path if path.as_os_str().len() > LONGEST_PATH => Err(ListenAddressError::TooLong),
                path => Ok(Self::Unix(path.to_owned())),
            };
        }
        match text.parse() {
            Ok(address) => Ok(Self::Tcp(address)),
            Err(_) if text.starts_with(':') => Err(ListenAddressError::NoAddress(text.to_owned())),
            Err(_) => Err(ListenAddressError::Other(text.to_owned())),
        }
    }
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => write!(f, "{address}"),
            Self::Unix(path) => write!(f, "{UNIX}{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_as_they_are_shown() {
        for text in [
            "127.0.0.1:9464",
            "[::1]:9464",
            "0.0.0.0:0",
            "unix:/run/farm/metrics.sock",
        ] {
            assert_eq!(ListenAddress::parse(text).unwrap().to_string(), text);
        }
    }

    #[test]
    fn what_is_none_is_refused_with_what_to_write() {
        let refused = |text: &str| ListenAddress::parse(text).unwrap_err().to_string();
        assert!(refused(":9464").contains("\"127.0.0.1:9464\" is for this machine alone"));
        for text in [
            "localhost:9464",
            "127.0.0.1",
            "9464",
            "",
            "127.0.0.1:65536",
            "http://127.0.0.1:9464/",
        ] {
            assert!(refused(text).contains("or \"[::1]:9464\""), "{text}");
        }
        for text in ["unix:", "unix:metrics.sock", "unix:@metrics"] {
            assert!(refused(text).contains("absolute path"), "{text}");
        }
        assert!(refused(&format!("unix:/{}", "a".repeat(107))).contains("at most 107 bytes"));
    }
}
