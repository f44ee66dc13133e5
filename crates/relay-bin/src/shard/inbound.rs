//! The trait through which the event loop reads sockets.

use std::{io, os::fd::BorrowedFd};

use relay_server::{AllocationId, Family, Timestamp};
use udp_batch::SendError;

use super::{handover::RelaySocket, ingress::ReceiveBuffers, network::Network, poller::Source};

/// The result of a receive call.
#[derive(Debug)]
pub(super) enum Receipt {
    /// Nothing is left to read.
    Empty,
    /// More may be left to read.
    MoreToCome,
    /// An error. ICMP errors, which concern one remote only, do not count.
    Error,
    /// Too many errors in a row.
    Failing(io::Error),
}

/// The sockets as the event loop sees them: which ones are readable, and how to read them.
pub(super) trait Inbound: Network {
    /// The listening sockets.
    fn listeners(&self) -> impl Iterator<Item = Source> + use<Self>;

    /// The family of the clients whose requests `source` receives; `None` if it is not a request queue.
    fn requests_of(&self, source: Source) -> Option<Family>;

    /// The allocation that owns the socket `source`.
    fn allocation(&self, source: Source) -> Option<AllocationId>;

    /// Marks `source` as waiting for its turn. Returns false if it already waits or is not readable.
    fn get_ready(&mut self, source: Source) -> bool;

    /// Marks `source` as having its turn.
    fn take_turn(&mut self, source: Source);

    /// How often to read `source` before the others get their turn.
    fn receives_per_turn(&self, source: Source) -> usize;

    /// Reads datagrams of `source` into `buffers`.
    fn receive(&mut self, source: Source, buffers: &mut ReceiveBuffers) -> Receipt;

    /// Takes the kernel's errors about datagrams that were sent by an allocation's socket.
    fn take_errors(&self, source: Source, each: impl FnMut(SendError));

    /// The sockets of allocations, for another process to take over.
    fn hand_over(&self) -> Vec<(RelaySocket, BorrowedFd<'_>)>;

    /// The kernel's counts of datagrams that it dropped at each listening socket.
    fn listener_drops(&self) -> Vec<u32>;

    /// Closes all sockets of allocations and discards queued datagrams, after a panic.
    fn start_again(&mut self);

    /// Logs datagrams that could not be sent, at a limited rate.
    fn tell_send_failures(&mut self, now: Timestamp);

    /// How many datagrams the kernel has dropped since the last call because they were not read in time.
    fn take_overruns(&mut self) -> u64;
}
