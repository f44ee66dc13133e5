use std::net::{IpAddr, SocketAddr};

/// Takes values from the beginning of an input; zeros when it is used up.
pub(crate) struct Input<'a>(pub(crate) &'a [u8]);

impl<'a> Input<'a> {
    pub(crate) fn array<const N: usize>(&mut self) -> [u8; N] {
        let mut array = [0; N];
        let taken = self.bytes(N);
        array[..taken.len()].copy_from_slice(taken);
        array
    }

    pub(crate) fn byte(&mut self) -> u8 {
        self.array::<1>()[0]
    }

    pub(crate) fn u16(&mut self) -> u16 {
        u16::from_be_bytes(self.array())
    }

    pub(crate) fn u64(&mut self) -> u64 {
        u64::from_be_bytes(self.array())
    }

    pub(crate) fn flag(&mut self) -> bool {
        self.byte() & 1 == 1
    }

    pub(crate) fn address(&mut self) -> SocketAddr {
        let ip = if self.flag() { IpAddr::from(self.array::<16>()) } else { IpAddr::from(self.array::<4>()) };
        SocketAddr::new(ip, self.u16())
    }

    /// At most `len` bytes.
    pub(crate) fn bytes(&mut self, len: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(len.min(self.0.len()));
        self.0 = rest;
        taken
    }

    /// At most 255 bytes, by a length in front.
    pub(crate) fn short_bytes(&mut self) -> &'a [u8] {
        let len = self.byte();
        self.bytes(len.into())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// A STUN message of this type with the attributes that an input holds: type, length in one byte, value. So nothing is wasted
/// on guessing magic cookies and lengths.
pub(crate) fn message(message_type: u16, input: &mut Input<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    bytes.extend((message_type & 0x3FFF).to_be_bytes());
    bytes.extend([0, 0, 0x21, 0x12, 0xA4, 0x42]);
    bytes.extend(*b"transaction!");
    while !input.is_empty() && bytes.len() < 4096 {
        let kind = input.u16();
        push(&mut bytes, kind, input.short_bytes());
    }
    bytes
}

/// Appends an attribute and counts it in the header.
pub(crate) fn push(bytes: &mut Vec<u8>, kind: u16, value: &[u8]) {
    let len = u16::try_from(value.len()).expect("a short value");
    bytes.extend(kind.to_be_bytes());
    bytes.extend(len.to_be_bytes());
    bytes.extend(value);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    let length = u16::try_from(bytes.len() - 20).expect("a short message");
    bytes[2..4].copy_from_slice(&length.to_be_bytes());
}
