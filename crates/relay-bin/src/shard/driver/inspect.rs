//! What tests of the whole relay look at.

use relay_server::Server;

use super::Driver;

impl<O> Driver<O> {
    pub(in crate::shard) const fn server(&self) -> &Server {
        self.server.server()
    }

    /// How many datagrams wait for a request that they may have overtaken.
    pub(in crate::shard) const fn early_len(&self) -> usize {
        self.early.len()
    }
}
