//! Application data whose way is watched: an established client's must arrive, and come back, unless the simulation itself lost it.

use std::{collections::BTreeMap, net::SocketAddr};

use relay_server::Timestamp;
use turn_client::RequestId;

use super::packet::{Packet, Payload};

/// What is known of a probe.
#[derive(Clone, Copy, Debug)]
pub(super) struct Probe {
    pub(super) client: usize,
    /// Which of the client's lives it belongs to.
    pub(super) life: u64,
    pub(super) to: SocketAddr,
    pub(super) sent_at: Timestamp,
    /// Whether it must come back.
    pub(super) is_owed: bool,
    /// The request that it was sent right behind: it is owed only if the first transmission of that was granted.
    pub(super) behind: Option<RequestId>,
    /// How many datagrams with it the simulation has made twice.
    duplicates: u32,
    /// How many have come back.
    pub(super) returned: u32,
}

/// The probes under way.
#[derive(Debug, Default)]
pub(super) struct Probes {
    next: u64,
    by_number: BTreeMap<u64, Probe>,
    /// How many came back, and how many of those that had to.
    pub(super) returned: u64,
    pub(super) owed: u64,
}

impl Probes {
    /// Begins one.
    pub(super) fn begin(
        &mut self,
        client: (usize, u64),
        to: SocketAddr,
        sent_at: Timestamp,
        is_owed: bool,
        behind: Option<RequestId>,
    ) -> Payload {
        let number = self.next;
        self.next += 1;
        let (client, life) = client;
        let probe = Probe { client, life, to, sent_at, is_owed, behind, duplicates: 0, returned: 0 };
        self.by_number.insert(number, probe);
        Payload { probe: number, is_answer: false }
    }

    pub(super) fn get(&self, number: u64) -> Option<&Probe> {
        self.by_number.get(&number)
    }

    /// The simulation loses `packet`: nobody owes what is in it.
    pub(super) fn lose(&mut self, packet: &Packet) {
        if let Some(probe) = self.find(packet) {
            probe.is_owed = false;
        }
    }

    /// The simulation makes `packet` twice.
    pub(super) fn duplicate(&mut self, packet: &Packet) {
        if let Some(probe) = self.find(packet) {
            probe.duplicates += 1;
        }
    }

    /// Nobody owes what is under way.
    pub(super) fn forgive_all(&mut self) {
        self.by_number.values_mut().for_each(|probe| probe.is_owed = false);
    }

    /// Nobody owes what a client has under way, or somebody else has to it.
    pub(super) fn forgive(&mut self, client: usize, addresses: &[SocketAddr]) {
        for probe in self.by_number.values_mut() {
            if probe.client == client || addresses.contains(&probe.to) {
                probe.is_owed = false;
            }
        }
    }

    /// A client's request was granted at once, or not: data sent right behind it is owed only if it was.
    pub(super) fn decide(&mut self, client: usize, request: RequestId, at_once: bool) {
        for probe in self.by_number.values_mut() {
            if probe.client == client && probe.behind == Some(request) {
                probe.behind = None;
                probe.is_owed &= at_once;
            }
        }
    }

    /// One has come back.
    pub(super) fn come_back(&mut self, number: u64) {
        if let Some(probe) = self.by_number.get_mut(&number) {
            probe.returned += 1;
            // Each copy made on the way may have been copied again.
            let most = 1_u32 << probe.duplicates.min(16);
            assert!(probe.returned <= most, "the relay sends data twice: probe {number}, {probe:?}");
        }
    }

    /// Its time is up.
    pub(super) fn end(&mut self, number: u64) -> Option<Probe> {
        let probe = self.by_number.remove(&number)?;
        self.returned += u64::from(probe.returned > 0);
        Some(probe)
    }

    fn find(&mut self, packet: &Packet) -> Option<&mut Probe> {
        let number = Payload::find(&packet.bytes)?.probe;
        self.by_number.get_mut(&number)
    }
}
