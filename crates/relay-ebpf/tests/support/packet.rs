//! Builds packets with an independent library, and computes checksums from scratch.

use std::net::SocketAddr;

use etherparse::{
    EtherType, Ethernet2Header, IpDscp, IpEcn, IpFragOffset, IpNumber, Ipv4Header, Ipv6FlowLabel, Ipv6Header,
    SingleVlanHeader, UdpHeader, VlanId, VlanPcp,
};

/// The checksum field of a UDP header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Checksum {
    /// The correct checksum.
    Full,
    /// No checksum.
    Zero,
    /// The pseudo-header's, to be completed by hardware.
    Partial,
    /// A wrong checksum: the correct one plus this, in one's complement.
    Wrong(u16),
}

/// A UDP packet in an Ethernet frame.
#[derive(Clone, Debug)]
pub struct Packet {
    pub mac_destination: [u8; 6],
    pub mac_source: [u8; 6],
    /// The IEEE 802.1Q control field.
    pub tag: Option<u16>,
    pub source: SocketAddr,
    pub destination: SocketAddr,
    pub hops: u8,
    /// DSCP and ECN.
    pub traffic_class: u8,
    pub dont_fragment: bool,
    pub identification: u16,
    pub flow_label: u32,
    pub checksum: Checksum,
    pub payload: Vec<u8>,
}

impl Packet {
    pub fn new(source: SocketAddr, destination: SocketAddr, payload: Vec<u8>) -> Self {
        Self {
            mac_destination: [2, 0, 0, 0, 0, 9],
            mac_source: [2, 0, 0, 0, 0, 1],
            tag: None,
            source,
            destination,
            hops: 64,
            traffic_class: 0,
            dont_fragment: true,
            identification: 0,
            flow_label: 0,
            checksum: Checksum::Full,
            payload,
        }
    }

    pub fn build(&self) -> Vec<u8> {
        let ip_type = if self.source.is_ipv4() { EtherType::IPV4 } else { EtherType::IPV6 };
        let mut frame = Vec::new();
        let outer = if self.tag.is_some() { EtherType::VLAN_TAGGED_FRAME } else { ip_type };
        frame.extend(
            Ethernet2Header { source: self.mac_source, destination: self.mac_destination, ether_type: outer }
                .to_bytes(),
        );
        if let Some(control) = self.tag {
            let tag = SingleVlanHeader {
                pcp: VlanPcp::try_new((control >> 13) as u8).unwrap(),
                drop_eligible_indicator: control & 0x1000 != 0,
                vlan_id: VlanId::try_new(control & 0xfff).unwrap(),
                ether_type: ip_type,
            };
            frame.extend(tag.to_bytes());
        }
        let mut udp = UdpHeader {
            source_port: self.source.port(),
            destination_port: self.destination.port(),
            length: u16::try_from(8 + self.payload.len()).unwrap(),
            checksum: 0,
        };
        let (full, pseudo) = match (self.source, self.destination) {
            (SocketAddr::V4(source), SocketAddr::V4(destination)) => {
                let (source, destination) = (source.ip().octets(), destination.ip().octets());
                let mut ip = Ipv4Header::new(udp.length, self.hops, IpNumber::UDP, source, destination).unwrap();
                ip.dscp = IpDscp::try_new(self.traffic_class >> 2).unwrap();
                ip.ecn = IpEcn::try_new(self.traffic_class & 3).unwrap();
                ip.dont_fragment = self.dont_fragment;
                ip.fragment_offset = IpFragOffset::ZERO;
                ip.identification = self.identification;
                ip.header_checksum = ip.calc_header_checksum();
                frame.extend(ip.to_bytes());
                let pseudo = [&source[..], &destination, &[0, 17], &udp.length.to_be_bytes()].concat();
                (udp.calc_checksum_ipv4_raw(source, destination, &self.payload).unwrap(), pseudo)
            }
            (SocketAddr::V6(source), SocketAddr::V6(destination)) => {
                let (source, destination) = (source.ip().octets(), destination.ip().octets());
                let ip = Ipv6Header {
                    traffic_class: self.traffic_class,
                    flow_label: Ipv6FlowLabel::try_new(self.flow_label).unwrap(),
                    payload_length: udp.length,
                    next_header: IpNumber::UDP,
                    hop_limit: self.hops,
                    source,
                    destination,
                };
                frame.extend(ip.to_bytes());
                let pseudo = [&source[..], &destination, &[0, 0], &udp.length.to_be_bytes(), &[0, 0, 0, 17]].concat();
                (udp.calc_checksum_ipv6_raw(source, destination, &self.payload).unwrap(), pseudo)
            }
            _ => panic!("two address families in one packet"),
        };
        udp.checksum = match self.checksum {
            Checksum::Full => full,
            Checksum::Zero => 0,
            Checksum::Partial => ones_complement_sum(&pseudo),
            Checksum::Wrong(by) => ones_complement_sum(&[full.to_be_bytes(), by.to_be_bytes()].concat()),
        };
        frame.extend(udp.to_bytes());
        frame.extend(&self.payload);
        frame
    }
}

fn ones_complement_sum(bytes: &[u8]) -> u16 {
    let mut sum: u32 = bytes.chunks(2).map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]]))).sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum as u16
}

/// A ChannelData message.
pub fn channel_data(number: u16, data: &[u8]) -> Vec<u8> {
    [&number.to_be_bytes(), &u16::try_from(data.len()).unwrap().to_be_bytes(), data].concat()
}
