//! An allocation whose sockets are being opened.

use crate::{Families, Family, requester::Asker};

/// An Allocate request on its way to an answer.
#[derive(Debug)]
pub(crate) struct Opening {
    pub(crate) asker: Asker,
    /// Whether both families were asked for, so that one is better than none.
    pub(crate) dual_stack: bool,
    pub(crate) opened: Option<Families>,
}

impl Opening {
    pub(crate) const fn new(asker: Asker, dual_stack: bool) -> Self {
        Self { asker, dual_stack, opened: None }
    }

    pub(crate) fn has_opened(&self, family: Family) -> bool {
        self.opened.is_some_and(|opened| opened.contains(family))
    }
}
