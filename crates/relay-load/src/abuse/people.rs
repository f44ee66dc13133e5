//! Clients of a relay, each with its own socket and user, and how long each waits.

use std::{
    net::{IpAddr, SocketAddr, UdpSocket},
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result};
use turn_client::{Allocate, BlockingClient};

use crate::clock;

/// The standard retransmissions: at 0, 0.5, 1.5, 3.5, 7.5, 15.5 and 31.5 s
/// ([RFC 8489, section 6.2.1](https://www.rfc-editor.org/rfc/rfc8489#section-6.2.1)).
pub(super) const STANDARD: (Duration, u32) = (Duration::from_millis(500), 7);

/// The stack size of a client's thread.
const STACK: usize = 256 * 1024;

/// A Binding request. The last byte of its transaction ID may be changed.
pub(super) const BINDING: [u8; 20] = *b"\x00\x01\x00\x00\x21\x12\xA4\x42abuse-tool--";

pub(super) fn socket_at(host: IpAddr) -> Result<UdpSocket> {
    UdpSocket::bind(SocketAddr::new(host, 0)).with_context(|| format!("cannot open a socket at {host}"))
}

/// Allocates with each client on its own thread, the first at once and the last after `within`. Each client sends `bindings`
/// Binding requests first. Returns how long each client waited for its allocation.
pub(super) fn allocate_all(
    clients: Vec<BlockingClient>,
    within: Duration,
    bindings: usize,
) -> Result<Vec<Option<Duration>>> {
    let count = u32::try_from(clients.len()).context("too many clients")?;
    let threads = (0..count).zip(clients).map(|(index, mut client)| {
        thread::Builder::new().stack_size(STACK).spawn(move || {
            thread::sleep(within * index / count.max(1));
            for _ in 0..bindings {
                let _ = client.socket().send(&BINDING);
            }
            let started = clock::instant();
            let allocated = client.allocate(Allocate::default());
            allocated.ok().map(|_| clock::instant() - started)
        })
    });
    let threads = threads.collect::<Result<Vec<_>, _>>().context("cannot start a thread for each client")?;
    Ok(threads.into_iter().map(|thread| thread.join().unwrap_or(None)).collect())
}

/// Prints how many clients were served within several times.
pub(super) fn print_waits(who: &str, waits: &[Option<Duration>]) {
    let within = |seconds: f64| waits.iter().flatten().filter(|wait| wait.as_secs_f64() <= seconds).count();
    println!("{who}: {} in all", waits.len());
    for seconds in [0.5, 1.0, 3.0, 5.0, 10.0, 36.0] {
        println!("  served within {seconds:>4} s: {}", within(seconds));
    }
    println!("  never served: {}", waits.iter().filter(|wait| wait.is_none()).count());
}
