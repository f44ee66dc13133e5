//! Chooses a socket for each datagram if several sockets share an address (`SO_ATTACH_REUSEPORT_CBPF`, `socket(7)`).

use std::{io, net::IpAddr, os::fd::AsFd};

use crate::options;

/// Offsets plus this count from the IP header.
const IP_HEADER: u32 = libc::SKF_NET_OFF.cast_unsigned();

/// Odd numbers whose bits look random: multiplying by them spreads addresses that differ in few bits.
const SPREAD_ADDRESS: u32 = 0x9E37_79B1;
const SPREAD_PORT: u32 = 0x85EB_CA77;

/// Steers datagrams among sockets that share an address by [`Config::reuse_port`](crate::Config::reuse_port).
///
/// Without a selector, the kernel chooses by a hash of both addresses, and senders move to other sockets whenever a socket is added.
/// With a selector, the sockets form groups of equal size, for example one for each thread. The sender's address and port decide on the
/// group, so a sender always reaches the same one.
///
/// A group has two sockets if [`Self::apart`] has patterns: datagrams that match one go to the second socket, all others
/// to the first. So a flood of one kind of datagram does not fill the receive buffer of the other kind. The price: datagrams of one sender may
/// be reordered across its two sockets.
///
/// The kernel numbers sockets in the order in which they are bound, and a socket's group is its number divided by
/// [`Self::sockets_per_group`]. Datagrams that are too short for a pattern go to the first socket of the first group. Fragments other than
/// the first never get here: the kernel reassembles before it selects.
///
/// ```
/// use udp_batch::{Config, Pattern, Selector, UdpSocket};
///
/// # fn main() -> std::io::Result<()> {
/// // QUIC's long headers, which begin connections, apart from everything else; for four threads.
/// let selector = Selector { groups: 4, key: 0x5EED, apart: &[Pattern::first_byte(0x80, 0x80)] };
/// let config = Config { reuse_port: true, ..Config::default() };
/// let mut sockets = vec![UdpSocket::bind(([127, 0, 0, 1], 0).into(), &config)?];
/// sockets[0].attach_selector(&selector)?;
/// for _ in 1..selector.groups * selector.sockets_per_group() {
///     sockets.push(UdpSocket::bind(sockets[0].local_addr()?, &config)?);
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Selector<'a> {
    /// How many groups of sockets there are: at least 1.
    pub groups: usize,
    /// The key of the hash that decides on the group. Draw it at random: an attacker who knows it can send everything to one group.
    pub key: u64,
    /// Datagrams that match one of these go to the second socket of their group. If there are none, a group is one socket.
    pub apart: &'a [Pattern],
}

/// Matches the first bytes of a datagram's content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pattern {
    is_byte: bool,
    mask: u16,
    value: u16,
}

impl Pattern {
    /// Matches if the first byte has `value` in the bits of `mask`.
    #[must_use]
    pub const fn first_byte(mask: u8, value: u8) -> Self {
        Self { is_byte: true, mask: mask as u16, value: value as u16 }
    }

    /// Matches if the first two bytes, as a big-endian number, have `value` in the bits of `mask`.
    #[must_use]
    pub const fn first_two_bytes(mask: u16, value: u16) -> Self {
        Self { is_byte: false, mask, value }
    }

    const fn is_exact(self) -> bool {
        self.mask == if self.is_byte { 0xFF } else { 0xFFFF }
    }
}

impl Selector<'_> {
    /// How many sockets a group has: 1 or 2.
    #[must_use]
    pub const fn sockets_per_group(&self) -> usize {
        if self.apart.is_empty() { 1 } else { 2 }
    }

    /// Attaches the program to all sockets at the address of `socket`, which is of the family of `address`: those that are bound
    /// already, and those to come.
    pub(crate) fn attach(&self, socket: &impl AsFd, address: IpAddr) -> io::Result<()> {
        options::attach_reuseport_program(socket, &mut self.program(address)?)
    }

    /// The multipliers of the hash, for ports and for words of addresses. They are odd, so that multiplication is injective.
    #[expect(clippy::cast_possible_truncation, reason = "one half each")]
    const fn multipliers(&self) -> (u32, u32) {
        (SPREAD_PORT ^ (self.key as u32 & !1), SPREAD_ADDRESS ^ ((self.key >> 32) as u32 & !1))
    }

    /// A classic BPF program that returns the number of the socket, or 0 for a datagram that it cannot read. After IP options or
    /// extension headers, the hash uses other bytes instead of the port. That works if these bytes are always the same for a sender.
    fn program(&self, address: IpAddr) -> io::Result<Vec<libc::sock_filter>> {
        use libc::{
            BPF_A, BPF_ABS, BPF_ADD, BPF_ALU, BPF_AND, BPF_B, BPF_H, BPF_JEQ, BPF_JMP, BPF_K, BPF_LD, BPF_LSH,
            BPF_MISC, BPF_MOD, BPF_MUL, BPF_RET, BPF_RSH, BPF_TAX, BPF_TXA, BPF_W, BPF_X,
        };
        let (address_at, address_words, port_at) = match address {
            IpAddr::V4(_) => (12, 1, 20),
            IpAddr::V6(_) => (8, 4, 40),
        };
        let (spread_port, spread_address) = self.multipliers();
        let groups = u32::try_from(self.groups).map_err(io::Error::other)?;
        let mut program = Vec::new();
        let mut step = |code: u32, k: u32| program.push(instruction(code, 0, 0, k));
        // Register A holds the hash, and X its previous value.
        step(BPF_LD | BPF_H | BPF_ABS, IP_HEADER.wrapping_add(port_at));
        step(BPF_ALU | BPF_MUL | BPF_K, spread_port);
        for word in 0..address_words {
            step(BPF_MISC | BPF_TAX, 0);
            step(BPF_LD | BPF_W | BPF_ABS, IP_HEADER.wrapping_add(address_at + 4 * word));
            step(BPF_ALU | BPF_ADD | BPF_X, 0);
            step(BPF_ALU | BPF_MUL | BPF_K, spread_address);
        }
        step(BPF_ALU | BPF_RSH | BPF_K, 16);
        step(BPF_ALU | BPF_MOD | BPF_K, groups.max(1));
        if self.apart.is_empty() {
            step(BPF_RET | BPF_A, 0);
            return Ok(program);
        }
        step(BPF_ALU | BPF_LSH | BPF_K, 1);
        step(BPF_MISC | BPF_TAX, 0);
        // The first test that succeeds jumps over those that follow it. If none succeeds, the last one jumps over the addition.
        let mut tests: Vec<libc::sock_filter> = Vec::new();
        for (index, pattern) in self.apart.iter().enumerate().rev() {
            let (to_match, is_last) = (u8::try_from(tests.len()), index + 1 == self.apart.len());
            let to_match = to_match.map_err(|_| io::Error::new(io::ErrorKind::InvalidInput, "too many patterns"))?;
            let width = if pattern.is_byte { BPF_B } else { BPF_H };
            let mut test = vec![instruction(BPF_LD | width | BPF_ABS, 0, 0, 0)];
            if !pattern.is_exact() {
                test.push(instruction(BPF_ALU | BPF_AND | BPF_K, 0, 0, pattern.mask.into()));
            }
            let to_end = if is_last { 3 } else { 0 };
            test.push(instruction(BPF_JMP | BPF_JEQ | BPF_K, to_match, to_end, pattern.value.into()));
            test.append(&mut tests);
            tests = test;
        }
        program.append(&mut tests);
        let mut step = |code: u32, k: u32| program.push(instruction(code, 0, 0, k));
        step(BPF_MISC | BPF_TXA, 0);
        step(BPF_ALU | BPF_ADD | BPF_K, 1);
        step(BPF_RET | BPF_A, 0);
        step(BPF_MISC | BPF_TXA, 0);
        step(BPF_RET | BPF_A, 0);
        Ok(program)
    }
}

#[expect(clippy::cast_possible_truncation, reason = "all codes fit 16 bits")]
const fn instruction(code: u32, jt: u8, jf: u8, k: u32) -> libc::sock_filter {
    libc::sock_filter { code: code as u16, jt, jf, k }
}

#[cfg(test)]
#[path = "selector_tests.rs"]
mod tests;
