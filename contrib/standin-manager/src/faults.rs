// SPDX-License-Identifier: GPL-3.0-or-later
//! What can be made to go wrong, where and how often.

use std::time::Duration;

use crate::wire::route::Endpoint;

/// One thing that goes wrong. Of several that fit a request, the one injected first is used.
#[derive(Clone, Debug)]
pub struct Fault {
    /// `None` means every endpoint.
    pub endpoint: Option<Endpoint>,
    pub times: Times,
    /// So many fitting requests pass unharmed first.
    pub skip: usize,
    pub kind: FaultKind,
}

/// How often.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Times {
    N(usize),
    Forever,
}

/// What the worker gets to see, and whether the request is handled.
#[derive(Clone, Debug)]
pub enum FaultKind {
    /// Not handled; this answer. A body without a Content-Type among the headers is sent as JSON.
    Status {
        code: u16,
        headers: Vec<(String, String)>,
        body: String,
    },
    /// Handled, then this status with an error body in the Manager's handler shape.
    StatusAfter(u16),
    /// Not handled, no answer, the connection stays open until the client leaves.
    Hang,
    /// Handled, and no answer: its effects are there, the connection stays open until the client leaves.
    HangAfter,
    /// Handled and answered, so much later. A client that leaves before that is not handled.
    Delay(Duration),
    /// Handled at once; the answer comes so much later.
    DelayAnswer(Duration),
    /// Handled, then the connection is closed without a byte.
    DropAnswer,
    /// The request is read, not handled, and the connection closed without a byte.
    CloseBefore,
    /// Handled; the header claims the whole length, so many bytes of the body follow, then the connection is closed.
    CutBody(usize),
    /// Handled, and the text of the answer is what this makes of it.
    Rewritten(fn(String) -> String),
    /// Not handled: 200 with these bytes.
    Nonsense { body: Vec<u8>, content_type: String },
}

impl Fault {
    /// Once, at one endpoint.
    #[must_use]
    pub fn at(endpoint: Endpoint, kind: FaultKind) -> Self {
        Self {
            endpoint: Some(endpoint),
            times: Times::N(1),
            skip: 0,
            kind,
        }
    }

    /// Once, at whichever endpoint is called next.
    #[must_use]
    pub fn anywhere(kind: FaultKind) -> Self {
        Self {
            endpoint: None,
            times: Times::N(1),
            skip: 0,
            kind,
        }
    }

    #[must_use]
    pub fn times(mut self, times: usize) -> Self {
        self.times = Times::N(times);
        self
    }

    #[must_use]
    pub fn forever(mut self) -> Self {
        self.times = Times::Forever;
        self
    }

    #[must_use]
    pub fn skip(mut self, passing: usize) -> Self {
        self.skip = passing;
        self
    }
}

impl FaultKind {
    /// An error in the Manager's handler shape, not handled.
    #[must_use]
    pub fn status(code: u16) -> Self {
        let body = format!("{{\"code\":{code},\"message\":\"injected\"}}\n");
        Self::Status {
            code,
            headers: Vec::new(),
            body,
        }
    }
}

/// The faults that wait for their requests.
#[derive(Debug, Default)]
pub(crate) struct Faults(Vec<Fault>);

impl Faults {
    pub(crate) fn inject(&mut self, fault: Fault) {
        self.0.push(fault);
    }

    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    /// The fault for a request to this endpoint, used up by one. Every fitting fault with something left to skip counts it.
    pub(crate) fn take(&mut self, endpoint: Endpoint) -> Option<FaultKind> {
        let fits = |fault: &&mut Fault| fault.endpoint.is_none_or(|wanted| wanted == endpoint);
        let mut taken = None;
        for fault in self.0.iter_mut().filter(fits) {
            if fault.skip > 0 {
                fault.skip -= 1;
            } else if taken.is_none() {
                if let Times::N(left) = &mut fault.times {
                    *left = left.saturating_sub(1);
                }
                taken = Some(fault.kind.clone());
            }
        }
        self.0.retain(|fault| fault.times != Times::N(0));
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_skips_then_strikes_as_often_as_it_was_told() {
        let mut faults = Faults::default();
        faults.inject(Fault::at(Endpoint::State, FaultKind::Hang).skip(1).times(2));
        let struck: Vec<bool> = (0..5).map(|_| faults.take(Endpoint::State).is_some()).collect();
        assert_eq!(struck, [false, true, true, false, false]);
    }

    #[test]
    fn a_fault_leaves_other_endpoints_alone() {
        let mut faults = Faults::default();
        faults.inject(Fault::at(Endpoint::State, FaultKind::Hang).forever());
        assert!(faults.take(Endpoint::SignOn).is_none());
        assert!(faults.take(Endpoint::State).is_some());
    }
}
