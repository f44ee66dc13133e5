//! The least that a relay in user space can cost: receive one datagram, drop four bytes, send it.
//!
//! A relay has more than one socket to wait for, so the least that it can cost is that of an event loop, which is here too.

use std::{
    net::{SocketAddr, UdpSocket},
    str::FromStr as _,
    time::Duration,
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
    /// Wait at an event queue, receive in batches, and send by this many sockets, as a relay does for as many clients [default:
    /// wait at the one socket that there is, which sends, too]
    #[arg(long, value_name = "SOCKETS")]
    event_loop: Option<usize>,
}

/// Forwards until it is killed.
pub(crate) fn main(args: &Args) -> Result<()> {
    if let Some(count) = args.event_loop {
        return event_loop(args, count.max(1));
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

fn event_loop(args: &Args, count: usize) -> Result<()> {
    let bind = |address| socket::UdpSocket::new(socket::bind(address)?, false);
    let listener = bind(args.listen).with_context(|| format!("cannot listen at {}", args.listen))?;
    let any_port = SocketAddr::new(args.listen.ip(), 0);
    let senders = (0..count).map(|_| bind(any_port)).collect::<Result<Vec<_>, _>>().context("cannot open sockets")?;
    let mut poller = Poller::new()?;
    poller.add(listener.socket(), 0)?;
    for (sender, number) in senders.iter().zip(1..) {
        poller.add(sender.socket(), number)?;
    }
    let mut buffers = Buffers::new();
    loop {
        if poller.wait(Duration::from_secs(3600))?.any(|number| number == 0) {
            listener.receive(&mut buffers, |from, datagram| {
                let sender = &senders[usize::from(from.port()) % count];
                if let Some(payload) = datagram.get(4..) {
                    // What the receiver does not take is lost, as in a relay.
                    let _ = sender.send(args.to, payload, None);
                }
            })?;
        }
    }
}
