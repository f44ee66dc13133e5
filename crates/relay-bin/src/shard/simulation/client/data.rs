//! The data that a client sends to its peers.

use super::*;

impl Client {
    /// Sends a probe to one of the client's targets.
    pub(super) fn probe(&mut self, now: Now, begin: &mut Begin<'_>) -> Option<Vec<Packet>> {
        if self.targets.is_empty() {
            return None;
        }
        let target = self.targets[self.rng.random_range(0..self.targets.len())].clone();
        let by_channel = self.style.uses_channels && (!self.style.uses_indications || self.rng.random_bool(0.5));
        let is_owed = self.is_owed(now, target.address, by_channel);
        let payload = begin(self, target.address, is_owed, None);
        Some(vec![self.data(&target, by_channel, &payload)])
    }

    /// Answers data from `peer`, if it is one of the client's targets.
    pub(in crate::shard::simulation) fn answer(&mut self, peer: SocketAddr, payload: &[u8]) -> Option<Packet> {
        let target = self.targets.iter().find(|target| target.address == peer)?.clone();
        let by_channel = self.style.uses_channels;
        Some(self.data(&target, by_channel, payload))
    }

    /// Whether an answer to `peer` is owed its way.
    pub(in crate::shard::simulation) fn owes_answer(&self, now: Now, peer: SocketAddr) -> bool {
        self.targets.iter().any(|target| target.address == peer) && self.is_owed(now, peer, self.style.uses_channels)
    }

    fn data(&mut self, target: &Target, by_channel: bool, payload: &[u8]) -> Packet {
        let bytes = if by_channel {
            in_channel(target.channel, payload)
        } else {
            let transaction = u128::from(self.rng.next_u64());
            encode_send_indication(target.address, payload, transaction, self.rng.random_bool(0.5))
        };
        self.packet(bytes)
    }

    /// The length of the next probe's payload.
    pub(in crate::shard::simulation) fn payload_length(&mut self) -> usize {
        self.rng.random_range(0..1_000)
    }

    pub(super) const fn packet(&self, bytes: Vec<u8>) -> Packet {
        Packet { from: self.address, to: self.server, bytes }
    }
}
