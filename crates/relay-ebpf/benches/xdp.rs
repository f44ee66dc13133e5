//! Nanoseconds per packet in the kernel: `cargo xtask bench xdp`.
//!
//! BPF_PROG_TEST_RUN runs the program repeatedly on one packet, each time on the result of the last. So flows form a chain: the
//! packet that leaves by one flow arrives at the next. A call runs until the packet's time to live is used up; the next call starts
//! again.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a program for people")]

#[path = "xdp/indications.rs"]
mod indications;
#[path = "../tests/support/packet.rs"]
#[allow(dead_code, unreachable_pub, missing_docs, clippy::cast_possible_truncation, reason = "shared with the tests")]
mod packet;
#[path = "../tests/support/stun.rs"]
#[allow(dead_code, unreachable_pub, missing_docs, reason = "shared with the tests")]
mod stun;

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    process::ExitCode,
};

use indications::measure_indications;
use packet::{Packet, channel_data};
use relay_ebpf::{AttachMode, Config, Encapsulation, Flow, NextHop, OffloadError, XdpProgram};
use test_support::namespace::{self, ip};

/// Application data per packet, in bytes.
const PAYLOAD: usize = 200;
/// Packets per call, limited by the time to live.
const REPEAT: u32 = 250;
/// Packets per measured figure and program.
const PACKETS: u32 = 1_000_000;
/// Flows in the map that are not measured.
const OTHER_FLOWS: u32 = 60_000;
/// Flows that are used in turn, to measure flows that are not in the processor's caches.
const ACTIVE_FLOWS: u32 = 20_000;

const XDP_TX: u32 = 3;
const XDP_REDIRECT: u32 = 4;
const LISTEN_PORT: u16 = 3478;
const CHANNEL: u16 = 0x4000;

fn main() -> ExitCode {
    // `cargo test` also runs benchmarks, without this argument.
    if !std::env::args().any(|argument| argument == "--bench") {
        return ExitCode::SUCCESS;
    }
    match namespace::enter().and_then(|()| measure_all().map_err(|error| error.to_string())) {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            eprintln!("cannot measure: {reason}");
            ExitCode::FAILURE
        }
    }
}

fn measure_all() -> Result<(), OffloadError> {
    // up0 has routers behind it, for the program that looks up routes. up1 is for the other program.
    for name in ["up0", "up1"] {
        ip(&format!("link add {name} type veth peer name {name}p"));
        ip(&format!("link set {name} up"));
        ip(&format!("link set {name}p up"));
    }
    ip("addr add 10.255.0.10/24 dev up0");
    ip("addr add fd00:ff::10/64 dev up0 nodad");
    for router in ["10.255.0.1", "fd00:ff::1"] {
        ip(&format!("neigh add {router} lladdr 02:00:00:00:0b:02 dev up0 nud permanent"));
        ip(&format!("route add default via {router}"));
    }
    println!(
        "ns per packet with {PAYLOAD} bytes of data, median of {} calls, beside {OTHER_FLOWS} other flows;",
        PACKETS / REPEAT
    );
    println!("next hop by the routing table, and answered to the sender; the two take turns");
    for statistics in [true, false] {
        println!("{:<32}{:>14}{:>10}{:>8}", statistics_are(statistics), "routing table", "sender", "ratio");
        let table = load(NextHop::RoutingTable, "up0", statistics)?;
        let sender = load(NextHop::AnswerSender, "up1", statistics)?;
        measure_families(&[&table, &sender])?;
    }
    Ok(())
}

const fn statistics_are(on: bool) -> &'static str {
    if on { "statistics on" } else { "statistics off" }
}

fn load(next_hop: NextHop, interface: &str, statistics: bool) -> Result<XdpProgram, OffloadError> {
    let config = Config {
        // When attached, the program is called through the kernel's dispatcher, as in operation.
        interfaces: vec![interface.to_owned()],
        mode: AttachMode::Generic,
        next_hop,
        statistics,
        ..Config::default()
    };
    let mut offload = XdpProgram::load(&config)?;
    offload.attach(&config)?;
    for number in 0..OTHER_FLOWS {
        offload.install(&other_flow(number)).unwrap();
    }
    Ok(offload)
}

fn measure_families(offloads: &[&XdpProgram; 2]) -> Result<(), OffloadError> {
    let families =
        [("v4 - v4", true, true), ("v6 - v6", false, false), ("v4 - v6", true, false), ("v6 - v4", false, true)];
    let mut alone = [f64::NAN; 2];
    for (name, inside_v4, outside_v4) in families {
        let cycle = [Step { v4: inside_v4, channel: true }, Step { v4: outside_v4, channel: false }];
        let both = measure(offloads, &cycle, 0)?;
        print(name, both);
        if inside_v4 == outside_v4 {
            // ChannelData in ChannelData can go up repeatedly. The time down is the difference to a whole cycle.
            let up = measure(offloads, &cycle[..1], REPEAT)?;
            print(&format!("{name}, up"), up);
            print(&format!("{name}, down"), [0, 1].map(|at| 2.0 * both[at] - up[at]));
        }
        if inside_v4 && outside_v4 {
            alone = both;
        }
    }
    measure_indications(offloads)?;
    let many: Vec<Step> = (0..ACTIVE_FLOWS).map(|number| Step { v4: true, channel: number % 2 == 0 }).collect();
    // One program after the other: each would evict the other's flows from the processor's caches.
    let many_of = |offload| Ok(measure(&[offload], &many, 0)?[0]);
    let all = [many_of(offloads[0])?, many_of(offloads[1])?];
    print(&format!("v4 - v4, {ACTIVE_FLOWS} active flows"), all);
    println!("  {:<30}{:13.2}x{:9.2}x", "against one flow", all[0] / alone[0], all[1] / alone[1]);
    let mut frame = packet(&many, 0, 0).build();
    frame[12] = 0x88;
    print("a frame that is not IP", calls(offloads, &[frame], PACKETS / 10, 10)?);
    Ok(())
}

fn print(name: &str, [table, sender]: [f64; 2]) {
    println!("  {name:<30}{table:14.1}{sender:10.1}{:7.2}x", table / sender);
}

/// One flow of a chain, by what arrives at it.
#[derive(Clone, Copy)]
struct Step {
    v4: bool,
    channel: bool,
}

/// Installs a circular chain of flows, runs packets through it, and removes it.
fn measure<const N: usize>(offloads: &[&XdpProgram; N], chain: &[Step], nested: u32) -> Result<[f64; N], OffloadError> {
    let flows: Vec<Flow> = (0..chain.len()).map(|at| flow(chain, at, nested > 0)).collect();
    for (offload, flow) in pairs(offloads, &flows) {
        offload.install(flow).unwrap();
    }
    let starts = (0..chain.len()).step_by(REPEAT as usize);
    let frames: Vec<_> = starts.map(|at| packet(chain, at, nested).build()).collect();
    let result = calls(offloads, &frames, REPEAT, PACKETS / REPEAT);
    for (offload, flow) in pairs(offloads, &flows) {
        offload.remove(&flow.key()).unwrap();
    }
    result
}

fn pairs<'a>(offloads: &'a [&XdpProgram], flows: &'a [Flow]) -> impl Iterator<Item = (&'a XdpProgram, &'a Flow)> {
    offloads.iter().flat_map(|offload| flows.iter().map(|flow| (*offload, flow)))
}

/// The median time per packet of this many calls to each program, starting with each frame in turn. The median ignores calls that
/// were interrupted.
fn calls<const N: usize>(
    offloads: &[&XdpProgram; N],
    frames: &[Vec<u8>],
    repeat: u32,
    calls: u32,
) -> Result<[f64; N], OffloadError> {
    let mut times = [const { Vec::new() }; N];
    for frame in frames.iter().cycle().take(calls as usize) {
        for (offload, times) in offloads.iter().zip(&mut times) {
            times.extend(forwarded_in(offload, frame, repeat)?);
        }
    }
    Ok(times.map(|times| {
        assert!(times.len() * 100 > calls as usize * 99, "{} of {calls} calls were as they should be", times.len());
        median(times)
    }))
}

/// The time per packet of one call. `None` unless all packets were forwarded or, for a frame that is not IP, none.
fn forwarded_in(offload: &XdpProgram, frame: &[u8], repeat: u32) -> Result<Option<f64>, OffloadError> {
    let run = offload.run(frame, repeat)?;
    let is_ip = frame[12..14] == [0x08, 0x00] || frame[12..14] == [0x86, 0xdd];
    let is_forwarded = run.action == XDP_TX || run.action == XDP_REDIRECT;
    // One packet in 65,536 seems to have a partial checksum, and transaction IDs differ in each run. The kernel rounds down
    // to whole nanoseconds.
    Ok((is_ip == is_forwarded).then_some(run.per_packet.as_secs_f64() * 1e9 + 0.5))
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

fn remote(chain: &[Step], at: usize) -> SocketAddr {
    let at = at % chain.len();
    let number = u32::try_from(at).unwrap();
    let ip: IpAddr = if chain[at].v4 {
        Ipv4Addr::from(0x0a00_0000 + number).into()
    } else {
        Ipv6Addr::from(0x2001_0db8_u128 << 96 | u128::from(number)).into()
    };
    SocketAddr::new(ip, 40_000)
}

fn local(chain: &[Step], at: usize) -> SocketAddr {
    let step = chain[at % chain.len()];
    let ip = if step.v4 { "10.255.1.9".parse().unwrap() } else { "2001:db8:ffff::9".parse().unwrap() };
    SocketAddr::new(ip, if step.channel { LISTEN_PORT } else { 50_000 })
}

fn encapsulation(chain: &[Step], at: usize) -> Encapsulation {
    if chain[at % chain.len()].channel { Encapsulation::Channel(CHANNEL) } else { Encapsulation::Bare }
}

fn flow(chain: &[Step], at: usize, nested: bool) -> Flow {
    Flow {
        remote: remote(chain, at),
        local: local(chain, at),
        arrives_in: encapsulation(chain, at),
        source: remote(chain, at + 1),
        destination: local(chain, at + 1),
        leaves_in: if nested { Encapsulation::Bare } else { encapsulation(chain, at + 1) },
    }
}

fn packet(chain: &[Step], at: usize, nested: u32) -> Packet {
    let mut data = vec![0x5a; PAYLOAD];
    for _ in 0..nested.max(u32::from(chain[at].channel)) {
        data = channel_data(CHANNEL, &data);
    }
    let mut packet = Packet::new(remote(chain, at), local(chain, at), data);
    packet.hops = 255;
    packet
}

fn other_flow(number: u32) -> Flow {
    Flow {
        remote: SocketAddr::new(Ipv4Addr::from(0x0b00_0000 + number).into(), 4001),
        local: "10.255.1.9:3478".parse().unwrap(),
        arrives_in: Encapsulation::Channel(CHANNEL),
        source: "10.255.1.9:50001".parse().unwrap(),
        destination: "192.0.2.2:5555".parse().unwrap(),
        leaves_in: Encapsulation::Bare,
    }
}
