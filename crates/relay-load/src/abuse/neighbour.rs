//! Honest clients in a prefix with noisy neighbours.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket},
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result};
use turn_client::{Allocate, BlockingClient, Credentials, Request, TurnClient};

use super::{
    people::{self, BINDING, STANDARD, socket_at},
    relay::Relay,
};
use crate::clock;

/// A prefix in which one address, or each, is noisy, and honest clients beside it.
#[derive(clap::Args)]
pub(super) struct Args {
    /// What the noise is.
    #[arg(long, value_enum, default_value = "binding")]
    noise: Noise,
    /// In whose name it is sent.
    #[arg(long, value_enum, default_value = "address")]
    from: From,
    /// How many requests of it come in a second.
    #[arg(long, default_value_t = 500)]
    rate: u64,
    /// How many honest clients want an allocation, of the same prefix.
    #[arg(long, default_value_t = 10)]
    clients: usize,
    /// How many clients have an allocation already; each asks for the noise's whole time whether it still has it.
    #[arg(long, default_value_t = 20)]
    established: usize,
    /// How long the noise lasts after the honest clients were served or gave up, in seconds.
    #[arg(long, default_value_t = 2.0)]
    seconds: f64,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Noise {
    /// Binding requests, 20 bytes each.
    Binding,
    /// Allocate requests without credentials.
    Allocate,
    /// Allocate requests with a wrong password and a nonce that is not the sender's.
    WrongPassword,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum From {
    /// One address of the clients' prefix.
    Address,
    /// All addresses of the clients' prefix.
    Prefix,
    /// Addresses of many prefixes.
    World,
}

impl From {
    fn host(self, number: u64) -> IpAddr {
        let [.., b, c, d] = number.to_be_bytes();
        let host = match self {
            Self::Address => [127, 0, 9, 200],
            Self::Prefix => [127, 0, 9, d],
            // Avoids the prefixes of the server and the clients.
            Self::World => [127, 16 | (b & 0x0F), c, d],
        };
        IpAddr::V4(Ipv4Addr::from(host))
    }

    const fn sockets(self) -> u64 {
        match self {
            Self::Address => 1,
            Self::Prefix => 256,
            Self::World => 4_096,
        }
    }
}

const fn client_host(index: u8) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(127, 0, 9, 1 + index % 100))
}

pub(super) fn main(args: &Args, relay: &Relay) -> Result<()> {
    let seconds = Duration::try_from_secs_f64(args.seconds).context("--seconds")?;
    let hosts = |count: usize| (0..=99).cycle().map(client_host).take(count).enumerate();
    let mut established = Vec::new();
    for (user, host) in hosts(args.established) {
        let mut client = relay.client(host, 1_000_000 + user, STANDARD)?;
        client.allocate(Allocate::default()).with_context(|| format!("established client {user} got no allocation"))?;
        established.push(client);
    }
    let clients =
        hosts(args.clients).map(|(user, host)| relay.client(host, user, STANDARD)).collect::<Result<Vec<_>>>()?;
    let (ended, sent) = (AtomicBool::new(false), AtomicU64::new(0));
    let request = request(args.noise, relay)?;
    // One socket for each address. The factor 37 keeps consecutive addresses apart.
    let sockets = (0..args.from.sockets()).map(|number| socket_at(args.from.host(number * 37)));
    let sockets = sockets.collect::<Result<Vec<_>>>()?;
    println!("{:?} noise of {} per second from {} addresses", args.noise, args.rate, sockets.len());
    let (waits, kept) = thread::scope(|scope| {
        let noise = scope.spawn(|| make_noise(&sockets, relay.address, &request, args.rate, &ended, &sent));
        // By now the noise has used up all limits.
        thread::sleep(Duration::from_secs(2));
        let waits = people::allocate_all(clients, Duration::ZERO, 0);
        let kept = established.iter_mut().filter_map(|client| refreshes(client).then_some(())).count();
        thread::sleep(seconds);
        ended.store(true, Ordering::Relaxed);
        noise.join().map_err(|_| anyhow::anyhow!("the noise ended by itself"))?;
        anyhow::Ok((waits?, kept))
    })?;
    println!("noise sent: {} requests", sent.load(Ordering::Relaxed));
    people::print_waits("new clients", &waits);
    println!("established clients that could refresh: {kept} of {}", established.len());
    established.iter_mut().for_each(|client| _ = client.refresh(Duration::ZERO));
    Ok(())
}

fn refreshes(client: &mut BlockingClient) -> bool {
    client.request(Request::Refresh { lifetime: None }).is_ok()
}

fn make_noise(sockets: &[UdpSocket], to: SocketAddr, request: &[u8], rate: u64, ended: &AtomicBool, sent: &AtomicU64) {
    let start = clock::instant();
    let mut sockets = sockets.iter().cycle();
    while !ended.load(Ordering::Relaxed) {
        let due = u64::try_from(start.elapsed().as_micros()).unwrap_or(u64::MAX).saturating_mul(rate) / 1_000_000;
        while sent.load(Ordering::Relaxed) < due {
            if let Some(socket) = sockets.next() {
                // A full queue loses datagrams, as any network may.
                let _ = socket.send_to(request, to);
            }
            sent.fetch_add(1, Ordering::Relaxed);
        }
        thread::sleep(Duration::from_millis(1));
    }
}

/// The request that is sent as noise.
fn request(noise: Noise, relay: &Relay) -> Result<Vec<u8>> {
    let mut client = TurnClient::new(Credentials::new("4000000000:noise", "wrong"), 1);
    client.request(clock::instant(), Request::Allocate(Allocate::default()));
    let unsigned = client.poll_transmit().context("no Allocate request")?;
    match noise {
        Noise::Binding => Ok(BINDING.to_vec()),
        Noise::Allocate => Ok(unsigned),
        Noise::WrongPassword => {
            // A nonce for another address than those of the noise.
            let socket = socket_at(IpAddr::V4(Ipv4Addr::new(127, 0, 8, 1)))?;
            socket.connect(relay.address)?;
            socket.set_read_timeout(Some(Duration::from_secs(5)))?;
            socket.send(&unsigned)?;
            let mut buffer = [0; 2048];
            let length = socket.recv(&mut buffer).context("the relay does not answer")?;
            client.handle_datagram(clock::instant(), &buffer[..length]);
            client.poll_transmit().context("no answer to the challenge")
        }
    }
}
