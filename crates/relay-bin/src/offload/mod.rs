//! Data paths ahead of the sockets, such as XDP.

use relay_server::{Flow, FlowKey};

/// A data path that forwards flows before they reach this process. It owes nothing: a flow that it does not take, or loses,
/// is relayed through the sockets.
pub(crate) trait Offload {
    /// Forward `flow` from now on.
    fn install(&mut self, flow: &Flow);

    /// Do not forward it any more.
    fn remove(&mut self, key: &FlowKey);
}

impl<O: Offload + ?Sized> Offload for Box<O> {
    fn install(&mut self, flow: &Flow) {
        (**self).install(flow);
    }

    fn remove(&mut self, key: &FlowKey) {
        (**self).remove(key);
    }
}

/// No such data path.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Null;

impl Offload for Null {
    fn install(&mut self, _: &Flow) {}

    fn remove(&mut self, _: &FlowKey) {}
}
