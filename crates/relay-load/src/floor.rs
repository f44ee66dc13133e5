//! The least work of a relay in user space: receive a datagram, remove four bytes, send it.
//!
//! A relay waits for many sockets, so the least work of an event loop can be measured, too.

use std::{
    net::{IpAddr, SocketAddr, UdpSocket},
    str::FromStr as _,
};

use anyhow::{Context as _, Result};

use crate::{
    poller::Poller,
    socket::{self, Buffers},
};

/// Forward every datagram to one address without its first four bytes: what user space costs at least.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Where to receive.
    #[arg(long, value_parser = SocketAddr::from_str)]
    listen: SocketAddr,
    /// Where to send.
    #[arg(long, value_parser = SocketAddr::from_str)]
    to: SocketAddr,
    /// Wait at an event queue, receive in batches, and have this many sockets more, as a relay has for as many clients; datagrams
    /// leave by those [default: wait at the one socket that there is, which sends, too]
    #[arg(long, value_name = "SOCKETS")]
    event_loop: Option<u16>,
    /// Datagrams come in by the sockets of the event loop, at the addresses after that of `--listen` and its port, and leave by the
    /// one at `--listen`
    #[arg(long, requires = "event_loop")]
    inbound: bool,
}

/// Forwards until the process is killed.
pub(crate) fn main(args: &Args) -> Result<()> {
    if let Some(count) = args.event_loop {
        return event_loop(args, count);
    }
    let socket = UdpSocket::bind(args.listen).with_context(|| format!("cannot listen at {}", args.listen))?;
    let options = socket2::SockRef::from(&socket);
    options.set_recv_buffer_size(4 * 1024 * 1024)?;
    options.set_send_buffer_size(4 * 1024 * 1024)?;
    let mut buffer = vec![0; 65_536];
    loop {
        let (length, _) = socket.recv_from(&mut buffer).context("cannot receive")?;
        if let Some(payload) = buffer[..length].get(4..) {
            // What the receiver does not take is lost, as in a relay.
            let _ = socket.send_to(payload, args.to);
        }
    }
}

fn event_loop(args: &Args, count: u16) -> Result<()> {
    let bind = |address| {
        socket::bind(address)
            .and_then(|socket| socket::UdpSocket::new(socket, false))
            .with_context(|| format!("cannot open a socket at {address}"))
    };
    let own = if args.inbound {
        inbound_addresses(args.listen, count)?.into_iter().map(bind).collect::<Result<Vec<_>>>()
    } else {
        (0..count).map(|_| bind(SocketAddr::new(args.listen.ip(), 0))).collect()
    }?;
    // Bound last: other programs wait for this socket.
    let listener = bind(args.listen)?;
    let receivers = if args.inbound { own.as_slice() } else { std::slice::from_ref(&listener) };
    let senders = if args.inbound { std::slice::from_ref(&listener) } else { own.as_slice() };
    let mut poller = Poller::new()?;
    for (number, receiver) in receivers.iter().chain(senders).enumerate() {
        poller.add_edge_triggered(receiver.socket(), number)?;
    }
    let mut buffers = Buffers::new();
    loop {
        for number in poller.wait(None)? {
            let Some(receiver) = receivers.get(number) else { continue };
            let mut more = true;
            while more {
                more = receiver.receive(&mut buffers, |from, datagram| {
                    let sender = senders.get(usize::from(from.port()) % senders.len().max(1));
                    if let (Some(sender), Some(payload)) = (sender, datagram.get(4..)) {
                        // What the receiver does not take is lost, as in a relay.
                        let _ = sender.send(args.to, payload, None);
                    }
                })?;
            }
        }
    }
}

/// The addresses of an inbound event loop's sockets.
///
/// # Errors
///
/// When there are not enough addresses after that of `listen`, or it is not IPv4.
pub(crate) fn inbound_addresses(listen: SocketAddr, count: u16) -> Result<Vec<SocketAddr>> {
    let IpAddr::V4(first) = listen.ip() else { anyhow::bail!("{listen} is no IPv4 address") };
    (1..=u32::from(count))
        .map(|after| first.to_bits().checked_add(after).map(|ip| SocketAddr::new(IpAddr::V4(ip.into()), listen.port())))
        .collect::<Option<_>>()
        .with_context(|| format!("there are no {count} addresses after {listen}"))
}
