//! One allocate, bind and echo through a relay.

use std::{
    net::{SocketAddr, UdpSocket},
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use turn_client::{Allocate, BlockingClient, Credentials, Family};

use super::ice::IceServer;

const PATIENCE: Duration = Duration::from_secs(3);
const CHANNEL: u16 = 0x4000;

/// Proves every address of `server`, and prints what happens.
///
/// # Errors
///
/// Says which step did not work, and at which address.
pub(crate) fn prove(server: &IceServer) -> Result<()> {
    for address in &server.addresses {
        prove_address(*address, server).with_context(|| format!("through {address}"))?;
    }
    Ok(())
}

fn prove_address(relay: SocketAddr, server: &IceServer) -> Result<()> {
    let credentials = Credentials::new(server.username.as_str(), server.credential.as_str());
    let mut client = BlockingClient::connect(relay, credentials).context("reaching the relay")?;
    let allocate = Allocate { family: Some(Family::of(relay)), ..Allocate::default() };
    let allocated = client.allocate(allocate).context("allocating")?;
    let relayed = *allocated.relayed.first().context("the relay granted no address")?;
    eprintln!("  allocated {relayed} at {relay} for {} s", allocated.lifetime.as_secs());

    // The peer is on this machine: at the relay's own address, or on loopback where the relay is known by one of a NAT.
    let peer = UdpSocket::bind((relay.ip(), 0)).or_else(|_| match relay {
        SocketAddr::V4(_) => UdpSocket::bind("127.0.0.1:0"),
        SocketAddr::V6(_) => UdpSocket::bind("[::1]:0"),
    });
    let peer = peer.context("opening a socket to play the peer")?;
    peer.set_read_timeout(Some(PATIENCE)).context("opening a socket to play the peer")?;
    let peer_address = peer.local_addr().context("opening a socket to play the peer")?;
    client.bind(CHANNEL, peer_address).context("binding a channel")?;
    eprintln!("  bound channel {CHANNEL:#06x} to the peer {peer_address}");

    let sent = b"firezone-relay round trip";
    client.send(CHANNEL, sent).context("sending to the peer")?;
    let mut buffer = [0; 2048];
    let (length, from) = peer.recv_from(&mut buffer).context("nothing arrived at the peer")?;
    if &buffer[..length] != sent {
        bail!("the peer received {length} other bytes from {from}");
    }
    eprintln!("  sent {length} bytes; the peer received them from {from}");
    peer.send_to(&buffer[..length], from).context("sending to the client")?;
    match client.receive(PATIENCE).context("receiving from the peer")? {
        Some((CHANNEL, payload)) if payload == sent => {}
        Some((channel, payload)) => {
            bail!("the client received {} other bytes on channel {channel:#06x}", payload.len())
        }
        None => bail!("nothing came back to the client"),
    }
    eprintln!("  the peer's echo of {length} bytes came back on channel {CHANNEL:#06x}");
    client.refresh(Duration::ZERO).context("deleting the allocation")?;
    Ok(())
}
