//! The playground's examples: short sessions with the real state machine.

use std::net::SocketAddr;

use turn_client::{Allocate, Family, Request};

use crate::{ClientId, Icmp, World, WorldConfig, WorldError};

/// An example trace of the playground.
#[derive(Clone, Copy, Debug)]
pub struct Example {
    /// The file name without extension, also used in links.
    pub name: &'static str,
    /// The title.
    pub title: &'static str,
    /// What the trace shows.
    pub story: &'static str,
    relay: WorldConfig,
    run: fn(&mut World) -> Result<(), WorldError>,
}

impl Example {
    /// Makes the trace. It is the same each time.
    ///
    /// # Errors
    ///
    /// When the session makes an impossible request. The committed examples do not.
    pub fn record(&self) -> Result<Vec<u8>, WorldError> {
        let mut seed = [0; 32];
        for (byte, letter) in seed.iter_mut().zip(self.name.bytes()) {
            *byte = letter;
        }
        let mut world = World::with_config(seed, STORY_TIME, self.relay)?;
        (self.run)(&mut world)?;
        Ok(world.finish())
    }
}

/// 2026-11-22 12:00:00 UTC.
const STORY_TIME: u64 = 1_795_348_800;
const CHANNEL: u16 = 0x4001;
/// A relay as with a portal: channels only.
const CHANNELS_ONLY: WorldConfig = WorldConfig { indications: false, has_ipv4: true };
/// A relay as without a portal: with indications.
const WITH_INDICATIONS: WorldConfig = WorldConfig { indications: true, has_ipv4: true };

/// All examples, in reading order.
pub const EXAMPLES: &[Example] = &[
    Example {
        name: "good-session",
        title: "A good session",
        story: "A client learns its address, is challenged, allocates, binds a channel, exchanges data with a peer, refreshes and leaves.",
        relay: CHANNELS_ONLY,
        run: good_session,
    },
    Example {
        name: "send-indications",
        title: "A browser on Send indications",
        story: "As Firefox does, a client never binds a channel: permissions, Send and Data indications for ever. Once it forgets its permission, and nothing comes through.",
        relay: WITH_INDICATIONS,
        run: send_indications,
    },
    Example {
        name: "indications-then-channel",
        title: "From indications to a channel",
        story: "As Chromium does, a client checks its connection with Send indications and then binds a channel, which relays on when the permission has ended.",
        relay: WITH_INDICATIONS,
        run: indications_then_channel,
    },
    Example {
        name: "unreachable-peer",
        title: "A peer that is not there",
        story: "Nobody listens at the peer's port. An ICMP error comes back to the relay, which tells the client in a Data indication without data.",
        relay: WITH_INDICATIONS,
        run: unreachable_peer,
    },
    Example {
        name: "wrong-password",
        title: "A wrong password",
        story: "Two clients cannot connect: one signs with a password of another secret, the other's credentials have expired.",
        relay: CHANNELS_ONLY,
        run: wrong_password,
    },
    Example {
        name: "stale-nonce",
        title: "A stale nonce",
        story: "After 25 minutes the relay does not accept the old nonce any more: 438, a fresh one, and the client carries on.",
        relay: CHANNELS_ONLY,
        run: stale_nonce,
    },
    Example {
        name: "expired-channel",
        title: "An expired channel",
        story: "The client refreshes its allocation and forgets its channel. After ten minutes nothing comes through, and the number stays reserved.",
        relay: CHANNELS_ONLY,
        run: expired_channel,
    },
    Example {
        name: "two-clients",
        title: "Two clients, one relay",
        story: "Both sides are behind NATs and use the same relay: data crosses inside it, from channel to channel.",
        relay: CHANNELS_ONLY,
        run: two_clients,
    },
    Example {
        name: "port-hopping-nat",
        title: "A NAT that hops ports",
        story: "The client's NAT gives it a new port: its data comes from a stranger, which has no allocation to refresh, and a new allocation replaces the old.",
        relay: CHANNELS_ONLY,
        run: port_hopping_nat,
    },
    Example {
        name: "dual-stack",
        title: "IPv4 and IPv6",
        story: "A client reaches the relay over IPv6, allocates in both families and talks to an IPv4 peer.",
        relay: CHANNELS_ONLY,
        run: dual_stack,
    },
];

/// A recording of a real client, which the playground shows beside the examples.
#[derive(Clone, Copy, Debug)]
pub struct Recording {
    /// The file name without extension, also used in links.
    pub name: &'static str,
    /// The title.
    pub title: &'static str,
    /// What the trace shows.
    pub story: &'static str,
}

/// All recordings that the playground shows. The files are in `tests/recordings`; `docs/traces.md` says how to make them.
pub const RECORDINGS: &[Recording] = &[
    Recording {
        name: "firefox",
        title: "Firefox, recorded",
        story: "Two peers in Firefox ESR exchange a few messages through a relay. Everything they say goes in Send indications, and arrives in Data indications.",
    },
    Recording {
        name: "chromium",
        title: "Chromium, recorded",
        story: "Two peers in Chromium exchange a few messages through a relay: the connectivity checks in Send indications, the data in channels.",
    },
    Recording {
        name: "firefox-without-indications",
        title: "Why does Firefox not connect?",
        story: "The relay runs with --indications off. Allocations and permissions are granted, and every connectivity check is dropped.",
    },
    Recording {
        name: "chromium-wrong-family",
        title: "Why does Chromium not connect?",
        story: "The relay has an IPv6 address only, and gives IPv4 to clients that ask for no family. Chromium never asks.",
    },
];

fn at(socket: &str) -> SocketAddr {
    // The addresses are literals. An invalid one would fail the tests of its example.
    socket.parse().unwrap_or_else(|_| SocketAddr::from(([0, 0, 0, 0], 0)))
}

fn bind(peer: SocketAddr) -> Request {
    Request::ChannelBind { channel: CHANNEL, peer }
}

fn allocate() -> Request {
    Request::Allocate(Allocate::default())
}

fn refresh() -> Request {
    Request::Refresh { lifetime: None }
}

fn delete() -> Request {
    Request::Refresh { lifetime: Some(std::time::Duration::ZERO) }
}

fn chat(world: &mut World, client: ClientId, peer: SocketAddr, rounds: u32) -> Result<(), WorldError> {
    for round in 1..=rounds {
        world.send(client, CHANNEL, format!("ping {round}").as_bytes())?;
        world.send_from_peer(peer, client, format!("pong {round}").as_bytes())?;
    }
    Ok(())
}

fn good_session(world: &mut World) -> Result<(), WorldError> {
    let peer = at("198.51.100.30:41000");
    let client = world.add_client(at("192.0.2.10:50123"));
    world.comment("Who am I, seen from outside?");
    world.request(client, Request::Binding)?;
    world.comment("The first request carries no credentials: every client has to ask for the realm and a nonce.");
    world.request(client, allocate())?;
    world.comment("Some clients ask for permissions before they bind a channel.");
    world.request(client, Request::CreatePermission { peers: vec![peer] })?;
    world.request(client, bind(peer))?;
    chat(world, client, peer, 4)?;
    world.advance(240);
    world.request(client, refresh())?;
    chat(world, client, peer, 2)?;
    world.advance(240);
    world.comment("Channels are renewed by binding them again.");
    world.request(client, bind(peer))?;
    world.comment("A stranger knows the port and sends something: no channel, no entry.");
    world.send_from_peer(at("198.51.100.66:1234"), client, b"let me in")?;
    chat(world, client, peer, 2)?;
    world.comment("A lifetime of zero deletes the allocation.");
    world.request(client, delete())
}

fn send_indications(world: &mut World) -> Result<(), WorldError> {
    let (peer, other_port) = (at("198.51.100.30:41000"), at("198.51.100.30:41001"));
    let client = world.add_client(at("192.0.2.10:50123"));
    let permit = || Request::CreatePermission { peers: vec![peer] };
    world.request(client, allocate())?;
    world.comment("Without a permission nothing is relayed, in either direction.");
    world.send_to(client, peer, b"anybody there?")?;
    world.send_from_peer(peer, client, b"let me in")?;
    world.comment("A permission is for an address; the port does not matter.");
    world.request(client, permit())?;
    let chat = |world: &mut World, rounds: u32| -> Result<(), WorldError> {
        for round in 1..=rounds {
            world.send_to(client, peer, format!("ping {round}").as_bytes())?;
            world.send_from_peer(peer, client, format!("pong {round}").as_bytes())?;
        }
        Ok(())
    };
    chat(world, 3)?;
    world.comment("The same peer from another port: the Data indication says which.");
    world.send_from_peer(other_port, client, b"it is me")?;
    world.advance(290);
    world.comment("Ten seconds before the permission ends, the client renews it.");
    world.request(client, permit())?;
    chat(world, 2)?;
    world.request(client, refresh())?;
    world.advance(301);
    world.comment("This time the client forgot: the permission ended, and what both sides send is dropped.");
    chat(world, 1)?;
    world.request(client, permit())?;
    chat(world, 1)?;
    world.request(client, delete())
}

fn indications_then_channel(world: &mut World) -> Result<(), WorldError> {
    let peer = at("198.51.100.30:41000");
    let client = world.add_client(at("192.0.2.10:50123"));
    world.request(client, allocate())?;
    world.request(client, Request::CreatePermission { peers: vec![peer] })?;
    world.comment("The first data goes in Send indications.");
    world.send_to(client, peer, b"check 1")?;
    world.send_from_peer(peer, client, b"check 2")?;
    world.comment("The connection works, so the client binds a channel: 4 bytes in front of each packet, not 36.");
    world.request(client, bind(peer))?;
    chat(world, client, peer, 3)?;
    world.comment("Clients may go on with Send indications; what peers send comes in the channel.");
    world.send_to(client, peer, b"ping 4")?;
    world.send_from_peer(peer, client, b"pong 4")?;
    world.advance(301);
    world.comment(
        "The permission has ended. A channel relays for its own 10 minutes all the same, as several clients rely on.",
    );
    chat(world, client, peer, 2)?;
    world.comment("A Send indication needs the permission.");
    world.send_to(client, peer, b"ping 3")?;
    world.comment("Binding the channel again renews both.");
    world.request(client, bind(peer))?;
    world.send_to(client, peer, b"ping 3")?;
    world.send_from_peer(peer, client, b"pong 3")
}

fn unreachable_peer(world: &mut World) -> Result<(), WorldError> {
    let peer = at("198.51.100.30:41000");
    let client = world.add_client(at("192.0.2.10:50123"));
    world.request(client, allocate())?;
    world.request(client, Request::CreatePermission { peers: vec![peer] })?;
    world.send_to(client, peer, b"anybody there?")?;
    world.icmp(client, peer, Icmp { icmp_type: 3, code: 3, error_data: 0 })?;
    world.comment("A larger packet to another port of the peer, and a link that is too narrow for it.");
    let other = at("198.51.100.30:41001");
    world.send_to(client, other, &[0x2e; 1400])?;
    world.icmp(client, other, Icmp { icmp_type: 3, code: 4, error_data: 1280 })?;
    world.send_to(client, other, b"shorter")?;
    world.send_from_peer(other, client, b"that arrived")?;
    world.request(client, delete())
}

fn wrong_password(world: &mut World) -> Result<(), WorldError> {
    let client = world.add_client(at("192.0.2.10:50123"));
    world.set_password(client, "made-with-the-secret-of-another-relay")?;
    world.request(client, allocate())?;
    world.comment("The client tries again, with the same result.");
    world.request_once(client, &allocate())?;
    let late = world.add_client(at("192.0.2.77:61000"));
    world.set_expiry(late, -185)?;
    world.comment("Another client, whose credentials expired some minutes ago.");
    world.request(late, allocate())?;
    world.set_expiry(late, 3_600)?;
    world.comment("It fetches new credentials, and all is well.");
    world.request(late, allocate())
}

fn stale_nonce(world: &mut World) -> Result<(), WorldError> {
    let peer = at("198.51.100.30:41000");
    let client = world.add_client(at("192.0.2.10:50123"));
    let hour = Allocate { lifetime: Some(std::time::Duration::from_secs(3_600)), ..Allocate::default() };
    world.request(client, Request::Allocate(hour))?;
    world.request(client, bind(peer))?;
    chat(world, client, peer, 2)?;
    world.advance(25 * 60);
    world.comment("The nonce of 25 minutes ago is not accepted any more.");
    world.request(client, bind(peer))?;
    chat(world, client, peer, 2)
}

fn expired_channel(world: &mut World) -> Result<(), WorldError> {
    let (peer, other) = (at("198.51.100.30:41000"), at("198.51.100.31:41000"));
    let client = world.add_client(at("192.0.2.10:50123"));
    world.request(client, allocate())?;
    world.request(client, bind(peer))?;
    chat(world, client, peer, 2)?;
    world.advance(300);
    world.comment("The allocation is refreshed; the channel is forgotten.");
    world.request(client, refresh())?;
    world.advance(301);
    world.comment("Ten minutes after it was bound, the channel is gone.");
    chat(world, client, peer, 1)?;
    world.comment("For five more minutes its number stays reserved for the old peer: another one is refused.");
    world.request(client, bind(other))?;
    world.comment("The old peer may have it back at once.");
    world.request(client, bind(peer))?;
    chat(world, client, peer, 2)
}

fn two_clients(world: &mut World) -> Result<(), WorldError> {
    let alice = world.add_client(at("192.0.2.10:50123"));
    let bob = world.add_client(at("198.51.100.77:33445"));
    world.request(alice, allocate())?;
    world.request(bob, allocate())?;
    let first = |relayed: &[SocketAddr]| relayed.first().copied().ok_or(WorldError::NotAllocated);
    let (to_bob, to_alice) = (first(world.relayed(bob)?)?, first(world.relayed(alice)?)?);
    world.comment("Alice's peer is Bob's relayed address on the same relay.");
    world.request(alice, bind(to_bob))?;
    world.comment("Alice sends before Bob has bound a channel back: it is dropped.");
    world.send(alice, CHANNEL, b"hello?")?;
    world.request(bob, bind(to_alice))?;
    for round in 1..=4 {
        world.send(alice, CHANNEL, format!("from alice {round}").as_bytes())?;
        world.send(bob, CHANNEL, format!("from bob {round}").as_bytes())?;
    }
    world.request(alice, delete())?;
    world.comment("Alice has left: Bob's data goes out to an address where nobody listens any more.");
    world.send(bob, CHANNEL, b"still there?")
}

fn port_hopping_nat(world: &mut World) -> Result<(), WorldError> {
    let peer = at("198.51.100.30:41000");
    let client = world.add_client(at("192.0.2.10:50123"));
    world.request(client, allocate())?;
    world.request(client, bind(peer))?;
    chat(world, client, peer, 3)?;
    world.advance(45);
    world.move_client(client, at("192.0.2.10:61999"))?;
    world.comment("The NAT has given the client another port: for the relay this is a stranger.");
    world.send(client, CHANNEL, b"ping 4")?;
    world.comment("Its nonce holds for every port of its address, but this 5-tuple has no allocation.");
    world.request(client, refresh())?;
    world.comment("It allocates anew; the same username's old allocation is replaced.");
    world.request(client, allocate())?;
    world.request(client, bind(peer))?;
    chat(world, client, peer, 3)
}

fn dual_stack(world: &mut World) -> Result<(), WorldError> {
    let peer = at("198.51.100.30:41000");
    let peer_v6 = at("[2001:db8:2::30]:41000");
    let client = world.add_client(at("[2001:db8:1::10]:50123"));
    let both = Allocate { additional_family: Some(Family::V6), ..Allocate::default() };
    world.request(client, Request::Allocate(both))?;
    world.request(client, bind(peer))?;
    chat(world, client, peer, 2)?;
    world.request(client, Request::ChannelBind { channel: CHANNEL + 1, peer: peer_v6 })?;
    world.send(client, CHANNEL + 1, b"ping over IPv6")?;
    world.send_from_peer(peer_v6, client, b"pong over IPv6")?;
    world.request(client, delete())
}
