use crate::ChannelNumber;

/// How data from a peer is delivered to the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ToClient {
    /// In ChannelData.
    Channel(ChannelNumber),
    /// In a Data indication.
    Indication,
}
