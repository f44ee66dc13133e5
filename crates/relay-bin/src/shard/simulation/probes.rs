//! Tracks application data: what the relay owes a client must arrive and come back, unless the simulation has lost it.

use std::{collections::BTreeMap, net::SocketAddr};

use relay_server::Timestamp;
use turn_client::RequestId;

use super::packet::{Packet, Payload};

/// The state of a probe.
#[derive(Clone, Copy, Debug)]
pub(super) struct Probe {
    pub(super) client: usize,
    /// The life of the client in which it was sent.
    pub(super) life: u64,
    pub(super) to: SocketAddr,
    pub(super) sent_at: Timestamp,
    /// Whether it must come back.
    pub(super) is_owed: bool,
    /// The request right before it. The probe is owed only if the first transmission of the request was granted.
    pub(super) behind: Option<RequestId>,
    /// How many duplicates of its datagrams the simulation has made.
    duplicates: u32,
    /// How many copies have come back.
    pub(super) returned: u32,
}

/// The probes under way.
#[derive(Debug, Default)]
pub(super) struct Probes {
    next: u64,
    by_number: BTreeMap<u64, Probe>,
    /// How many probes have come back, and how many of those were owed.
    pub(super) returned: u64,
    pub(super) owed: u64,
}

impl Probes {
    /// Begins a probe.
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

    /// The simulation loses `packet`: the probe in it is no longer owed.
    pub(super) fn lose(&mut self, packet: &Packet) {
        if let Some(probe) = self.find(packet) {
            probe.is_owed = false;
        }
    }

    /// The simulation duplicates `packet`.
    pub(super) fn duplicate(&mut self, packet: &Packet) {
        if let Some(probe) = self.find(packet) {
            probe.duplicates += 1;
        }
    }

    /// No probe under way is owed any more.
    pub(super) fn forgive_all(&mut self) {
        self.by_number.values_mut().for_each(|probe| probe.is_owed = false);
    }

    /// No probe from this client, or to these addresses, is owed any more.
    pub(super) fn forgive(&mut self, client: usize, addresses: &[SocketAddr]) {
        for probe in self.by_number.values_mut() {
            if probe.client == client || addresses.contains(&probe.to) {
                probe.is_owed = false;
            }
        }
    }

    /// A client's request was granted at the first transmission, or not: a probe right behind it is owed only if it was.
    pub(super) fn decide(&mut self, client: usize, request: RequestId, at_once: bool) {
        for probe in self.by_number.values_mut() {
            if probe.client == client && probe.behind == Some(request) {
                probe.behind = None;
                probe.is_owed &= at_once;
            }
        }
    }

    /// A copy of a probe has come back.
    pub(super) fn come_back(&mut self, number: u64) {
        if let Some(probe) = self.by_number.get_mut(&number) {
            probe.returned += 1;
            // Each duplicate may have been duplicated again.
            let most = 1_u32 << probe.duplicates.min(16);
            assert!(probe.returned <= most, "the relay sends data twice: probe {number}, {probe:?}");
        }
    }

    /// Ends a probe after its time.
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
