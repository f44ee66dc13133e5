//! Measures how many bytes the relay sends for a stranger's datagram, whose source address may be forged.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket},
    time::Duration,
};

use anyhow::{Context as _, Result};
use turn_client::{Allocate, Credentials, Request, TurnClient, encode_channel_data, encode_send_indication};

use super::{people::socket_at, relay::Relay};
use crate::clock;

/// How many bytes and packets each kind of datagram from a source without credentials is answered with. Each comes from an address of its
/// own, so that the reply limit is not what is measured.
#[derive(clap::Args)]
pub(super) struct Args {
    /// How long to wait for answers to each, in seconds.
    #[arg(long, default_value_t = 0.2)]
    seconds: f64,
    /// Fail if any answer has more than this many times the bytes of what it answers, headers of IP and UDP not counted. The default is what
    /// the challenge that RFC 8489, section 9.2.4, demands comes to for a request of 20 bytes.
    #[arg(long, default_value_t = 2.8)]
    at_most: f64,
}

/// How often to request a challenge, a second apart.
const TRIES: u32 = 20;

/// The first source address. Each source has its own prefix.
const FIRST_HOST: [u8; 4] = [127, 40, 0, 1];

pub(super) fn main(args: &Args, relay: &Relay) -> Result<()> {
    let wait = Duration::from_secs_f64(args.seconds);
    println!("{:<66}{:>8}{:>9}{:>8}{:>8}", "datagram", "bytes", "packets", "bytes", "ratio");
    println!("{:<66}{:>8}{:>9}{:>8}{:>8}", "", "sent", "back", "back", "");
    let mut worst = (0.0, String::new());
    for (number, (name, datagram)) in datagrams(relay)?.into_iter().enumerate() {
        let (packets, bytes) = answers(relay.address, host(number)?, &datagram, wait)?;
        let ratio = bytes as f64 / datagram.len() as f64;
        println!("{name:<66}{:>8}{packets:>9}{bytes:>8}{ratio:>8.2}", datagram.len());
        anyhow::ensure!(packets <= 1, "{name}: {packets} packets for one");
        if ratio > worst.0 {
            worst = (ratio, name);
        }
    }
    let (ratio, name) = worst;
    println!("worst: {name}, x{ratio:.2}");
    anyhow::ensure!(ratio <= args.at_most, "{name}: x{ratio:.2} is more than x{}", args.at_most);
    Ok(())
}

fn host(number: usize) -> Result<IpAddr> {
    let [a, b, _, d] = FIRST_HOST;
    let prefix = u8::try_from(number).context("too many kinds of datagrams")?;
    Ok(IpAddr::V4(Ipv4Addr::new(a, b, prefix, d)))
}

fn answers(server: SocketAddr, from: IpAddr, datagram: &[u8], wait: Duration) -> Result<(usize, usize)> {
    let socket = socket_at(from)?;
    socket.send_to(datagram, server)?;
    received(&socket, wait)
}

/// Receives packets until the time-out. Returns the number of packets and of their bytes.
fn received(socket: &UdpSocket, wait: Duration) -> Result<(usize, usize)> {
    socket.set_read_timeout(Some(wait))?;
    let (mut packets, mut bytes, mut buffer) = (0, 0, [0; 2048]);
    while let Ok(length) = socket.recv(&mut buffer) {
        packets += 1;
        bytes += length;
    }
    Ok((packets, bytes))
}

/// One datagram of each kind that the relay answers, or might answer.
pub(super) fn datagrams(relay: &Relay) -> Result<Vec<(String, Vec<u8>)>> {
    const COOKIE: [u8; 4] = [0x21, 0x12, 0xA4, 0x42];
    const REQUESTED_TRANSPORT: &[u8] = &[0x00, 0x19, 0, 4, 17, 0, 0, 0];
    const LIFETIME: &[u8] = &[0x00, 0x0D, 0, 4, 0, 0, 2, 0x58];
    const UNKNOWN: &[u8] = &[0x00, 0x7E, 0, 0];
    const SOFTWARE: &[u8] = b"\x80\x22\x00\x0Cany software";
    let stun = |message_type: u16, cookie: [u8; 4], attributes: &[u8]| {
        let length = u16::try_from(attributes.len()).unwrap_or(u16::MAX);
        [&message_type.to_be_bytes()[..], &length.to_be_bytes(), &cookie, b"amplifier---", attributes].concat()
    };
    let peer = SocketAddr::from(([192, 0, 2, 9], 9));
    let requests = [
        ("Allocate, as clients send it first", Request::Allocate(Allocate::default())),
        ("Refresh", Request::Refresh { lifetime: Some(Duration::from_secs(600)) }),
        ("CreatePermission", Request::CreatePermission { peers: vec![peer] }),
        ("ChannelBind", Request::ChannelBind { channel: 0x4000, peer }),
    ];
    let mut all: Vec<(String, Vec<u8>)> = vec![
        ("Binding request".into(), stun(0x0001, COOKIE, &[])),
        ("Binding request of RFC 3489".into(), stun(0x0001, *b"3489", &[])),
        ("Binding request, 1 unknown attribute".into(), stun(0x0001, COOKIE, UNKNOWN)),
        ("Binding request, 20 unknown attributes".into(), stun(0x0001, COOKIE, &unknown_attributes(20))),
        ("Allocate, no attribute at all".into(), stun(0x0003, COOKIE, &[])),
        ("Allocate, REQUESTED-TRANSPORT alone".into(), stun(0x0003, COOKIE, REQUESTED_TRANSPORT)),
        (
            "Allocate, large enough to be offered SHA-256".into(),
            stun(0x0003, COOKIE, &[REQUESTED_TRANSPORT, SOFTWARE].concat()),
        ),
        ("Allocate, 20 unknown attributes".into(), stun(0x0003, COOKIE, &unknown_attributes(20))),
        ("Refresh, no attribute at all".into(), stun(0x0004, COOKIE, &[])),
        ("Refresh, LIFETIME alone".into(), stun(0x0004, COOKIE, LIFETIME)),
        ("CreatePermission, no attribute at all".into(), stun(0x0008, COOKIE, &[])),
        ("ChannelBind, no attribute at all".into(), stun(0x0009, COOKIE, &[])),
        ("request of an unknown method".into(), stun(0x000A, COOKIE, &[])),
        ("Binding success".into(), stun(0x0101, COOKIE, &[])),
        ("Send indication of no allocation".into(), encode_send_indication(peer, b"data", 7, true)),
    ];
    let mut data = Vec::new();
    encode_channel_data(0x4000, b"data", &mut data);
    all.push(("ChannelData of no allocation".into(), data));
    for (index, (name, request)) in requests.into_iter().enumerate() {
        let (first, signed) = first_and_signed(relay, index, request)?;
        all.push((name.into(), first));
        all.push((format!("{name}, signed with a wrong password"), signed));
    }
    Ok(all)
}

fn unknown_attributes(count: u8) -> Vec<u8> {
    (0..count).flat_map(|number| [0x00, 0x40 + number, 0, 0]).collect()
}

/// A client's first request, and its answer to the challenge, signed with a wrong password and the client's own nonce.
fn first_and_signed(relay: &Relay, number: usize, request: Request) -> Result<(Vec<u8>, Vec<u8>)> {
    let username = format!("4000000000:amplifier{number}");
    let mut client = TurnClient::new(Credentials::new(username, "wrong"), 1);
    client.request(clock::instant(), request);
    let first = client.poll_transmit().context("no request")?;
    let socket = socket_at(IpAddr::V4(Ipv4Addr::new(127, 41, u8::try_from(number)?, 1)))?;
    socket.connect(relay.address)?;
    socket.set_read_timeout(Some(Duration::from_secs(1)))?;
    let mut buffer = [0; 2048];
    let mut ask = || socket.send(&first).and_then(|_| socket.recv(&mut buffer)).ok();
    let length = (0..TRIES).find_map(|_| ask()).context("the relay does not answer a request")?;
    client.handle_datagram(clock::instant(), &buffer[..length]);
    let signed = client.poll_transmit().context("no answer to the challenge")?;
    Ok((first, signed))
}
