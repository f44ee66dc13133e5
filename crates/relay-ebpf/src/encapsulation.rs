//! What application data is wrapped in.

/// What the application data of a datagram is wrapped in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Encapsulation {
    /// Nothing: between the relay and a peer.
    Bare,
    /// ChannelData of this number (<https://www.rfc-editor.org/rfc/rfc8656#section-12.4>): between a client and the relay.
    Channel(u16),
    /// A Send indication, when it comes from a client, or a Data indication, when it goes to one
    /// (<https://www.rfc-editor.org/rfc/rfc8656#section-11>).
    Indication,
}
