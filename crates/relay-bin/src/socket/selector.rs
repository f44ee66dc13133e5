//! Which of the sockets that listen at one address a datagram goes to.
//!
//! Each worker has two: one for application data (ChannelData and Send indications), one for everything else, so that strangers who flood the relay
//! with requests do not take places in the queue of clients that are served. The kernel asks a small program, which any process
//! may attach (`SO_ATTACH_REUSEPORT_CBPF`, socket(7)): it looks at the source address, so that a client always reaches the same
//! worker, and at the first two bytes. What one client sends may so be read in another order than it was sent:
//! [`crate::shard`] sees to that.
#![expect(unsafe_code, reason = "setsockopt")]

use std::{
    io,
    net::IpAddr,
    os::fd::{AsFd, AsRawFd},
};

/// How many sockets a worker has at each address.
pub(crate) const SOCKETS_PER_WORKER: usize = 2;

/// Offsets from here on count from the IP header.
const IP_HEADER: u32 = libc::SKF_NET_OFF.cast_unsigned();

/// Odd numbers whose bits look random: multiplying by them spreads addresses that differ in few bits.
const SPREAD_ADDRESS: u32 = 0x9E37_79B1;
const SPREAD_PORT: u32 = 0x85EB_CA77;

/// Of the first byte: what tells ChannelData ([RFC 8656, section 12.4](https://www.rfc-editor.org/rfc/rfc8656#section-12.4)).
const KIND: u32 = 0b1100_0000;
const CHANNEL_DATA: u32 = 0b0100_0000;
/// The first two bytes of a Send indication: a class and a method ([RFC 8656, section 17](https://www.rfc-editor.org/rfc/rfc8656#section-17)).
const SEND_INDICATION: u32 = 0x0016;

/// Attaches the program for `workers` workers to the sockets that listen at the address of `socket`: those that are bound
/// already, and those to come. The sockets are numbered in the order in which they are bound, [`SOCKETS_PER_WORKER`] for each
/// worker: the one for requests, and for what is nothing at all, comes before the one for data.
///
/// # Errors
///
/// Those of `setsockopt`.
pub(crate) fn attach(socket: &impl AsFd, address: IpAddr, workers: usize) -> io::Result<()> {
    let mut program = program(address, u32::try_from(workers).map_err(io::Error::other)?);
    let filter = libc::sock_fprog {
        len: libc::c_ushort::try_from(program.len()).map_err(io::Error::other)?,
        filter: program.as_mut_ptr(),
    };
    let length = libc::socklen_t::try_from(size_of_val(&filter)).map_err(io::Error::other)?;
    // SAFETY: the descriptor is open for as long as `socket` is borrowed; the kernel reads `length` bytes of `filter`, and as many
    // instructions of `program` as that says, both of which outlive the call.
    let result = unsafe {
        libc::setsockopt(
            socket.as_fd().as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_ATTACH_REUSEPORT_CBPF,
            (&raw const filter).cast(),
            length,
        )
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Returns the number of the socket, or the first one's for a datagram that it cannot read. A client is known by its address and
/// port; where there are IP options or extension headers, other bytes take the place of the port, which are as good if they stay
/// the same.
fn program(address: IpAddr, workers: u32) -> Vec<libc::sock_filter> {
    use libc::{
        BPF_A, BPF_ABS, BPF_ADD, BPF_ALU, BPF_AND, BPF_B, BPF_H, BPF_JEQ, BPF_JMP, BPF_K, BPF_LD, BPF_LSH, BPF_MISC,
        BPF_MOD, BPF_MUL, BPF_RET, BPF_RSH, BPF_TAX, BPF_TXA, BPF_W, BPF_X,
    };
    let (address_at, address_words, port_at) = match address {
        IpAddr::V4(_) => (12, 1, 20),
        IpAddr::V6(_) => (8, 4, 40),
    };
    let mut program = Vec::new();
    let mut step = |code: u32, k: u32| program.push(instruction(code, 0, 0, k));
    // A is the number to be, X what it was before.
    step(BPF_LD | BPF_H | BPF_ABS, IP_HEADER.wrapping_add(port_at));
    step(BPF_ALU | BPF_MUL | BPF_K, SPREAD_PORT);
    for word in 0..address_words {
        step(BPF_MISC | BPF_TAX, 0);
        step(BPF_LD | BPF_W | BPF_ABS, IP_HEADER.wrapping_add(address_at + 4 * word));
        step(BPF_ALU | BPF_ADD | BPF_X, 0);
        step(BPF_ALU | BPF_MUL | BPF_K, SPREAD_ADDRESS);
    }
    step(BPF_ALU | BPF_RSH | BPF_K, 16);
    step(BPF_ALU | BPF_MOD | BPF_K, workers.max(1));
    step(BPF_ALU | BPF_LSH | BPF_K, 1);
    step(BPF_MISC | BPF_TAX, 0);
    step(BPF_LD | BPF_B | BPF_ABS, 0);
    step(BPF_ALU | BPF_AND | BPF_K, KIND);
    program.push(instruction(BPF_JMP | BPF_JEQ | BPF_K, 2, 0, CHANNEL_DATA));
    program.push(instruction(BPF_LD | BPF_H | BPF_ABS, 0, 0, 0));
    program.push(instruction(BPF_JMP | BPF_JEQ | BPF_K, 0, 3, SEND_INDICATION));
    let mut step = |code: u32, k: u32| program.push(instruction(code, 0, 0, k));
    step(BPF_MISC | BPF_TXA, 0);
    step(BPF_ALU | BPF_ADD | BPF_K, 1);
    step(BPF_RET | BPF_A, 0);
    step(BPF_MISC | BPF_TXA, 0);
    step(BPF_RET | BPF_A, 0);
    program
}

#[expect(clippy::cast_possible_truncation, reason = "all codes fit 16 bits")]
const fn instruction(code: u32, jt: u8, jf: u8, k: u32) -> libc::sock_filter {
    libc::sock_filter { code: code as u16, jt, jf, k }
}

#[cfg(test)]
mod tests {
    use std::{net::UdpSocket, time::Duration};

    use super::*;
    use crate::socket::{Role, bind};

    const WORKERS: usize = 3;
    const REQUESTS: usize = 0;

    /// All sockets of all workers at `address`.
    fn listen(address: &str) -> Vec<UdpSocket> {
        let first = bind(address.parse().unwrap(), Role::Requests).unwrap();
        let bound = first.local_addr().unwrap().as_socket().unwrap();
        attach(&first, bound.ip(), WORKERS).unwrap();
        let mut sockets = vec![UdpSocket::from(first)];
        for number in 1..WORKERS * SOCKETS_PER_WORKER {
            let role = if number % SOCKETS_PER_WORKER == REQUESTS { Role::Requests } else { Role::Data };
            sockets.push(bind(bound, role).unwrap().into());
        }
        sockets
    }

    /// Which of `sockets` gets `datagram`.
    fn target(sockets: &[UdpSocket], client: &UdpSocket, datagram: &[u8]) -> usize {
        client.send_to(datagram, sockets[0].local_addr().unwrap()).unwrap();
        let mut buffer = [0; 64];
        for _ in 0..1_000 {
            if let Some(number) = sockets.iter().position(|socket| socket.recv(&mut buffer).is_ok()) {
                return number;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        panic!("it did not arrive");
    }

    fn spreads(address: &str) {
        let sockets = listen(address);
        let mut per_worker = [0; WORKERS];
        for _ in 0..150 {
            let client = UdpSocket::bind(address).unwrap();
            let requests = target(&sockets, &client, &[0x00, 0x03]);
            assert_eq!(requests % SOCKETS_PER_WORKER, REQUESTS);
            for data in [[0x40, 0], [0x4F, 0], [0x7F, 0], [0x00, 0x16]] {
                assert_eq!(target(&sockets, &client, &data), requests + 1, "{data:#x?}");
            }
            for other in [[0x01, 0], [0x3F, 0], [0x80, 0], [0xFF, 0], [0x00, 0x17], [0x01, 0x16], [0x00, 0x11]] {
                assert_eq!(target(&sockets, &client, &other), requests, "{other:#x?}");
            }
            per_worker[requests / SOCKETS_PER_WORKER] += 1;
            assert_eq!(target(&sockets, &client, &[]), REQUESTS);
        }
        assert!(per_worker.iter().all(|clients| *clients >= 20), "{per_worker:?}");
    }

    #[test]
    fn spreads_clients_and_keeps_kinds_apart() {
        spreads("127.0.0.1:0");
    }

    #[test]
    fn the_same_over_ipv6() {
        // A machine may lack it.
        if UdpSocket::bind("[::1]:0").is_ok() {
            spreads("[::1]:0");
        }
    }
}
