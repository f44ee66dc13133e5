//! Sends mutated messages from clients, strangers and peers.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket},
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use turn_client::{Allocate, Credentials, Request, TurnClient, encode_channel_data, encode_send_indication};

use super::{
    figures::{Figures, kib_more, mib},
    good_client::{self, GoodClient},
    mutate::Mutator,
    original::Original,
    people::socket_at,
    relay::Relay,
};
use crate::{
    client::{CHANNEL, Client},
    clock, process,
};

/// Mutated messages of living clients (bits flipped, cut, lengths that lie, attributes repeated, and so on), from those clients' own
/// sockets, from strangers and from peers, to the listening port and to allocations. The relay must go on, clients must keep what they have.
#[derive(clap::Args)]
pub(super) struct Args {
    /// How many packets.
    #[arg(long, default_value_t = 1_000_000)]
    packets: u64,
    /// How many packets are sent in a second, at most.
    #[arg(long, default_value_t = 100_000)]
    rate: u64,
    /// How many clients send them from their own sockets.
    #[arg(long, default_value_t = 8)]
    clients: usize,
    /// How many datagrams a good client and its peer send in a second meanwhile, together.
    #[arg(long, default_value_t = 1_000)]
    good_rate: u64,
    /// How much the relay's memory may grow, in MiB.
    #[arg(long, default_value_t = 16)]
    growth: u64,
    /// What they are drawn from.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// The addresses of the attacking clients, their peer, and strangers.
const CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 5, 1));
const PEER: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 6, 1));
const STRANGER: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 7, 1));

/// The user of the attacking clients.
const USER: usize = 2_000_000;

/// The number of strangers' sockets.
const STRANGERS: usize = 16;

/// How many packets to send in a row.
const BURST: u64 = 64;

pub(super) fn main(args: &Args, relay: &mut Relay) -> Result<()> {
    ensure!(args.rate > 0 && args.clients > 0, "--rate and --clients must be above zero");
    let mut good = GoodClient::open(relay, 1, args.good_rate)?;
    let mut senders = GoodClient::open_at(relay, (CLIENT, PEER), USER, args.clients, args.good_rate)?;
    let attackers = attackers(args, relay, senders.clients_mut())?;
    let messages: usize = attackers.iter().map(|sender| sender.mutator.messages()).sum();
    println!(
        "seed {}: {} packets from {} sockets, made of {} messages each on average",
        args.seed,
        args.packets,
        attackers.len(),
        messages / attackers.len().max(1)
    );
    let before = relay.resident()?;
    let (sent, mut most) = (AtomicU64::new(0), before);
    let (elapsed, report) = good.run_beside(
        || attack(args, attackers, &sent, &AtomicBool::new(false)),
        |report| {
            relay.ensure_running()?;
            let resident = relay.resident()?;
            most = most.max(resident);
            let (sent, lost) = (sent.load(Ordering::Relaxed), report.lost());
            println!("  {sent} sent; the good client has lost {lost} of {}; memory {}", report.sent, mib(resident));
            Ok(())
        },
    )?;
    relay.ensure_running()?;
    most = most.max(relay.resident()?);

    // Mutated packets may have caused responses and data, which are still queued.
    senders.discard_arrived()?;
    senders.refresh().context("a client that has sent mutated packets does not have its allocation any more")?;
    senders.discard_arrived()?;
    let afterwards = senders.run(Duration::from_secs(1))?;

    let mut figures = Figures::default();
    let sent = sent.into_inner();
    figures.tell("packets", sent);
    figures.tell("packets per second", format!("{:.0}", sent as f64 / elapsed.as_secs_f64()));
    figures.tell("not read by the relay in time", process::udp_drops(&[relay.address])?);
    figures.tell("dropped by the relay", relay.metric("dropped_datagrams_total", "")?);
    figures.tell("error responses", relay.metric("responses_total", "class=\"error\"")?);
    figures.tell("resident memory before", mib(before));
    let (grown, goal) = (most.saturating_sub(before), format!("below {} MiB", args.growth));
    figures.expect("growth of resident memory, at its most", kib_more(before, most), &goal, grown < args.growth << 20);
    good_client::expect_all(&mut figures, "the good client", &report);
    good_client::expect_all(&mut figures, "the senders, afterwards", &afterwards);
    let expected = args.clients as u64 + 1;
    let allocations = relay.wait_for_metric("active_allocations", expected)?;
    figures.expect("allocations", allocations, &expected.to_string(), allocations == expected);
    good.close();
    senders.close();
    figures.finish()
}

/// A sender of mutated packets.
struct Sender {
    socket: UdpSocket,
    /// Its destinations.
    to: Vec<SocketAddr>,
    mutator: Mutator,
}

/// All senders: `clients` with their own sockets, strangers, and a peer.
fn attackers(args: &Args, relay: &Relay, clients: &mut [Client]) -> Result<Vec<Sender>> {
    let allocations: Vec<_> = clients.iter().map(|client| client.relayed).collect();
    let own = relay.minted(USER);
    let mut data = Vec::new();
    encode_channel_data(CHANNEL, &[7; 100], &mut data);
    let peer = SocketAddr::new(PEER, 9);
    let send = |fingerprint| encode_send_indication(peer, &[7; 100], 7, fingerprint);
    let mut all = vec![Original::plain(data), Original::plain(send(true)), Original::plain(send(false))];
    let mut senders = Vec::new();
    let mut seeds = args.seed..;
    let mut add = |socket, to, messages| {
        let mutator = Mutator::new(seeds.next().unwrap_or_default(), messages);
        senders.push(Sender { socket, to, mutator });
    };
    for client in clients {
        let mut requests = requests(&mut client.turn, client.relayed, &own);
        requests.extend(with_sha256(&client.socket, &requests, &own)?);
        let messages = [requests.as_slice(), &all[..3]].concat();
        add(client.socket.try_clone()?, vec![relay.address], messages);
        all.extend(requests);
    }
    let other = relay.minted(USER + 1);
    let unknown = Credentials::new(&other.username, &other.password);
    all.extend(requests(&mut TurnClient::new(unknown, args.seed), relay.address, &other));
    for _ in 0..STRANGERS {
        let to = std::iter::once(relay.address).chain(allocations.iter().copied()).collect();
        add(socket_at(STRANGER)?, to, all.clone());
    }
    if !allocations.is_empty() {
        // A peer whose address has a permission.
        add(socket_at(PEER)?, allocations, all);
    }
    Ok(senders)
}

/// Sends `rate` mutated packets per second from strangers and a peer until `is_over`. Returns how many.
///
/// # Errors
///
/// When a socket fails.
pub(super) fn disturb(relay: &Relay, rate: u64, seed: u64, is_over: &AtomicBool) -> Result<u64> {
    let args = Args { packets: u64::MAX, rate, clients: 0, good_rate: 0, growth: 0, seed };
    let sent = AtomicU64::new(0);
    attack(&args, attackers(&args, relay, &mut [])?, &sent, is_over)?;
    Ok(sent.into_inner())
}

fn attack(args: &Args, mut senders: Vec<Sender>, told: &AtomicU64, is_over: &AtomicBool) -> Result<Duration> {
    let start = clock::now();
    let count = senders.len();
    let mut sent = 0;
    while sent < args.packets && !is_over.load(Ordering::Relaxed) {
        let due = u128::from(args.rate) * (clock::now() - start).as_micros() / 1_000_000;
        let due = u64::try_from(due).unwrap_or(u64::MAX).min(args.packets);
        for _ in 0..due.saturating_sub(sent).min(BURST) {
            let turn = usize::try_from(sent)?;
            let Sender { socket, to, mutator } = &mut senders[turn % count];
            let datagram = mutator.next();
            // A client's socket is connected. A full queue loses datagrams, as any network may.
            let _ = match socket.peer_addr() {
                Ok(_) => socket.send(&datagram),
                Err(_) => socket.send_to(&datagram, to[turn / count % to.len()]),
            };
            sent += 1;
        }
        told.store(sent, Ordering::Relaxed);
        if due <= sent {
            thread::sleep(Duration::from_micros(200));
        }
    }
    Ok(clock::now() - start)
}

/// Requests of `turn` that are harmless if unchanged. They are signed if it has had a challenge.
fn requests(turn: &mut TurnClient, peer: SocketAddr, credentials: &turn_auth::Credentials) -> Vec<Original> {
    let requests = [
        Request::Binding,
        Request::Allocate(Allocate { lifetime: Some(Duration::from_secs(600)), ..Allocate::default() }),
        Request::Refresh { lifetime: Some(Duration::from_secs(600)) },
        Request::CreatePermission { peers: vec![SocketAddr::new(PEER, 9), peer] },
        Request::ChannelBind { channel: CHANNEL + 1, peer: SocketAddr::new(PEER, 9) },
    ];
    for request in requests {
        turn.request(clock::instant(), request);
    }
    let turn_auth::Credentials { username, password } = credentials;
    std::iter::from_fn(|| turn.poll_transmit()).map(|bytes| Original::request(bytes, username, password)).collect()
}

/// The signed ones of `requests`, signed with SHA-256. None if the server does not offer SHA-256 for long requests.
fn with_sha256(
    socket: &UdpSocket,
    requests: &[Original],
    credentials: &turn_auth::Credentials,
) -> Result<Vec<Original>> {
    let turn_auth::Credentials { username, password } = credentials;
    // A Refresh with a long SOFTWARE attribute.
    let long = [b"\x00\x04\x00\x68\x21\x12\xA4\x42a-challenge-\x80\x22\x00\x64", &[b'x'; 100][..]].concat();
    let challenge = answer(socket, &long)?;
    let signed: Vec<_> =
        requests.iter().filter_map(|request| request.with_sha256(&challenge, username, password)).collect();
    for request in &signed {
        let answer = answer(socket, &request.signed)?;
        // A client that has an allocation gets no second one.
        let is_known = matches!(answer.get(..2), Some([0x01, 0x04 | 0x08 | 0x09] | [0x01, 0x13]));
        ensure!(is_known, "a request that is signed with SHA-256 is answered {:x?}", answer.get(..2));
    }
    Ok(signed)
}

/// Sends `request` by a connected non-blocking socket and returns the response.
fn answer(socket: &UdpSocket, request: &[u8]) -> Result<Vec<u8>> {
    let mut buffer = [0; 2048];
    for wait in 0..5_000 {
        if wait % 500 == 0 {
            socket.send(request)?;
        }
        match socket.recv(&mut buffer) {
            Ok(length) if buffer[8..20] == request[8..20] => return Ok(buffer[..length].to_vec()),
            _ => thread::sleep(Duration::from_millis(1)),
        }
    }
    anyhow::bail!("the relay does not answer")
}
