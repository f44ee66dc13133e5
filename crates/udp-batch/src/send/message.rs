use std::net::{IpAddr, SocketAddr};

/// One datagram to send.
#[derive(Clone, Copy, Debug)]
pub struct Message<'a> {
    /// The source address; `None` for the address that the socket is bound to or, if that is unspecified, the kernel's choice.
    pub source: Option<IpAddr>,
    /// The destination.
    pub to: SocketAddr,
    /// The traffic class: DSCP in the upper six bits, ECN in the lower two.
    pub traffic_class: u8,
    /// The beginning of the content.
    pub header: &'a [u8],
    /// The rest of the content.
    pub payload: &'a [u8],
    /// How many zeros follow the payload: at most 3.
    pub padding: u8,
}

impl<'a> Message<'a> {
    /// A datagram to `to` with this content, and defaults for everything else.
    #[must_use]
    pub const fn new(to: SocketAddr, payload: &'a [u8]) -> Self {
        Self { source: None, to, traffic_class: 0, header: &[], payload, padding: 0 }
    }

    #[inline]
    pub(super) fn length(&self) -> usize {
        self.header.len() + self.payload.len() + self.zeros().len()
    }

    /// The padding.
    #[inline]
    pub(super) fn zeros(&self) -> &'static [u8] {
        static ZEROS: [u8; 3] = [0; 3];
        &ZEROS[..ZEROS.len().min(usize::from(self.padding))]
    }
}
