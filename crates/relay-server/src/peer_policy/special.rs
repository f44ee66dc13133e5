//! The table of address ranges with a special use, which are denied by default.

use std::{fmt, net::IpAddr};

use ipnet::IpNet;

use SpecialUse::{
    Benchmarking, CloudMetadata, Discard, Documentation, Identifier, Ipv4InIpv6, LinkLocal, LocalTranslation, Loopback,
    Private, Protocol, Reserved, SegmentRouting, Shared, ThisNetwork, Tunnel, UniqueLocal,
};

/// The special use of an address range: its addresses are not ordinary hosts of the Internet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SpecialUse {
    /// `0.0.0.0/8`, "this network": many systems treat its addresses as their own.
    ThisNetwork,
    /// Loopback.
    Loopback,
    /// Hosts on one link.
    LinkLocal,
    /// Metadata services of clouds, which give out keys, and other services for a cloud's own machines.
    CloudMetadata,
    /// Private IPv4 networks (RFC 1918).
    Private,
    /// Carrier-grade NATs and overlay networks (RFC 6598).
    Shared,
    /// Private IPv6 networks (RFC 4193).
    UniqueLocal,
    /// Examples in documentation.
    Documentation,
    /// Benchmarks of network devices.
    Benchmarking,
    /// IETF protocols.
    Protocol,
    /// 6to4 relays.
    Tunnel,
    /// NAT64 with the local-use prefix (RFC 8215).
    LocalTranslation,
    /// Packets to be discarded.
    Discard,
    /// Identifiers in the form of addresses.
    Identifier,
    /// Segment identifiers.
    SegmentRouting,
    /// An IPv4 address written as an IPv6 address.
    Ipv4InIpv6,
    /// Not assigned.
    Reserved,
}

impl SpecialUse {
    /// All uses.
    pub const ALL: [Self; 17] = [
        Self::ThisNetwork,
        Self::Loopback,
        Self::LinkLocal,
        Self::CloudMetadata,
        Self::Private,
        Self::Shared,
        Self::UniqueLocal,
        Self::Documentation,
        Self::Benchmarking,
        Self::Protocol,
        Self::Tunnel,
        Self::LocalTranslation,
        Self::Discard,
        Self::Identifier,
        Self::SegmentRouting,
        Self::Ipv4InIpv6,
        Self::Reserved,
    ];

    /// A short name, for metrics and recordings.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::ThisNetwork => "this_network",
            Self::Loopback => "loopback",
            Self::LinkLocal => "link_local",
            Self::CloudMetadata => "cloud_metadata",
            Self::Private => "private",
            Self::Shared => "shared",
            Self::UniqueLocal => "unique_local",
            Self::Documentation => "documentation",
            Self::Benchmarking => "benchmarking",
            Self::Protocol => "protocol",
            Self::Tunnel => "tunnel",
            Self::LocalTranslation => "local_translation",
            Self::Discard => "discard",
            Self::Identifier => "identifier",
            Self::SegmentRouting => "segment_routing",
            Self::Ipv4InIpv6 => "ipv4_in_ipv6",
            Self::Reserved => "reserved",
        }
    }

    /// The use with this [`Self::name`].
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|usage| usage.name() == name)
    }
}

impl fmt::Display for SpecialUse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ThisNetwork => "means the sender's own network",
            Self::Loopback => "is the relay's own machine",
            Self::LinkLocal => "is link-local",
            Self::CloudMetadata => "is a cloud's metadata service",
            Self::Private | Self::UniqueLocal => "is a private network",
            Self::Shared => "is shared address space",
            Self::Documentation => "is for documentation",
            Self::Benchmarking => "is for benchmarks",
            Self::Protocol => "is for IETF protocols",
            Self::Tunnel => "is for 6to4 relays",
            Self::LocalTranslation => "is for local NAT64",
            Self::Discard => "is for discarding packets",
            Self::Identifier => "is for identifiers, not hosts",
            Self::SegmentRouting => "is for segment routing",
            Self::Ipv4InIpv6 => "is IPv4 written as IPv6",
            Self::Reserved => "is reserved",
        })
    }
}

/// A range in the table. `None` marks an ordinary range inside a special one.
pub(super) type Entry = (IpNet, Option<SpecialUse>);

/// The most specific special range that contains `address`, and its use.
pub(super) fn find(address: IpAddr) -> Option<(IpNet, SpecialUse)> {
    let (net, usage) = ranges().filter(|(net, _)| net.contains(&address)).max_by_key(|(net, _)| net.prefix_len())?;
    usage.map(|usage| (net, usage))
}

/// The table.
pub(super) fn ranges() -> impl Iterator<Item = Entry> {
    let v4 = V4.iter().map(|(octets, length, usage)| (IpNet::new_assert(IpAddr::from(*octets), *length), *usage));
    let v6 = V6.iter().map(|(segments, length, usage)| (IpNet::new_assert(IpAddr::from(*segments), *length), *usage));
    v4.chain(v6)
}

/// [IANA's registry for IPv4](https://www.iana.org/assignments/iana-ipv4-special-registry/) as of 2025, and services that
/// clouds offer to their own machines (below).
///
/// Left out: multicast (`224.0.0.0/4`) and `240.0.0.0/4` with the broadcast address, which no rule can allow; and `192.31.196.0/24`,
/// `192.52.193.0/24`, `192.175.48.0/24`, which the registry calls globally reachable.
const V4: &[([u8; 4], u8, Option<SpecialUse>)] = &[
    ([0, 0, 0, 0], 8, Some(ThisNetwork)),         // RFC 791
    ([10, 0, 0, 0], 8, Some(Private)),            // RFC 1918
    ([100, 64, 0, 0], 10, Some(Shared)),          // RFC 6598
    ([127, 0, 0, 0], 8, Some(Loopback)),          // RFC 1122
    ([169, 254, 0, 0], 16, Some(LinkLocal)),      // RFC 3927
    ([172, 16, 0, 0], 12, Some(Private)),         // RFC 1918
    ([192, 0, 0, 0], 24, Some(Protocol)),         // RFC 6890
    ([192, 0, 2, 0], 24, Some(Documentation)),    // RFC 5737
    ([192, 88, 99, 0], 24, Some(Tunnel)),         // RFC 7526
    ([192, 168, 0, 0], 16, Some(Private)),        // RFC 1918
    ([198, 18, 0, 0], 15, Some(Benchmarking)),    // RFC 2544
    ([198, 51, 100, 0], 24, Some(Documentation)), // RFC 5737
    ([203, 0, 113, 0], 24, Some(Documentation)),  // RFC 5737
    // AWS, Google Cloud, Azure, Oracle, DigitalOcean, Hetzner, OpenStack and others.
    ([169, 254, 169, 254], 32, Some(CloudMetadata)),
    ([169, 254, 169, 253], 32, Some(CloudMetadata)), // AWS: DNS
    ([169, 254, 169, 123], 32, Some(CloudMetadata)), // AWS: time
    ([169, 254, 170, 2], 32, Some(CloudMetadata)),   // AWS ECS: credentials of tasks
    ([169, 254, 170, 23], 32, Some(CloudMetadata)),  // AWS EKS: credentials of pods
    ([169, 254, 0, 23], 32, Some(CloudMetadata)),    // Tencent Cloud
    ([169, 254, 42, 42], 32, Some(CloudMetadata)),   // Scaleway
    ([100, 100, 100, 200], 32, Some(CloudMetadata)), // Alibaba Cloud
    ([168, 63, 129, 16], 32, Some(CloudMetadata)),   // Azure: the platform's agent, DHCP, DNS
];

/// [IANA's registry for IPv6](https://www.iana.org/assignments/iana-ipv6-special-registry/) as of 2025, with RFC 9780 as its
/// newest entry; the rest of the [address space](https://www.iana.org/assignments/ipv6-address-space/), of which only `2000::/3` is
/// assigned to hosts of the Internet; and services of clouds.
///
/// Left out: `ff00::/8`, `fe80::/10`, `::ffff:0:0/96`, `2001::/32` and `2002::/16`, which no rule can allow.
const V6: &[([u16; 8], u8, Option<SpecialUse>)] = &[
    ([0, 0, 0, 0, 0, 0, 0, 0], 3, Some(Reserved)),
    ([0, 0, 0, 0, 0, 0, 0, 0], 96, Some(Ipv4InIpv6)), // RFC 4291, deprecated
    ([0, 0, 0, 0, 0xffff, 0, 0, 0], 96, Some(Ipv4InIpv6)), // RFC 2765, obsolete
    ([0, 0, 0, 0, 0, 0, 0, 1], 128, Some(Loopback)),  // RFC 4291
    ([0x64, 0xff9b, 0, 0, 0, 0, 0, 0], 96, None),     // RFC 6052: the IPv4 address counts
    ([0x64, 0xff9b, 1, 0, 0, 0, 0, 0], 48, Some(LocalTranslation)), // RFC 8215
    ([0x100, 0, 0, 0, 0, 0, 0, 0], 64, Some(Discard)), // RFC 6666
    ([0x100, 0, 0, 1, 0, 0, 0, 0], 64, Some(Discard)), // RFC 9780
    ([0x2001, 0, 0, 0, 0, 0, 0, 0], 23, Some(Protocol)), // RFC 2928
    ([0x2001, 2, 0, 0, 0, 0, 0, 0], 48, Some(Benchmarking)), // RFC 5180
    ([0x2001, 0x10, 0, 0, 0, 0, 0, 0], 28, Some(Identifier)), // RFC 4843, deprecated: ORCHID
    ([0x2001, 0x20, 0, 0, 0, 0, 0, 0], 28, Some(Identifier)), // RFC 7343: ORCHIDv2
    ([0x2001, 0x30, 0, 0, 0, 0, 0, 0], 28, Some(Identifier)), // RFC 9374: drones
    ([0x2001, 0xdb8, 0, 0, 0, 0, 0, 0], 32, Some(Documentation)), // RFC 3849
    ([0x3fff, 0, 0, 0, 0, 0, 0, 0], 20, Some(Documentation)), // RFC 9637
    ([0x4000, 0, 0, 0, 0, 0, 0, 0], 2, Some(Reserved)),
    ([0x5f00, 0, 0, 0, 0, 0, 0, 0], 16, Some(SegmentRouting)), // RFC 9602
    ([0x8000, 0, 0, 0, 0, 0, 0, 0], 1, Some(Reserved)),
    ([0xfc00, 0, 0, 0, 0, 0, 0, 0], 7, Some(UniqueLocal)), // RFC 4193
    ([0xfec0, 0, 0, 0, 0, 0, 0, 0], 10, Some(Private)),    // RFC 3879, deprecated: site-local
    ([0xfd00, 0xec2, 0, 0, 0, 0, 0, 0], 32, Some(CloudMetadata)), // AWS: metadata ::254, DNS ::253, time ::123, pods ::23
    ([0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254], 128, Some(CloudMetadata)), // Google Cloud
    ([0xfd00, 0xc1, 0, 0, 0, 0, 0xa9fe, 0xa9fe], 128, Some(CloudMetadata)), // Oracle Cloud
    ([0xfd00, 0x42, 0, 0, 0, 0, 0, 0x42], 128, Some(CloudMetadata)), // Scaleway
];
