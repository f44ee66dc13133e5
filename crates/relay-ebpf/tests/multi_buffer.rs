//! Frames larger than a page, as with an MTU of 9001, which the driver puts into several buffers.
#![allow(clippy::unwrap_used, clippy::panic, clippy::cast_possible_truncation, reason = "tests")]

mod support;

use std::{
    net::{SocketAddr, UdpSocket},
    time::Duration,
};

use relay_ebpf::{Config, Encapsulation, Flow, NextHop, Reason, Settings, XdpProgram};
use support::{
    Outcome, Random, Runner as _, cases,
    generate::{drawn, identification, take_flow_label},
    kernel::{Kernel, is_for_lack_of_means},
    model::Model,
    packet::channel_data,
    stun::{SendStyle, data_indication, send_indication},
};
use test_support::{
    capability::skip,
    namespace::{Namespace, ip},
};

const MTU: u32 = 9001;
const CHANNEL: u16 = 0x4123;

/// Frames of all sizes are forwarded as in the host build, which has each in one buffer.
#[test]
fn kernel_and_host_build_agree_on_large_frames() {
    let config = Config { multi_buffer: Some(true), ..cases::config() };
    let Some(mut kernel) = Kernel::load(&config) else { return };
    assert!(kernel.offload.is_multi_buffer());
    ip(&format!("link set lo mtu {MTU}"));
    let mut model = Model::new(settings(), MTU);
    for (direction, arrives_in, leaves_in) in cases::DIRECTIONS {
        for (v4_in, v4_out) in cases::FAMILIES {
            let flow = cases::flow(arrives_in, leaves_in, v4_in, v4_out);
            kernel.offload.install(&flow).unwrap();
            model.install(&flow, 0);
            let mut largest = 0;
            for length in
                [0, 1, 200, 1400, 3000, 3400, 3401, 3402, 3403, 3500, 4096, 4097, 4099, 7000, 8801, 8802, 8803, 8900]
            {
                let data: Vec<u8> = (0..length).map(|index| (index * 7 + 3) as u8).collect();
                for fingerprint in [false, true] {
                    let mut packet = cases::arriving(&flow, &data);
                    if arrives_in == Encapsulation::Indication {
                        let style = SendStyle { fingerprint, padding: 0x99, ..SendStyle::default() };
                        packet.payload = send_indication(flow.destination, &data, style);
                    }
                    let frame = packet.build();
                    let Outcome { reason, frame: mut left } = kernel.run(&frame);
                    (model.random, model.identification) = (drawn(&left), identification(&left));
                    let modelled = model.run(&frame);
                    if reason == Reason::Forwarded {
                        take_flow_label(&mut left);
                    }
                    let name = format!("{direction}, {length} bytes, {v4_in} to {v4_out}");
                    match reason {
                        Reason::Forwarded => {
                            assert_eq!((modelled.reason, &modelled.frame), (reason, &left), "{name}");
                            largest = largest.max(length);
                        }
                        // Padding needs room behind the last buffer, which test runs do not always have.
                        Reason::NoTailroom => assert_eq!(left, frame, "{name}"),
                        Reason::TooLarge => assert_eq!((modelled.reason, &left), (reason, &frame), "{name}"),
                        other => panic!("{name}: {other:?}"),
                    }
                }
            }
            assert!(largest >= 8800, "{direction}: {largest}");
            kernel.offload.remove(&flow.key()).unwrap();
            model.flows.clear();
        }
    }
}

fn settings() -> Settings {
    Settings { listen_port: 3478, lowest_port: 49152, highest_port: 65535, statistics: 1, ..Settings::NOTHING }
}

/// A relay, with a client and a peer behind one link.
struct Net {
    others: Namespace,
    relay: Namespace,
    offload: XdpProgram,
    /// In driver mode, an end of a veth pair receives redirected frames only if it has a program.
    _passing: XdpProgram,
}

fn net() -> Result<Net, String> {
    let (relay, others) = (Namespace::new()?, Namespace::new()?);
    let own = ["10.1.0.9/24", "10.2.0.9/24", "fd01::9/64", "fd02::9/64"];
    relay.connect("r0", &own, &others, "o0", &["10.1.0.1/24", "10.2.0.2/24", "fd01::1/64", "fd02::2/64"]);
    relay.within(|| ip(&format!("link set r0 mtu {MTU}")));
    others.within(|| ip(&format!("link set o0 mtu {MTU}")));
    let load = |namespace: &Namespace, name: &str| {
        let (interfaces, next_hop) = (vec![name.to_owned()], NextHop::RoutingTable);
        let config = Config { interfaces, next_hop, ..Config::default() };
        namespace.within(move || match XdpProgram::load(&config) {
            Ok(mut offload) => {
                assert!(offload.is_multi_buffer(), "an MTU of {MTU} needs it");
                offload.attach(&config).unwrap();
                Ok(offload)
            }
            Err(error) if is_for_lack_of_means(&error) => Err(error.to_string()),
            Err(error) => panic!("{error}: {error:?}"),
        })
    };
    let (offload, passing) = (load(&relay, "r0")?, load(&others, "o0")?);
    Ok(Net { others, relay, offload, _passing: passing })
}

#[test]
fn datagrams_of_an_mtu_of_9001_are_forwarded_by_the_driver() {
    let net = match net() {
        Ok(net) => net,
        Err(reason) => return skip("xdp", reason),
    };
    let pairs = [
        ("10.1.0.1:4001", "10.1.0.9:3478", "10.2.0.9:50001", "10.2.0.2:5001"),
        ("[fd01::1]:4002", "[fd01::9]:3478", "[fd02::9]:50002", "[fd02::2]:5002"),
    ];
    for (client, listener, allocation, peer) in pairs {
        let [client, listener, allocation, peer] =
            [client, listener, allocation, peer].map(|text| text.parse::<SocketAddr>().unwrap());
        let bind = |address: SocketAddr| {
            let socket = net.others.within(move || UdpSocket::bind(address).unwrap());
            socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
            socket
        };
        let (at_client, at_peer) = (bind(client), bind(peer));
        // Lets the host learn its neighbours, as a relay's own responses would.
        for (own, other, receiver) in [(listener, client, &at_client), (allocation, peer, &at_peer)] {
            net.relay.within(move || UdpSocket::bind(own).unwrap().send_to(b"hello", other).unwrap());
            assert_eq!(receiver.recv_from(&mut [0; 16]).unwrap(), (5, own));
        }
        for encapsulation in [Encapsulation::Channel(CHANNEL), Encapsulation::Indication] {
            let up = Flow {
                remote: client,
                local: listener,
                arrives_in: encapsulation,
                source: allocation,
                destination: peer,
                leaves_in: Encapsulation::Bare,
            };
            let down = Flow {
                remote: peer,
                local: allocation,
                arrives_in: Encapsulation::Bare,
                source: listener,
                destination: client,
                leaves_in: encapsulation,
            };
            net.offload.install(&up).unwrap();
            net.offload.install(&down).unwrap();
            relay(&net, (&at_client, &at_peer), &up);
            net.offload.remove(&up.key()).unwrap();
            net.offload.remove(&down.key()).unwrap();
        }
    }
    for reason in [Reason::Aborted, Reason::MultiBuffer, Reason::UnusualIndication, Reason::Truncated] {
        assert_eq!(count(&net, reason), 0, "{reason:?}");
    }
}

/// Relays data of all sizes to the peer and back.
fn relay(net: &Net, (at_client, at_peer): (&UdpSocket, &UdpSocket), up: &Flow) {
    let (listener, allocation, peer) = (up.local, up.source, up.destination);
    let mut random = Random(7);
    let mut buffer = [0; 10_000];
    let before = count(net, Reason::Forwarded);
    // Multiples of four: the driver has no room for padding behind the last of several buffers, so other lengths go to user space.
    let lengths = [100, 1400, 3300, 3500, 4096, 5000, 8000, 8800];
    for length in lengths {
        let data: Vec<u8> = (0..length).map(|_| random.next() as u8).collect();
        let lost = |error| -> ! { panic!("{length} bytes, {up:?}: {error}; {:?}", net.offload.reasons().unwrap()) };
        let sent = match up.arrives_in {
            Encapsulation::Indication => {
                send_indication(peer, &data, SendStyle { fingerprint: true, ..SendStyle::default() })
            }
            _ => channel_data(CHANNEL, &data),
        };
        at_client.send_to(&sent, listener).unwrap();
        let (received, from) = at_peer.recv_from(&mut buffer).unwrap_or_else(|error| lost(error));
        assert_eq!((&buffer[..received], from), (&data[..], allocation), "{length} bytes");
        at_peer.send_to(&data, allocation).unwrap();
        let (received, from) = at_client.recv_from(&mut buffer).unwrap_or_else(|error| lost(error));
        let expected = match up.arrives_in {
            Encapsulation::Indication => data_indication(peer, &data, buffer[8..20].try_into().unwrap()),
            _ => channel_data(CHANNEL, &data),
        };
        assert_eq!((&buffer[..received], from), (&expected[..], listener), "{length} bytes");
    }
    assert_eq!(count(net, Reason::Forwarded) - before, 2 * lengths.len() as u64);
}

fn count(net: &Net, reason: Reason) -> u64 {
    net.offload.reasons().unwrap()[reason as usize].1
}
