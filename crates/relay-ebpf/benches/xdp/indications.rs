//! The cost of Send and Data indications, compared with ChannelData.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use relay_ebpf::{Encapsulation, Flow, OffloadError, XdpProgram};

use crate::{
    CHANNEL, LISTEN_PORT, PACKETS, PAYLOAD, forwarded_in, median,
    packet::{Packet, channel_data},
    pairs, print,
    stun::{SendStyle, send_indication},
};

/// Packets per call. Each adds or removes an indication, and the room in front of a packet is enough for no more.
const REPEAT: u32 = 4;

/// Measures one direction at a time: the packet that leaves arrives again at the same flow.
pub(crate) fn measure_indications(offloads: &[&XdpProgram; 2]) -> Result<(), OffloadError> {
    use Encapsulation::{Bare, Channel, Indication};
    for (family, v4) in [("v4", true), ("v6", false)] {
        for (names, ways) in [
            (["ChannelData to peer", "Send indication to peer"], [(Channel(CHANNEL), Bare), (Indication, Bare)]),
            (["peer to ChannelData", "peer to Data indication"], [(Bare, Channel(CHANNEL)), (Bare, Indication)]),
        ] {
            let times = measure(offloads, v4, ways)?;
            for (name, times) in names.into_iter().zip(times) {
                print(&format!("{family}, {name}"), times);
            }
            let ratio = [0, 1].map(|at| times[1][at] / times[0][at]);
            println!("  {:<30}{:13.2}x{:9.2}x", "against ChannelData", ratio[0], ratio[1]);
        }
    }
    Ok(())
}

/// A flow whose leaving packets match it again.
fn flow(v4: bool, number: u8, (arrives_in, leaves_in): (Encapsulation, Encapsulation)) -> Flow {
    let port = if arrives_in == Encapsulation::Bare { 50_000 } else { LISTEN_PORT };
    let (remote, local) = if v4 {
        (Ipv4Addr::new(10, 0, 0, number).into(), "10.255.1.9".parse().unwrap())
    } else {
        (Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, number.into()).into(), "2001:db8:ffff::9".parse().unwrap())
    };
    let (remote, local) = (SocketAddr::new(remote, 40_000), SocketAddr::new(local, port));
    Flow { remote, local, arrives_in, source: remote, destination: local, leaves_in }
}

fn frame(flow: &Flow) -> Vec<u8> {
    let mut data = vec![0x5a; PAYLOAD];
    for _ in 0..REPEAT {
        data = match flow.arrives_in {
            Encapsulation::Bare => data,
            Encapsulation::Channel(number) => channel_data(number, &data),
            Encapsulation::Indication => send_indication(flow.destination, &data, SendStyle::default()),
        };
    }
    let mut packet = Packet::new(flow.remote, flow.local, data);
    packet.hops = 255;
    packet.build()
}

/// Measures both ways in turn, together with a frame that is not IP. The cost of that frame in so short a call is subtracted, and its
/// cost in a long call is added again.
fn measure(
    offloads: &[&XdpProgram; 2],
    v4: bool,
    ways: [(Encapsulation, Encapsulation); 2],
) -> Result<[[f64; 2]; 2], OffloadError> {
    let flows = [flow(v4, 1, ways[0]), flow(v4, 2, ways[1])];
    for (offload, flow) in pairs(offloads, &flows) {
        offload.install(flow).unwrap();
    }
    let mut not_ip = frame(&flows[0]);
    not_ip[12] = 0x88;
    let frames = [frame(&flows[0]), frame(&flows[1]), not_ip.clone()];
    let mut times = [const { [const { Vec::new() }; 2] }; 3];
    let mut long = [const { Vec::new() }; 2];
    for _ in 0..PACKETS / REPEAT / 4 {
        for (frame, times) in frames.iter().zip(&mut times) {
            for (offload, times) in offloads.iter().zip(times) {
                times.extend(forwarded_in(offload, frame, REPEAT)?);
            }
        }
        for (offload, long) in offloads.iter().zip(&mut long) {
            long.extend(forwarded_in(offload, &not_ip, crate::REPEAT)?);
        }
    }
    for (offload, flow) in pairs(offloads, &flows) {
        offload.remove(&flow.key()).unwrap();
    }
    let [one, other, short] = times.map(|times| times.map(median));
    let long = long.map(median);
    Ok([one, other].map(|times| std::array::from_fn(|at| times[at] - short[at] + long[at])))
}
