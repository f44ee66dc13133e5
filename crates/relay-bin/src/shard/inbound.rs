//! What a shard's event loop asks of the sockets.

use std::io;

use relay_server::{AllocationId, Family, Timestamp};
use udp_batch::SendError;

use super::{ingress::ReceiveBuffers, network::Network, poller::Source};

/// How a receive call went.
#[derive(Debug)]
pub(super) enum Receipt {
    /// Nothing is left.
    Empty,
    /// Something may be left.
    MoreToCome,
    /// There was an error. ICMP errors, which concern one remote only, are none.
    Error,
    /// There were too many errors in a row.
    Failing(io::Error),
}

/// The sockets, as the event loop needs them: which of them have something to read, and reading it.
pub(super) trait Inbound: Network {
    /// The listening sockets.
    fn listeners(&self) -> impl Iterator<Item = Source> + use<Self>;

    /// The family of the clients whose requests arrive at `source`, if any do.
    fn requests_of(&self, source: Source) -> Option<Family>;

    /// The allocation whose socket `source` is.
    fn allocation(&self, source: Source) -> Option<AllocationId>;

    /// Notes that `source` waits for its turn. Returns false if it did already, or is not readable.
    fn get_ready(&mut self, source: Source) -> bool;

    /// Notes that `source` has its turn.
    fn take_turn(&mut self, source: Source);

    /// How often `source` may be read before the others get their turn.
    fn receives_per_turn(&self, source: Source) -> usize;

    /// Adds datagrams that `source` has received to `buffers`.
    fn receive(&mut self, source: Source, buffers: &mut ReceiveBuffers) -> Receipt;

    /// Takes the kernel's errors about datagrams that left by the socket of an allocation and did not arrive.
    fn take_errors(&self, source: Source, each: impl FnMut(SendError));

    /// Closes what is left of allocations, and forgets what was about to be sent or read.
    fn start_again(&mut self);

    /// Tells, now and then, of datagrams that could not be sent.
    fn tell_send_failures(&mut self, now: Timestamp);

    /// How many datagrams were dropped since the last call because they were not read in time.
    fn take_overruns(&mut self) -> u64;
}
