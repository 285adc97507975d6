// SPDX-License-Identifier: GPL-3.0-or-later

//! The labels, and all values that each can have.

/// One label or several, as a type with few values.
pub(super) trait LabelSet: Copy + PartialEq {
    /// The labels' names.
    fn names() -> Vec<&'static str>;

    /// Every value there is.
    fn all() -> Vec<Self>;

    /// The values of the labels, in the order of their names.
    fn values(self) -> Vec<&'static str>;
}

impl<A: LabelSet, B: LabelSet> LabelSet for (A, B) {
    fn names() -> Vec<&'static str> {
        [A::names(), B::names()].concat()
    }

    fn all() -> Vec<Self> {
        let pairs = A::all()
            .into_iter()
            .flat_map(|a| B::all().into_iter().map(move |b| (a, b)));
        pairs.collect()
    }

    fn values(self) -> Vec<&'static str> {
        [self.0.values(), self.1.values()].concat()
    }
}

/// A label as a type: its name, and a row for each value.
macro_rules! label {
    ($(#[doc = $about:literal])+ $Label:ident = $name:literal {
        $($(#[doc = $value_about:literal])+ $Value:ident = $value:literal,)+
    }) => {
        $(#[doc = $about])+
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(crate) enum $Label {
            $($(#[doc = $value_about])+ $Value,)+
        }

        impl LabelSet for $Label {
            fn names() -> Vec<&'static str> {
                vec![$name]
            }

            fn all() -> Vec<Self> {
                vec![$(Self::$Value,)+]
            }

            fn values(self) -> Vec<&'static str> {
                vec![match self {
                    $(Self::$Value => $value,)+
                }]
            }
        }
    };
}

label! {
    /// Whether Blender had to be started.
    BlenderStart = "start" {
        /// It was kept from the task before.
        Warm = "warm",
        /// It was started for this task.
        Cold = "cold",
    }
}

label! {
    /// What the Manager was asked.
    ApiCall = "endpoint" {
        /// Its version.
        Version = "version",
        /// To register this worker.
        Register = "register",
        /// To let it sign on.
        SignOn = "sign_on",
        /// To let it sign off.
        SignOff = "sign_off",
        /// Which state it wishes.
        State = "state",
        /// To note our state.
        StateChanged = "state_changed",
        /// For a task.
        FetchTask = "fetch_task",
        /// Whether the task may go on.
        MayIRun = "may_i_run",
        /// To take a part of a task's report.
        TaskUpdate = "task_update",
        /// To take a picture.
        OutputProduced = "output_produced",
        /// Whether it still has this worker.
        Worker = "worker",
    }
}

label! {
    /// What came back.
    RequestResult = "result" {
        /// It did what it was asked.
        Success = "2xx",
        /// Something on the way sends us elsewhere.
        Redirect = "3xx",
        /// It did not, and says that it is our doing.
        ClientError = "4xx",
        /// It did not, and says that it is its own.
        ServerError = "5xx",
        /// No answer, or none in time.
        NoAnswer = "no_answer",
    }
}

label! {
    /// How a task ended.
    TaskEnd = "outcome" {
        /// All commands ended well.
        Completed = "completed",
        /// A command did not.
        Failed = "failed",
        /// The Manager or somebody here stopped it.
        Aborted = "aborted",
        /// This node could not run it.
        Requeued = "requeued",
    }
}

label! {
    /// How a program ended.
    ExitKind = "exit" {
        /// With code 0.
        Success = "success",
        /// With another code.
        Code = "code",
        /// By a signal that was not ours.
        Signal = "signal",
        /// The kernel ended it for want of memory.
        OutOfMemory = "out_of_memory",
        /// As we asked it to.
        Aborted = "aborted",
        /// Its guard was killed.
        GuardLost = "guard_lost",
    }
}

label! {
    /// What the worker is.
    StateLabel = "state" {
        /// Signing on.
        Starting = "starting",
        /// Asking for tasks, or running one.
        Awake = "awake",
        /// Taking no task.
        Asleep = "asleep",
        /// On the way to its end.
        Leaving = "leaving",
    }
}

label! {
    /// Why it takes no task.
    SleepCause = "reason" {
        /// The Manager asked for it.
        Manager = "manager",
        /// Somebody on this machine did.
        Local = "local",
        /// This machine is not for tasks now: somebody is there, or has paused it.
        Paused = "paused",
        /// The node lacks what its operator said that tasks need.
        Unfit = "unfit",
        /// One task after another fails here.
        CrashLoop = "crash_loop",
        /// Processes are left that cannot be ended.
        Unkillable = "unkillable",
        /// No program can be started, its guard was lost, or it has no temporary directory.
        CannotStart = "cannot_start",
        /// What tasks say cannot be kept.
        Disk = "disk",
    }
}
