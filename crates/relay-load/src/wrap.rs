//! The encapsulation of application data between a client and its server.

use std::{borrow::Cow, net::SocketAddr, ops::Range};

use crate::client::{CHANNEL, Step};

/// How a sender encapsulates data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wrap {
    /// Not at all: a peer.
    Bare,
    /// In ChannelData with this channel number.
    Channel(u16),
    /// In a Send indication to this peer.
    Send(SocketAddr),
}

impl Wrap {
    /// The encapsulation that `grant` allows.
    pub(crate) const fn of(grant: Step) -> Self {
        match grant {
            Step::Bind(_) => Self::Channel(CHANNEL),
            Step::Permit(peer) => Self::Send(peer),
            Step::Allocate | Step::Refresh | Step::Delete => Self::Bare,
        }
    }
}

/// A prepared datagram without its payload, so that sending costs the load program little.
#[derive(Clone, Debug)]
pub(crate) struct Wrapper {
    made_for: (Wrap, usize),
    template: Vec<u8>,
    payload: Range<usize>,
}

impl Wrapper {
    fn new(wrap: Wrap, size: usize) -> Self {
        let payload = vec![0; size];
        let (template, start) = match wrap {
            Wrap::Bare => (payload, 0),
            Wrap::Channel(channel) => {
                let mut datagram = Vec::new();
                turn_client::encode_channel_data(channel, &payload, &mut datagram);
                (datagram, 4)
            }
            // Servers ignore the transaction ID of an indication, so it need not change.
            Wrap::Send(peer) => {
                let start = if peer.is_ipv4() { 36 } else { 48 };
                (turn_client::encode_send_indication(peer, &payload, 7, false), start)
            }
        };
        Self { made_for: (wrap, size), template, payload: start..start + size }
    }

    /// The position of the payload.
    pub(crate) fn payload(&self) -> Range<usize> {
        self.payload.clone()
    }

    /// The length of the datagram.
    pub(crate) const fn len(&self) -> usize {
        self.template.len()
    }

    /// Writes everything but the payload.
    pub(crate) fn write(&self, datagram: &mut [u8]) {
        let Range { start, end } = self.payload;
        datagram[..start].copy_from_slice(&self.template[..start]);
        datagram[end..].copy_from_slice(&self.template[end..]);
    }
}

/// The wrappers of all routes.
#[derive(Debug, Default)]
pub(crate) struct Wrappers(Vec<Option<Wrapper>>);

impl Wrappers {
    /// The wrapper of route number `index`, for `size` bytes in `wrap`.
    pub(crate) fn of(&mut self, index: usize, wrap: Wrap, size: usize) -> &Wrapper {
        if index >= self.0.len() {
            self.0.resize(index + 1, None);
        }
        let current = self.0[index].take().filter(|wrapper| wrapper.made_for == (wrap, size));
        self.0[index].insert(current.unwrap_or_else(|| Wrapper::new(wrap, size)))
    }
}

/// The application data in a datagram from a server to a client.
pub(crate) fn unwrap(datagram: &[u8]) -> Option<Cow<'_, [u8]>> {
    match turn_client::decode_channel_data(datagram) {
        Some((_, payload)) => Some(Cow::Borrowed(payload)),
        None => turn_client::decode_data_indication(datagram).map(|(_, payload)| Cow::Owned(payload)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_payload_is_where_it_belongs() {
        for (wrap, size, len) in [
            (Wrap::Bare, 201, 201),
            (Wrap::Channel(0x4001), 201, 205),
            (Wrap::Send("198.51.100.9:7000".parse().unwrap()), 201, 36 + 204),
            (Wrap::Send("[2001:db8::9]:7000".parse().unwrap()), 201, 48 + 204),
        ] {
            let mut wrappers = Wrappers::default();
            let wrapper = wrappers.of(0, wrap, size).clone();
            let mut datagram = vec![9; wrapper.len()];
            wrapper.write(&mut datagram);
            datagram[wrapper.payload()].fill(7);
            assert_eq!((datagram.len(), wrapper.payload().len()), (len, size));
            let expected = match wrap {
                Wrap::Bare => vec![7; size],
                Wrap::Channel(_) => unwrap(&datagram).unwrap().into_owned(),
                Wrap::Send(_) => {
                    // The datagram of a server differs only in the method.
                    datagram[1] = 0x17;
                    unwrap(&datagram).unwrap().into_owned()
                }
            };
            assert_eq!(expected, vec![7; size], "{wrap:?}");
        }
    }
}
