//! How a packet carries application data.

/// How a packet carries application data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Encapsulation {
    /// As a plain datagram, between the relay and a peer.
    Bare,
    /// In ChannelData with this number (<https://www.rfc-editor.org/rfc/rfc8656#section-12.4>), between a client and the relay.
    Channel(u16),
    /// In a Send indication from a client, or in a Data indication to a client
    /// (<https://www.rfc-editor.org/rfc/rfc8656#section-11>).
    Indication,
}
