//! The first half of the rewrite: parses the headers of a packet.

use crate::{
    address::{Address, Be16},
    checksum::{fold, halves},
    frame::Frame,
    host::{Host, Link},
    indication::{self, Send},
    reason::Reason,
    route::FlowKey,
    wire::{
        ChannelData, ETHER_TYPE_IPV4, ETHER_TYPE_IPV6, ETHER_TYPE_VLAN, ETHERNET, ETHERNET_TAGGED, Ethernet, FRAGMENT,
        Ipv4, Ipv6, Tag, UDP, Udp, length_of,
    },
};

/// The parsed headers of a packet to the relay.
#[derive(Clone, Copy, Default)]
pub(crate) struct Packet {
    pub(crate) link: Link,
    pub(crate) key: FlowKey,
    pub(crate) local: Address,
    pub(crate) v6: bool,
    pub(crate) dont_fragment: bool,
    pub(crate) traffic_class: u8,
    pub(crate) hops: u8,
    pub(crate) udp_length: Be16,
    pub(crate) checksum: u16,
    /// The length of all headers, including those of ChannelData or of an indication.
    pub(crate) headers: u32,
    /// The length of the application data.
    pub(crate) payload: u32,
    /// The number of bytes after the application data: padding of the frame; for an indication, also its padding and FINGERPRINT.
    pub(crate) trailer: u32,
    /// 1 if it is a Send indication.
    pub(crate) is_send: u8,
    /// See [`Send`].
    pub(crate) sum: u16,
}

impl Packet {
    /// Parses the frame's headers. Returns [`Reason::Forwarded`] if there may be a route for the packet.
    #[inline(always)]
    pub(crate) fn parse<F: Frame, H: Host>(&mut self, frame: &F, host: &H) -> Reason {
        let mut ethernet = Ethernet::default();
        if !frame.read(0, &mut ethernet) {
            return Reason::NotOurs;
        }
        let reason = match ethernet.ether_type {
            ETHER_TYPE_IPV4 => self.parse_v4::<F, H, ETHERNET>(frame, host),
            ETHER_TYPE_IPV6 => self.parse_v6::<F, H, ETHERNET>(frame, host),
            ETHER_TYPE_VLAN => self.parse_tagged(frame, host),
            _ => return Reason::NotOurs,
        };
        self.link.addresses = ethernet.addresses.swapped();
        if reason as u32 != Reason::Forwarded as u32 {
            return reason;
        }
        if ethernet.addresses.is_to_group() {
            return Reason::Multicast;
        }
        if self.is_send != 0 { self.parse_send(frame) } else { reason }
    }

    /// Parses a Send indication. Until then, `payload` is the length of the whole indication.
    #[inline(always)]
    fn parse_send<F: Frame>(&mut self, frame: &F) -> Reason {
        let mut send = Send::default();
        let reason = send.parse(frame, self.headers, self.payload);
        if reason as u32 != Reason::Forwarded as u32 {
            return reason;
        }
        if self.checksum == 0 && send.has_fingerprint != 0 {
            return Reason::NoChecksum;
        }
        self.key.set_peer(&send.peer, send.peer_port);
        self.trailer += self.payload - send.header - send.payload;
        self.headers += send.header;
        self.payload = send.payload;
        self.sum = send.sum;
        Reason::Forwarded
    }

    #[inline(always)]
    fn parse_tagged<F: Frame, H: Host>(&mut self, frame: &F, host: &H) -> Reason {
        let mut tag = Tag::default();
        if !frame.read(ETHERNET as usize, &mut tag) {
            return Reason::NotOurs;
        }
        self.link.tagged = 1;
        self.link.control = tag.control.raw();
        match tag.ether_type {
            ETHER_TYPE_IPV4 => self.parse_v4::<F, H, ETHERNET_TAGGED>(frame, host),
            ETHER_TYPE_IPV6 => self.parse_v6::<F, H, ETHERNET_TAGGED>(frame, host),
            _ => Reason::NotOurs,
        }
    }

    #[inline(always)]
    fn parse_v4<F: Frame, H: Host, const START: u32>(&mut self, frame: &F, host: &H) -> Reason {
        let mut ip = Ipv4::default();
        if !frame.read(START as usize, &mut ip) || ip.protocol != UDP || ip.version_and_length >> 4 != 4 {
            return Reason::NotOurs;
        }
        if ip.version_and_length != 0x45 {
            return Reason::Ipv4Options;
        }
        if ip.flags_and_offset.raw() & FRAGMENT.raw() != 0 {
            return Reason::Fragment;
        }
        self.local = Address::from_v4_word(ip.destination);
        self.dont_fragment = ip.flags_and_offset.raw() != 0;
        self.traffic_class = ip.dscp_and_ecn;
        self.hops = ip.time_to_live;
        let length = u32::from(ip.total_length.get());
        let remote = Address::from_v4_word(ip.source);
        let reason = self.parse_udp(frame, START, START + length_of::<Ipv4>(), length, remote, host);
        if reason as u32 == Reason::Forwarded as u32 {
            let sum = ip.sum_of_first_words() + u32::from(ip.checksum) + halves(ip.source) + halves(ip.destination);
            if fold(sum) != 0xffff {
                return Reason::HeaderChecksum;
            }
        }
        reason
    }

    #[inline(always)]
    fn parse_v6<F: Frame, H: Host, const START: u32>(&mut self, frame: &F, host: &H) -> Reason {
        let mut ip = Ipv6::default();
        if !frame.read(START as usize, &mut ip) || ip.next_header != UDP {
            return Reason::NotOurs;
        }
        let first = u32::from_be(ip.version_class_label);
        if first >> 28 != 6 {
            return Reason::NotOurs;
        }
        self.v6 = true;
        self.local = Address(ip.destination);
        self.traffic_class = (first >> 20).to_be_bytes()[3];
        self.hops = ip.hop_limit;
        let length = u32::from(ip.payload_length.get()) + length_of::<Ipv6>();
        let reason = self.parse_udp(frame, START, START + length_of::<Ipv6>(), length, Address(ip.source), host);
        if reason as u32 == Reason::Forwarded as u32 && self.checksum == 0 {
            return Reason::NoChecksum;
        }
        reason
    }

    /// Reads the UDP header at `udp_start` of an IP packet of `ip_length` bytes that starts at `ip_start`.
    #[inline(always)]
    fn parse_udp<F: Frame, H: Host>(
        &mut self,
        frame: &F,
        ip_start: u32,
        udp_start: u32,
        ip_length: u32,
        remote: Address,
        host: &H,
    ) -> Reason {
        let mut udp = Udp::default();
        if !frame.read(udp_start as usize, &mut udp) {
            return Reason::NotOurs;
        }
        let settings = host.settings();
        let port = udp.destination.get();
        let from_client = port == settings.listen_port;
        if !from_client && (port < settings.lowest_port || port > settings.highest_port) {
            return Reason::NotOurs;
        }
        let udp_length = u32::from(udp.length.get());
        if udp_length + (udp_start - ip_start) != ip_length || udp_length < length_of::<Udp>() {
            return Reason::LengthMismatch;
        }
        let end = ip_start + ip_length;
        let length = frame.length();
        if length < end {
            return Reason::Truncated;
        }
        let mut channel = Be16::default();
        let mut headers = udp_start + length_of::<Udp>();
        if from_client {
            let mut data = ChannelData::default();
            if udp_length < length_of::<Udp>() + length_of::<ChannelData>()
                || !frame.read((udp_start + length_of::<Udp>()) as usize, &mut data)
            {
                return Reason::NotChannelData;
            }
            if data.number.get() >> 14 == 0b01 {
                headers += length_of::<ChannelData>();
                if u32::from(data.length.get()) + headers != end {
                    return Reason::LengthMismatch;
                }
                channel = data.number;
            } else if data.number.get() == indication::SEND {
                self.is_send = 1;
            } else {
                return Reason::NotChannelData;
            }
        }
        if self.hops <= 1 {
            return Reason::TimeToLive;
        }
        self.key = FlowKey::from_fields(remote, udp.source, udp.destination, channel);
        self.udp_length = udp.length;
        self.checksum = udp.checksum;
        self.headers = headers;
        self.payload = end - headers;
        self.trailer = length - end;
        Reason::Forwarded
    }
}
