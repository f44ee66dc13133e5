//! The least that a relay in user space can cost: receive one datagram, drop four bytes, send it.

use std::{
    net::{SocketAddr, UdpSocket},
    str::FromStr as _,
};

use anyhow::{Context as _, Result};

/// Forward every datagram to one address without its first four bytes: what user space costs at least.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Where to receive.
    #[arg(long, value_parser = SocketAddr::from_str)]
    listen: SocketAddr,
    /// Where to send.
    #[arg(long, value_parser = SocketAddr::from_str)]
    to: SocketAddr,
}

/// Forwards until it is killed.
pub(crate) fn main(args: &Args) -> Result<()> {
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
