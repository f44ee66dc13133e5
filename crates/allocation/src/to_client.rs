use crate::ChannelNumber;

/// How a client hears of what a peer sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ToClient {
    /// In ChannelData.
    Channel(ChannelNumber),
    /// In a Data indication.
    Indication,
}
