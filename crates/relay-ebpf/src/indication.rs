//! Reads Send indications and writes Data indications (<https://www.rfc-editor.org/rfc/rfc8656#section-11>), in 32-bit words as
//! in the frame.
//!
//! Both have the same shape: a STUN header, XOR-PEER-ADDRESS, then DATA. Nearly all clients write Send indications like that, with or
//! without a FINGERPRINT at the end. All other shapes are passed to user space.

use crate::{
    address::{Address, Be16},
    checksum::fold_words,
    frame::Frame,
    reason::Reason,
};

/// Message types (<https://www.rfc-editor.org/rfc/rfc8656#section-17>).
pub(crate) const SEND: u16 = 0x0016;
pub(crate) const DATA: Be16 = Be16::new(0x0017);

const COOKIE: u32 = 0x2112_a442;
/// Types and lengths of attributes.
const PEER_V4: u32 = 0x0012_0008;
const PEER_V6: u32 = 0x0012_0014;
const DATA_ATTRIBUTE: u32 = 0x0013_0000;
const FINGERPRINT: u32 = 0x8028_0004;
/// The families of XOR-PEER-ADDRESS.
const V4: u32 = 0x0001_0000;
const V6: u32 = 0x0002_0000;

/// The STUN header, and XOR-PEER-ADDRESS up to its address.
type Start = [u32; 7];
const START: u32 = 28;
const STUN_HEADER: u32 = 20;
/// The length of FINGERPRINT, its header included.
const FINGERPRINT_LENGTH: u32 = 8;
/// The longest datagram that is read: the kernel's verifier needs a bound for offsets.
const LONGEST: u32 = 0x4000;

/// The number of bytes before the data, by the peer's family.
#[inline(always)]
pub(crate) const fn header_length(is_v6: bool) -> u32 {
    START + if is_v6 { 20 } else { 8 }
}

/// The number of zeros after data of this length, which pad it to a multiple of four.
#[inline(always)]
pub(crate) const fn padding(length: u32) -> u32 {
    length.wrapping_neg() & 3
}

/// The content of a Send indication.
#[derive(Clone, Copy, Default)]
pub(crate) struct Send {
    pub(crate) peer: Address,
    pub(crate) peer_port: Be16,
    /// The one's complement sum of all words but the data, plus twice its length without the data, as UDP sums its length twice.
    pub(crate) sum: u16,
    /// The number of bytes before its data.
    pub(crate) header: u32,
    /// The length of its data in bytes.
    pub(crate) payload: u32,
    /// 1 if there is a FINGERPRINT. It is not checked: the UDP checksum covers the same bytes and more.
    pub(crate) has_fingerprint: u8,
}

impl Send {
    /// Reads the UDP payload of `length` bytes at `start`, which begins like a Send indication. Returns [`Reason::Forwarded`] if
    /// it has the usual shape.
    #[inline(always)]
    pub(crate) fn parse<F: Frame>(&mut self, frame: &F, start: u32, length: u32) -> Reason {
        let mut words: Start = [0; 7];
        if length > LONGEST || !frame.read(start as usize, &mut words) {
            return Reason::UnusualIndication;
        }
        if words[1] != COOKIE.to_be() {
            return Reason::NotChannelData;
        }
        let [lengths, peer] = [u32::from_be(words[5]), u32::from_be(words[6])];
        let mut sum = sum(&words);
        let mut data: [u32; 1] = [0];
        let is_v6 = lengths == PEER_V6;
        self.header = header_length(is_v6);
        if is_v6 {
            let mut address: [u32; 5] = [0; 5];
            if peer & 0xffff_0000 != V6 || !frame.read((start + START) as usize, &mut address) {
                return Reason::UnusualIndication;
            }
            let [a, b, c, d, attribute] = address;
            sum += self::sum(&address);
            self.peer = Address([a ^ words[1], b ^ words[2], c ^ words[3], d ^ words[4]]);
            data[0] = attribute;
        } else {
            let mut address: [u32; 2] = [0; 2];
            if lengths != PEER_V4 || peer & 0xffff_0000 != V4 || !frame.read((start + START) as usize, &mut address) {
                return Reason::UnusualIndication;
            }
            sum += self::sum(&address);
            self.peer = Address::from_v4_word(address[0] ^ words[1]);
            data[0] = address[1];
        }
        self.peer_port = Be16::low_bits_of(peer ^ (COOKIE >> 16));
        let data = u32::from_be(data[0]);
        let payload = data & 0xffff;
        if payload > LONGEST {
            return Reason::UnusualIndication;
        }
        let padding = padding(payload);
        let whole = self.header + payload + padding;
        self.has_fingerprint = u8::from(whole + FINGERPRINT_LENGTH == length);
        if data & 0xffff_0000 != DATA_ATTRIBUTE
            || (whole != length && self.has_fingerprint == 0)
            || u32::from_be(words[0]) != u32::from(SEND) << 16 | (length - STUN_HEADER)
        {
            return Reason::UnusualIndication;
        }
        let end = start + whole;
        if padding != 0 {
            let mut last: [u32; 1] = [0];
            if end < 4 || !frame.read_far((end - 4) as usize, &mut last) {
                return Reason::Truncated;
            }
            // Padding may have any value, and is part of the sum.
            sum += u64::from((u32::from_be(last[0]) & ((1 << (8 * padding)) - 1)).to_be());
        }
        if self.has_fingerprint != 0 {
            let mut fingerprint: [u32; 2] = [0; 2];
            if !frame.read_far(end as usize, &mut fingerprint) {
                return Reason::Truncated;
            }
            if u32::from_be(fingerprint[0]) != FINGERPRINT {
                return Reason::UnusualIndication;
            }
            sum += self::sum(&fingerprint);
        }
        self.payload = payload;
        self.sum = fold_words(sum + 2 * u64::from(Be16::low_bits_of(length - payload).raw()));
        Reason::Forwarded
    }
}

/// Whether the Send indication with its data at offset `data` of the frame is for this peer.
#[inline(always)]
pub(crate) fn is_for<F: Frame>(frame: &F, data: u32, peer: &Address, port: Be16) -> bool {
    let is_v6 = !peer.is_v4();
    let header = header_length(is_v6);
    // If the peer's family is the other one, these words are something else, or in front of the packet.
    let mut words: Start = [0; 7];
    if data < header || !frame.read((data - header) as usize, &mut words) {
        return false;
    }
    let [p, q, r, s] = peer.0;
    let mut differences = (u32::from_be(words[5]) ^ if is_v6 { PEER_V6 } else { PEER_V4 })
        | (u32::from_be(words[6]) & 0xffff ^ (COOKIE >> 16) ^ u32::from(port.get()));
    let address = (data - header + START) as usize;
    if is_v6 {
        let mut there: [u32; 4] = [0; 4];
        if !frame.read(address, &mut there) {
            return false;
        }
        differences |=
            there[0] ^ words[1] ^ p | there[1] ^ words[2] ^ q | there[2] ^ words[3] ^ r | there[3] ^ words[4] ^ s;
    } else {
        let mut there: [u32; 1] = [0];
        if !frame.read(address, &mut there) {
            return false;
        }
        differences |= there[0] ^ words[1] ^ s;
    }
    differences == 0
}

/// The bytes before the data of a Data indication.
#[derive(Clone, Copy, Default)]
pub(crate) struct Data {
    start: Start,
    /// An IPv4 address is in the last word.
    address: [u32; 4],
    attribute: u32,
}

impl Data {
    /// For `payload` bytes from `peer`, with this family and transaction ID.
    #[inline(always)]
    pub(crate) fn new(peer: &Address, port: Be16, is_v6: bool, payload: u32, transaction: [u32; 3]) -> Self {
        let length = header_length(is_v6) - STUN_HEADER + payload + padding(payload);
        let [a, b, c] = transaction;
        let cookie = COOKIE.to_be();
        let (attribute, family) = if is_v6 { (PEER_V6, V6) } else { (PEER_V4, V4) };
        let port = u32::from(port.get()) ^ (COOKIE >> 16);
        let [p, q, r, s] = peer.0;
        Self {
            start: [
                (u32::from(DATA.get()) << 16 | length).to_be(),
                cookie,
                a,
                b,
                c,
                attribute.to_be(),
                (family | port).to_be(),
            ],
            address: if is_v6 { [p ^ cookie, q ^ a, r ^ b, s ^ c] } else { [0, 0, 0, s ^ cookie] },
            attribute: (DATA_ATTRIBUTE | payload).to_be(),
        }
    }

    /// Its one's complement sum.
    #[inline(always)]
    pub(crate) fn sum(&self) -> u64 {
        sum(&self.start) + sum(&self.address) + u64::from(self.attribute)
    }

    /// Writes it at `offset`.
    #[inline(always)]
    pub(crate) fn write<F: Frame>(&self, frame: &mut F, offset: usize, is_v6: bool) -> bool {
        let address = offset + START as usize;
        frame.write(offset, &self.start)
            && if is_v6 {
                frame.write(address, &self.address) && frame.write(address + 16, &[self.attribute])
            } else {
                frame.write(address, &[self.address[3], self.attribute])
            }
    }
}

/// The sum of the words, which cannot overflow.
#[inline(always)]
fn sum<const WORDS: usize>(words: &[u32; WORDS]) -> u64 {
    let mut sum = 0;
    let mut word = 0;
    while word < WORDS {
        sum += u64::from(words[word]);
        word += 1;
    }
    sum
}
