//! Real packets between a client, a relay and a peer in three network namespaces. The relay consists of the program only, so all
//! packets that arrive were forwarded by the kernel.
#![allow(clippy::unwrap_used, clippy::panic, clippy::cast_possible_truncation, reason = "tests")]

mod support;

use std::{
    net::{SocketAddr, UdpSocket},
    sync::Arc,
    thread,
    time::Duration,
};

use relay_ebpf::{AttachMode, Config, Encapsulation, Flow, NextHop, Reason, XdpProgram};
use support::{Random, kernel::is_for_lack_of_means, packet::channel_data};
use test_support::{
    capability::skip,
    namespace::{self, Namespace, ip},
};

const CHANNEL: u16 = 0x4abc;
const ROUNDS: usize = 500;

struct Net {
    client: Namespace,
    relay: Namespace,
    peer: Namespace,
    offload: Arc<XdpProgram>,
    /// Programs that pass everything. In driver mode, an end of a veth pair receives redirected frames only if it has a program.
    _passing: Vec<XdpProgram>,
}

/// A missing capability of this machine, and the reason.
type Lacking = (&'static str, String);

/// Connects client and peer to the relay with a link each, and attaches the program to both of the relay's interfaces.
fn net(mode: AttachMode, vlan: bool) -> Result<Net, Lacking> {
    let namespace = || Namespace::new().map_err(|reason| ("xdp", reason));
    let (client, relay, peer) = (namespace()?, namespace()?, namespace()?);
    let (own, others): (&[&str], &[&str]) = (&["10.1.0.9/24", "fd01::9/64"], &["10.1.0.1/24", "fd01::1/64"]);
    if vlan {
        // The client's link has a VLAN.
        relay.connect("rc", &[], &client, "c0", &[]);
        for (namespace, below, addresses) in [(&relay, "rc", own), (&client, "c0", others)] {
            let [v4, v6] = [addresses[0].to_owned(), addresses[1].to_owned()];
            let made = namespace.within(move || {
                let command = format!("link add link {below} name {below}.7 type vlan id 7");
                let made = std::process::Command::new("ip").args(command.split(' ')).output().unwrap();
                if !made.status.success() {
                    return Err(("vlan", format!("no VLANs here: {}", String::from_utf8_lossy(&made.stderr))));
                }
                // Puts the tag into the packet. Otherwise it is metadata, as with a network card that removes tags.
                namespace::run("ethtool", &format!("-K {below} txvlan off rxvlan off"));
                ip(&format!("addr add {v4} dev {below}.7"));
                ip(&format!("addr add {v6} dev {below}.7 nodad"));
                ip(&format!("link set {below}.7 up"));
                Ok(())
            });
            made?;
        }
    } else {
        relay.connect("rc", own, &client, "c0", others);
    }
    relay.connect("rp", &["10.2.0.9/24", "fd02::9/64"], &peer, "p0", &["10.2.0.2/24", "fd02::2/64"]);

    let config = |interfaces: &[&str]| Config {
        interfaces: interfaces.iter().map(|name| (*name).to_owned()).collect(),
        mode,
        next_hop: NextHop::RoutingTable,
        ..Config::default()
    };
    let load = |namespace: &Namespace, config: Config| {
        namespace.within(move || match XdpProgram::load(&config) {
            Ok(mut offload) => {
                offload.attach(&config).unwrap();
                Ok(offload)
            }
            Err(error) if is_for_lack_of_means(&error) => Err(("xdp", error.to_string())),
            Err(error) => panic!("{error}: {error:?}"),
        })
    };
    let offload = Arc::new(load(&relay, config(&["rc", "rp"]))?);
    let passing = match mode {
        AttachMode::Driver => vec![load(&client, config(&["c0"]))?, load(&peer, config(&["p0"]))?],
        AttachMode::Generic => Vec::new(),
    };
    Ok(Net { client, relay, peer, offload, _passing: passing })
}

fn bind(namespace: &Namespace, address: &'static str) -> UdpSocket {
    let socket = namespace.within(move || UdpSocket::bind(address).unwrap());
    socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    socket
}

/// Relays data in both directions between these addresses of client, relay (two) and peer.
fn relay(net: &Net, client: &'static str, relay_to_client: &str, relay_to_peer: &str, peer: &'static str, seed: u64) {
    let parse = |text: &str| text.parse::<SocketAddr>().unwrap();
    let (listener, allocation) = (parse(relay_to_client), parse(relay_to_peer));
    let (client_socket, peer_socket) = (bind(&net.client, client), bind(&net.peer, peer));
    let up = Flow {
        remote: parse(client),
        local: listener,
        arrives_in: Encapsulation::Channel(CHANNEL),
        source: allocation,
        destination: parse(peer),
        leaves_in: Encapsulation::Bare,
    };
    let down = Flow {
        remote: parse(peer),
        local: allocation,
        arrives_in: Encapsulation::Bare,
        source: listener,
        destination: parse(client),
        leaves_in: Encapsulation::Channel(CHANNEL),
    };
    // Lets the host learn its neighbours, as a relay's own responses would.
    for (own, other, receiver) in [(listener, parse(client), &client_socket), (allocation, parse(peer), &peer_socket)] {
        net.relay.within(move || UdpSocket::bind(own).unwrap().send_to(b"hello", other).unwrap());
        let mut buffer = [0; 16];
        assert_eq!(receiver.recv_from(&mut buffer).unwrap(), (5, own));
    }

    let before = count(net, Reason::Forwarded);
    net.offload.install(&up).unwrap();
    net.offload.install(&down).unwrap();
    let mut random = Random(seed);
    let mut buffer = [0; 2048];
    for round in 0..ROUNDS {
        let length = random.below(1400);
        let data: Vec<u8> = (0..length).map(|_| random.next() as u8).collect();
        client_socket.send_to(&channel_data(CHANNEL, &data), listener).unwrap();
        let (received, from) = peer_socket.recv_from(&mut buffer).unwrap_or_else(|error| lost(net, round, &error));
        assert_eq!((&buffer[..received], from), (&data[..], allocation), "round {round}");
        peer_socket.send_to(&data, allocation).unwrap();
        let (received, from) = client_socket.recv_from(&mut buffer).unwrap_or_else(|error| lost(net, round, &error));
        assert_eq!((&buffer[..received], from), (&channel_data(CHANNEL, &data)[..], listener), "round {round}");
    }
    assert_eq!(count(net, Reason::Forwarded) - before, 2 * ROUNDS as u64);

    // After the removal, the kernel passes the packets to the host, which does not answer.
    net.offload.remove(&up.key()).unwrap();
    net.offload.remove(&down.key()).unwrap();
    let before = count(net, Reason::NoRoute);
    client_socket.send_to(&channel_data(CHANNEL, b"late"), listener).unwrap();
    let passed = || count(net, Reason::NoRoute) - before;
    // A busy kernel handles packets in a thread, which may be late: wait up to 10 s.
    for _ in 0..1_000 {
        if passed() > 0 {
            break;
        }
        thread::sleep(Duration::from_millis(10));
    }
    assert_eq!(passed(), 1);
    peer_socket.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
    assert!(peer_socket.recv_from(&mut buffer).is_err());
}

fn count(net: &Net, reason: Reason) -> u64 {
    net.offload.reasons().unwrap()[reason as usize].1
}

fn lost(net: &Net, round: usize, error: &std::io::Error) -> ! {
    panic!("round {round}: {error}; {:?}", net.offload.reasons().unwrap())
}

fn all_families(mode: AttachMode, vlan: bool) {
    let net = match net(mode, vlan) {
        Ok(net) => net,
        Err((capability, reason)) => return skip(capability, reason),
    };
    // One packet in 65,536 has a complete checksum that looks partial, and is passed. With these seeds, none has.
    relay(&net, "10.1.0.1:4001", "10.1.0.9:3478", "10.2.0.9:50001", "10.2.0.2:5001", 1);
    relay(&net, "[fd01::1]:4002", "[fd01::9]:3478", "[fd02::9]:50002", "[fd02::2]:5002", 2);
    relay(&net, "10.1.0.1:4003", "10.1.0.9:3478", "[fd02::9]:50003", "[fd02::2]:5003", 30);
    relay(&net, "[fd01::1]:4004", "[fd01::9]:3478", "10.2.0.9:50004", "10.2.0.2:5004", 4);
    for reason in [Reason::PartialChecksum, Reason::Aborted, Reason::NoHeadroom, Reason::OtherInterface] {
        assert_eq!(count(&net, reason), 0, "{reason:?}");
    }
}

#[test]
fn driver_mode() {
    all_families(AttachMode::Driver, false);
}

#[test]
fn generic_mode() {
    all_families(AttachMode::Generic, false);
}

#[test]
fn driver_mode_with_a_vlan_on_one_side() {
    all_families(AttachMode::Driver, true);
}
