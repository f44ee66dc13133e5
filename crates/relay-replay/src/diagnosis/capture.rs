//! Counts the packets of a capture.

use std::collections::BTreeMap;

use packet_trace::{LinkType, Packet, ReadError, Unusable};

use super::{
    failure::seconds_since,
    report::{CaptureReport, Skipped},
};
use crate::{Mode, NotReplayed, Session};

const TCP: u8 = 6;

#[derive(Debug, Default)]
pub(super) struct Capture {
    pub(super) packets: u64,
    /// Packets and the other records of a relay's recording. Wireshark numbers both.
    pub(super) records: u64,
    /// When the first packet was captured, and when the latest one, in nanoseconds since the Unix epoch.
    start: u64,
    pub(super) now: u64,
    skipped: BTreeMap<String, u64>,
    /// Frames whose link type is not supported, and the link type of one of them.
    foreign_frames: u64,
    foreign: Option<LinkType>,
    tcp_packets: u64,
    pub(super) connectivity_checks: u64,
    pub(super) cut_messages: u64,
    /// TURN requests, and answers to requests that are not in the capture.
    pub(super) requests: u64,
    pub(super) answers_alone: u64,
    pub(super) differences: u64,
    pub(super) is_draining: bool,
}

impl Capture {
    /// Counts a packet. An ICMP error about a client (`is_icmp_error`) does not count as skipped.
    pub(super) fn count(&mut self, packet: &Packet<'_>, is_icmp_error: bool) {
        if self.packets == 0 {
            self.start = packet.unix_nanos;
        }
        self.packets += 1;
        self.now = self.now.max(packet.unix_nanos);
        if let Err(reason) = packet.udp()
            && !is_icmp_error
        {
            match reason {
                Unusable::LinkType(link) => {
                    self.foreign_frames += 1;
                    self.foreign = Some(link);
                }
                Unusable::NotUdp { protocol: TCP } => self.tcp_packets += 1,
                _ => {}
            }
            *self.skipped.entry(words(reason)).or_default() += 1;
        }
    }

    pub(super) const fn start(&self) -> u64 {
        self.start
    }

    /// The error of a file all of whose frames are of link types that are not supported.
    pub(super) fn error(&self) -> Option<ReadError> {
        let is_foreign = self.packets > 0 && self.foreign_frames == self.packets;
        self.foreign.filter(|_| is_foreign).map(ReadError::UnsupportedLinkType)
    }

    /// The report on the capture. `unheard` clients succeeded, sent data and received none.
    pub(super) fn report(&self, session: &Session, error: Option<&ReadError>, unheard: u64) -> CaptureReport {
        let skipped = self.skipped.iter().map(|(what, packets)| Skipped { what: what.clone(), packets: *packets });
        CaptureReport {
            packets: self.packets,
            start: (self.start / 1_000) as f64 / 1e6,
            seconds: seconds_since(self.start, self.now),
            mode: if session.mode() == Mode::Replay { "replay" } else { "inspection" },
            skipped: skipped.collect(),
            connectivity_checks: self.connectivity_checks,
            cut_messages: self.cut_messages,
            missing_packets: session.dropped(),
            notes: self.notes(session, unheard),
            error: error.map(ToString::to_string),
        }
    }

    fn notes(&self, session: &Session, unheard: u64) -> Vec<String> {
        let mut notes = session.warnings().to_vec();
        let mut note = |is_so: bool, text: String| notes.extend(is_so.then_some(text));
        match session.mode() {
            Mode::Inspection(NotReplayed::NoHeader) | Mode::Undecided | Mode::Replay => {}
            Mode::Inspection(NotReplayed::SecretNeeded { .. }) => note(
                true,
                "The relay's recording is replayed up to the first request that only the auth secret can check, which was not recorded. Later refusals are explained by their codes alone.".to_owned(),
            ),
            Mode::Inspection(reason) => note(
                true,
                format!(
                    "The relay's recording is not replayed, so refusals are explained by their codes alone: {reason}."
                ),
            ),
        }
        let differences = self.differences;
        note(
            differences > 0,
            format!(
                "The relay's recording replays with {differences} differences: another version recorded it, which may have had other reasons."
            ),
        );
        let missing = session.dropped();
        note(
            missing > 0,
            format!("{missing} packets are missing from the capture: what seems to have no answer may have had one."),
        );
        let cut = self.cut_messages;
        note(
            cut > 0,
            format!(
                "{cut} STUN messages are cut short, and what is missing from them is not explained: capture whole packets (tcpdump -s 0)."
            ),
        );
        note(
            self.requests == 0 && self.answers_alone > 0,
            "The capture holds answers and no requests: it shows one direction only.".to_owned(),
        );
        let tcp = self.tcp_packets;
        note(tcp > 0, format!("{tcp} packets are TCP: only STUN and TURN over UDP are explained."));
        note(
            unheard > 0,
            format!(
                "{unheard} of the clients that succeeded sent data to peers, and none came back: look for a firewall before the peers or before the server's allocation ports."
            ),
        );
        note(self.is_draining, "The relay was told to stop during the capture: it refused new allocations.".to_owned());
        notes
    }
}

/// Why a packet is skipped, without details that would split the count.
fn words(reason: Unusable) -> String {
    match reason {
        Unusable::Fragment { .. } => "a fragment of a larger IP packet".to_owned(),
        Unusable::NotUdp { protocol: TCP } => "TCP".to_owned(),
        Unusable::NotUdp { protocol: 1 | 58 } => "ICMP".to_owned(),
        reason => reason.to_string(),
    }
}
