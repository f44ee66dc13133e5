use std::{
    net::{Ipv4Addr, SocketAddr},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use relay_server::AllocationPort;
use turn_client::{Allocate, Credentials, Request, Success, TurnClient, encode_channel_data, encode_send_indication};

use super::{PEER, PEER_PORT, Relay};

const CHANNEL: u16 = 0x4000;
const PAYLOAD: [u8; 200] = [7; 200];

/// The ChannelData message that each client sends.
pub(crate) fn channel_data() -> Vec<u8> {
    let mut data = Vec::new();
    encode_channel_data(CHANNEL, &PAYLOAD, &mut data);
    data
}

/// The Send indication that each client sends, with the same payload.
pub(crate) fn send_indication(with_fingerprint: bool) -> Vec<u8> {
    encode_send_indication(SocketAddr::from((PEER, PEER_PORT)), &PAYLOAD, 7, with_fingerprint)
}

/// The address of client number `index`.
pub(crate) fn address(index: usize) -> SocketAddr {
    #[expect(clippy::cast_possible_truncation, reason = "there are fewer clients")]
    let number = index as u32;
    SocketAddr::from((Ipv4Addr::from_bits(0x0A00_0000 + number / 4), 40_000 + (number % 4) as u16))
}

/// A client with an allocation and a channel, and the requests that it sends.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) port: AllocationPort,
    refresh: Vec<u8>,
    bind: Vec<u8>,
}

impl Client {
    /// Client number `index`, set up.
    pub(crate) fn open(
        relay: &mut Relay,
        index: usize,
        minted: &turn_auth::Credentials,
        lifetime: Option<Duration>,
    ) -> Result<Self> {
        let machine = relay.machine_of(index);
        let number = u32::try_from(index).context("too many clients")?;
        let address = address(index);
        let credentials = Credentials::new(minted.username.as_str(), minted.password.as_str());
        let mut turn = TurnClient::new(credentials, u64::from(number) << 20);
        let allocate = Request::Allocate(Allocate { lifetime, ..Allocate::default() });
        let Success::Allocated(allocated) = exchange(relay, machine, address, &mut turn, allocate)? else {
            bail!("no allocation");
        };
        let port = allocated.relayed.first().context("no relayed address")?.port();
        let peer = SocketAddr::from((PEER, PEER_PORT));
        exchange(relay, machine, address, &mut turn, Request::ChannelBind { channel: CHANNEL, peer })?;
        let refresh = signed(&mut turn, Request::Refresh { lifetime: Some(Duration::from_secs(600)) })?;
        let bind = signed(&mut turn, Request::ChannelBind { channel: CHANNEL, peer })?;
        Ok(Self { port: AllocationPort::new(port), refresh, bind })
    }

    /// A signed Refresh request.
    pub(crate) fn refresh(&self) -> &[u8] {
        &self.refresh
    }

    /// A signed ChannelBind request, for the channel that it has.
    pub(crate) fn bind(&self) -> &[u8] {
        &self.bind
    }
}

/// What `turn`, which knows the challenge, sends to ask for something.
fn signed(turn: &mut TurnClient, request: Request) -> Result<Vec<u8>> {
    turn.request(now(), request);
    turn.poll_transmit().context("no request")
}

/// A client whose allocation comes and goes.
#[derive(Debug)]
pub(crate) struct Newcomer {
    pub(crate) address: SocketAddr,
    /// A signed Allocate request.
    pub(crate) allocate: Vec<u8>,
    /// A signed Refresh request with a lifetime of zero.
    pub(crate) delete: Vec<u8>,
}

impl Newcomer {
    /// One that has been challenged, and has no allocation.
    pub(crate) fn arrive(relay: &mut Relay, minted: &turn_auth::Credentials) -> Result<Self> {
        // None of the other clients' addresses.
        let address = SocketAddr::from((Ipv4Addr::new(10, 255, 0, 1), 40_000));
        let mut turn = TurnClient::new(Credentials::new(minted.username.as_str(), minted.password.as_str()), u64::MAX);
        exchange(relay, 0, address, &mut turn, Request::Allocate(Allocate::default()))?;
        exchange(relay, 0, address, &mut turn, Request::Refresh { lifetime: Some(Duration::ZERO) })?;
        let allocate = signed(&mut turn, Request::Allocate(Allocate::default()))?;
        let delete = signed(&mut turn, Request::Refresh { lifetime: Some(Duration::ZERO) })?;
        Ok(Self { address, allocate, delete })
    }
}

/// Lets `turn`, at `address`, ask for something, and waits for the answer.
pub(crate) fn exchange(
    relay: &mut Relay,
    machine: usize,
    address: SocketAddr,
    turn: &mut TurnClient,
    request: Request,
) -> Result<Success> {
    let id = turn.request(now(), request);
    while let Some(datagram) = turn.poll_transmit() {
        relay.receive_from_client(machine, address, &datagram);
        relay.answer(|response| {
            turn.handle_datagram(now(), response);
        });
    }
    match turn.poll_answer() {
        Some((answered, answer)) if answered == id => Ok(answer?),
        _ => bail!("no answer"),
    }
}

#[expect(clippy::disallowed_methods, reason = "the client wants some time; nothing depends on which")]
fn now() -> Instant {
    Instant::now()
}
