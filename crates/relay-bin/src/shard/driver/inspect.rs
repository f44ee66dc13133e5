//! Access to a driver's state for tests of the whole relay.

use relay_server::Server;

use super::Driver;

impl<O> Driver<O> {
    pub(in crate::shard) const fn server(&self) -> &Server {
        self.server.server()
    }

    /// The number of datagrams kept because they may have overtaken a request.
    pub(in crate::shard) const fn early_len(&self) -> usize {
        self.early.len()
    }
}
