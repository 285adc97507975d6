// SPDX-License-Identifier: GPL-3.0-or-later
//! The Manager's words for the states of workers, tasks and jobs, in the order of its API description.

/// An enum whose variants are words on the wire.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($variant:ident = $word:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $name { $(#[doc = concat!("`", $word, "`")] $variant),+ }

        impl $name {
            /// All of them, in this order.
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            /// The word as it is sent.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }

            /// The state a word stands for.
            #[must_use]
            pub fn parse(word: &str) -> Option<Self> {
                match word { $($word => Some(Self::$variant),)+ _ => None }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result { f.pad(self.as_str()) }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }
    };
}

words! {
    /// What a worker is said to be. `Unset` is the empty word of a worker that registered and never signed on.
    WorkerStatus {
        Unset = "",
        Starting = "starting",
        Awake = "awake",
        Asleep = "asleep",
        Error = "error",
        Testing = "testing",
        Offline = "offline",
        Restart = "restart",
    }
}

words! {
    /// How the whole farm is.
    FarmStatus {
        Active = "active",
        Idle = "idle",
        Waiting = "waiting",
        Asleep = "asleep",
        Inoperative = "inoperative",
        Unknown = "unknown",
        Starting = "starting",
    }
}

words! {
    /// Where a task is.
    TaskStatus {
        Active = "active",
        Canceled = "canceled",
        Completed = "completed",
        Failed = "failed",
        Queued = "queued",
        SoftFailed = "soft-failed",
        Paused = "paused",
    }
}

words! {
    /// Where a job is.
    JobStatus {
        Active = "active",
        Canceled = "canceled",
        Completed = "completed",
        Failed = "failed",
        Paused = "paused",
        PauseRequested = "pause-requested",
        Queued = "queued",
        CancelRequested = "cancel-requested",
        Requeueing = "requeueing",
        UnderConstruction = "under-construction",
    }
}
