//! The DONT-FRAGMENT attribute: [RFC 8656, section 14](https://www.rfc-editor.org/rfc/rfc8656#section-14).

use std::{net::SocketAddr, ops::Range};

use crate::{AllocationPort, Config, DropReason, Encapsulation, FiveTuple, Forward, Server};

impl Config {
    /// Whether a client may ask for the DF bit. It can do so in Send indications only, so not if these are off.
    pub(crate) const fn knows_dont_fragment(&self) -> bool {
        self.dont_fragment && self.indications
    }
}

impl Server {
    /// Whether data that the client of `from` sends to `to`, in a Send indication with DONT-FRAGMENT, leaves with the DF bit. If
    /// one of the two addresses is IPv6, the attribute must be ignored
    /// ([sections 13.1 to 13.3](https://www.rfc-editor.org/rfc/rfc8656#section-13)).
    ///
    /// # Errors
    ///
    /// When the DF bit cannot be set. The attribute then counts as unknown
    /// ([section 11.2](https://www.rfc-editor.org/rfc/rfc8656#section-11.2)).
    #[cold]
    pub(crate) fn is_unfragmented(&self, from: &FiveTuple, to: SocketAddr) -> Result<bool, DropReason> {
        let is_v4 = from.client.address().is_ipv4() && to.is_ipv4();
        if is_v4 && !self.config.knows_dont_fragment() {
            return Err(DropReason::UnknownAttribute);
        }
        Ok(is_v4)
    }

    /// Like [`Self::route_to_ourselves`], with the DF bit if the data leaves by the socket.
    #[cold]
    pub(crate) fn route_unfragmented_to_ourselves(
        &mut self,
        port: AllocationPort,
        to: SocketAddr,
        payload: Range<usize>,
        refused: &mut Option<DropReason>,
    ) -> Option<Forward> {
        let mut forward = self.route_to_ourselves(port, to, payload, refused)?;
        if forward.encapsulation == Encapsulation::Bare {
            forward.encapsulation = Encapsulation::Unfragmented;
        }
        Some(forward)
    }
}
