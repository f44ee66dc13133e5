//! The rewrite: parses the old headers, looks the route up, and writes new headers.

use crate::{
    address::Be16,
    checksum::{fold, fold_words},
    frame::Frame,
    host::{Host, Leaving, Link},
    indication::{self, Data},
    packet::Packet,
    reason::Reason,
    route::Route,
    wire::{
        ChannelData, DONT_FRAGMENT, ETHER_TYPE_IPV4, ETHER_TYPE_IPV6, ETHER_TYPE_VLAN, ETHERNET, ETHERNET_TAGGED,
        Ethernet, Ipv4, Ipv6, Tag, UDP, Udp, Wire, length_of,
    },
};

/// The largest IPv4 packet made from an IPv6 packet that may be fragmented on its way
/// (<https://www.rfc-editor.org/rfc/rfc7915#section-5.1>).
const MAY_BE_FRAGMENTED: u32 = 1260;

/// The information about a forwarded frame that the caller needs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Forwarded {
    /// The length of the application data relayed, in bytes.
    pub payload: u32,
    /// 1 if the frame leaves by `interface`, 0 if by the interface that it arrived on.
    pub redirected: u8,
    /// The index of the interface that it leaves by, if `redirected`.
    pub interface: u32,
}

/// Forwards a frame, if possible, by rewriting its headers. Fills in `forwarded` for the caller.
///
/// The decision is made before the first write: unless the result is [`Reason::Forwarded`] (or [`Reason::Aborted`], which should not
/// happen), the frame is unchanged and goes to user space.
///
/// IP fields follow the preferred behaviour of RFC 8656: the TTL is one less, DSCP and ECN are kept, and so is DF
/// (<https://www.rfc-editor.org/rfc/rfc8656#section-14>). RFC 7915 applies where the family changes
/// (<https://www.rfc-editor.org/rfc/rfc8656#section-13>). The UDP checksum is updated and not verified: a wrong one stays wrong.
#[inline(always)]
pub fn rewrite<F: Frame, H: Host>(frame: &mut F, host: &mut H, forwarded: &mut Forwarded) -> Reason {
    let mut packet = Packet::default();
    let reason = packet.parse(frame, host);
    if reason as u32 != Reason::Forwarded as u32 {
        return reason;
    }
    // The kernel needs the key in memory. With a copy of it, the rest of the packet can stay in registers.
    let key = packet.key;
    let mut route = Route::default();
    if !host.route(&key, &mut route) {
        return Reason::NoRoute;
    }
    if !route.is_for(&packet.key, &packet.local)
        || (packet.is_send != 0
            && !indication::is_for(frame, packet.headers, &route.destination, route.destination_port))
    {
        return Reason::OtherRoute;
    }
    let leaves_as_v4 = route.leaves_as_v4();
    if packet.checksum == 0 {
        if !leaves_as_v4 {
            return Reason::NoChecksum;
        }
    } else if packet.checksum == fold(u32::from(route.arriving_pseudo_header) + u32::from(packet.udp_length.raw())) {
        return Reason::PartialChecksum;
    }

    let wrapping = if route.channel == Be16::default() {
        0
    } else if route.leaves_in_data() {
        indication::header_length(packet.v6)
    } else {
        length_of::<ChannelData>()
    };
    let padding = if route.leaves_in_data() { indication::padding(packet.payload) } else { 0 };
    let udp_length = length_of::<Udp>() + wrapping + packet.payload + padding;
    let ip_header = if leaves_as_v4 { length_of::<Ipv4>() } else { length_of::<Ipv6>() };
    if ip_header + udp_length > 0xffff {
        return Reason::TooLarge;
    }
    let has_indication = packet.is_send != 0 || route.leaves_in_data();
    let leaving = Leaving {
        length: ip_header + udp_length + if has_indication { 0 } else { packet.trailer },
        traffic_class: packet.traffic_class,
        hops: packet.hops - 1,
    };
    let mut link = packet.link;
    let settings = host.settings();
    if settings.look_up_next_hop != 0 {
        let reason = host.next_hop(&route, &leaving, &mut link);
        if reason as u32 != Reason::Forwarded as u32 {
            return reason;
        }
        if settings.multi_buffer != 0 && link.redirected != 0 && frame.is_multi_buffer() {
            return Reason::MultiBuffer;
        }
    }
    let link_header = if link.tagged == 0 { ETHERNET } else { ETHERNET_TAGGED };
    let headers = link_header + ip_header + length_of::<Udp>() + wrapping;
    let growth = headers.wrapping_sub(packet.headers) as i32;
    if settings.look_up_next_hop == 0 && growth > 0 && !host.fits(leaving.length) {
        return Reason::TooLarge;
    }

    let mut ending = Ending::default();
    if has_indication {
        ending = Ending::new(packet.trailer, padding, headers + packet.payload);
        // If padding is added but the front then cannot grow, the padding can be removed again, so nothing is lost.
        if ending.lacks_room() || (ending.cut == 0 && !ending.pad(frame)) {
            return Reason::NoTailroom;
        }
    }
    if growth != 0 && !frame.grow_front(growth) {
        return if ending.cut == 0 && !ending.unpad(frame) { Reason::Aborted } else { Reason::NoHeadroom };
    }
    if ending.cut != 0 && !(frame.grow_back(-(ending.cut as i32)) && ending.pad(frame)) {
        return Reason::Aborted;
    }
    // All room is there now. Headers are made this late so that they do not occupy the small stack during the look-ups.
    let payload = Be16::low_bits_of(packet.payload);
    let mut change = 0;
    if packet.is_send != 0 {
        change = u64::from(!packet.sum);
    } else if route.leaves_in_data() {
        let transaction = packet.key.transaction_id(host.random());
        let data = Data::new(&packet.key.remote, packet.key.remote_port, packet.v6, packet.payload, transaction);
        change = data.sum() + 2 * u64::from(Be16::low_bits_of(wrapping + padding).raw());
        if !data.write(frame, (headers - wrapping) as usize, packet.v6) {
            return Reason::Aborted;
        }
    }
    let channel = ChannelData { number: route.channel, length: payload };
    let udp = Udp {
        source: route.source_port,
        destination: route.destination_port,
        length: Be16::low_bits_of(udp_length),
        checksum: update_checksum(&packet, &route, payload, fold_words(change)),
    };
    let mut v4 = Ipv4::default();
    let mut v6 = Ipv6::default();
    if leaves_as_v4 {
        fill_v4(&mut v4, &packet, &route, &leaving, ip_header + udp_length, host);
    } else {
        v6.version_class_label = route.first_word(leaving.traffic_class);
        v6.payload_length = udp.length;
        v6.next_header = UDP;
        v6.hop_limit = leaving.hops;
        v6.source = route.source.0;
        v6.destination = route.destination.0;
    }
    let written = match (link.tagged == 0, leaves_as_v4) {
        (true, true) => write::<F, Ipv4, ETHERNET>(frame, &link, ETHER_TYPE_IPV4, &v4, &udp, &channel),
        (true, false) => write::<F, Ipv6, ETHERNET>(frame, &link, ETHER_TYPE_IPV6, &v6, &udp, &channel),
        (false, true) => write::<F, Ipv4, ETHERNET_TAGGED>(frame, &link, ETHER_TYPE_IPV4, &v4, &udp, &channel),
        (false, false) => write::<F, Ipv6, ETHERNET_TAGGED>(frame, &link, ETHER_TYPE_IPV6, &v6, &udp, &channel),
    };
    if !written {
        return Reason::Aborted;
    }
    forwarded.payload = packet.payload;
    forwarded.redirected = link.redirected;
    forwarded.interface = link.interface;
    Reason::Forwarded
}

/// The shortest Ethernet frame, without its frame check sequence. Some drivers expect no shorter one.
const SHORTEST_FRAME: u32 = 60;

/// The change of a frame's end, after the application data, if an indication arrives or leaves.
#[derive(Clone, Copy, Default)]
struct Ending {
    /// How many bytes to cut off.
    cut: u32,
    /// How many zeros to add afterwards.
    padding: u32,
}

impl Ending {
    /// For a frame with `trailer` bytes after the data, which will end at `data_end` and be followed by `padding` zeros.
    #[inline(always)]
    fn new(trailer: u32, padding: u32, data_end: u32) -> Self {
        Self { cut: trailer.saturating_sub(SHORTEST_FRAME.saturating_sub(data_end)), padding }
    }

    /// Whether the frame would have to grow after bytes were cut off. They would be lost if it could not.
    #[inline(always)]
    fn lacks_room(&self) -> bool {
        self.cut != 0 && self.cut < self.padding
    }

    #[inline(always)]
    fn pad<F: Frame>(&self, frame: &mut F) -> bool {
        self.padding == 0 || frame.grow_back(self.padding as i32)
    }

    #[inline(always)]
    fn unpad<F: Frame>(&self, frame: &mut F) -> bool {
        self.padding == 0 || frame.grow_back(-(self.padding as i32))
    }
}

/// The new UDP checksum: the old one, less the old headers, plus the new ones and `change`
/// (<https://www.rfc-editor.org/rfc/rfc1624#section-3>).
#[inline(always)]
fn update_checksum(packet: &Packet, route: &Route, payload: Be16, change: u16) -> u16 {
    if packet.checksum == 0 {
        return 0;
    }
    let mut sum = u32::from(!packet.checksum) + u32::from(route.checksum_change) + u32::from(change);
    if packet.key.is_channel() {
        sum += u32::from(!payload.raw());
    }
    if route.channel != Be16::default() && !route.leaves_in_data() {
        sum += u32::from(payload.raw());
    }
    match !fold(sum) {
        0 => 0xffff,
        checksum => checksum,
    }
}

#[inline(always)]
fn fill_v4<H: Host>(ip: &mut Ipv4, packet: &Packet, route: &Route, leaving: &Leaving, length: u32, host: &mut H) {
    ip.version_and_length = 0x45;
    ip.dscp_and_ecn = leaving.traffic_class;
    ip.total_length = Be16::low_bits_of(length);
    if if packet.v6 { length > MAY_BE_FRAGMENTED } else { packet.dont_fragment } {
        ip.flags_and_offset = DONT_FRAGMENT;
    } else {
        ip.identification = Be16::new(host.identification());
    }
    ip.time_to_live = leaving.hops;
    ip.protocol = UDP;
    ip.checksum = !fold(ip.sum_of_first_words() + u32::from(route.leaving_addresses));
    ip.source = route.source.v4_word();
    ip.destination = route.destination.v4_word();
}

/// Writes all headers, front to back, with the IP header at `START`.
#[inline(always)]
fn write<F: Frame, Ip: Wire, const START: u32>(
    frame: &mut F,
    link: &Link,
    ether_type: Be16,
    ip: &Ip,
    udp: &Udp,
    channel: &ChannelData,
) -> bool {
    let tagged = START != ETHERNET;
    let ethernet = Ethernet {
        addresses: link.addresses,
        ether_type: if tagged { ETHER_TYPE_VLAN } else { ether_type },
        next: Be16::default(),
    };
    let udp_start = (START + length_of::<Ip>()) as usize;
    frame.write(0, &ethernet)
        && (!tagged || frame.write(ETHERNET as usize, &Tag { control: Be16::from_raw(link.control), ether_type }))
        && frame.write(START as usize, ip)
        && frame.write(udp_start, udp)
        && (channel.number.get() >> 14 != 0b01 || frame.write(udp_start + size_of::<Udp>(), channel))
}
