//! Handles ChannelBind requests.

use std::collections::BTreeSet;

use allocation::{BindError, Bound};
use stun_msg::{ChannelBind, Response};

use crate::{AllocationId, ChannelNumber, Event, PeerSocket, Rejection, Server, Timestamp, requester::Requester};

impl Server {
    /// [RFC 8656, section 12.2](https://www.rfc-editor.org/rfc/rfc8656#section-12.2).
    pub(crate) fn handle_channel_bind(
        &mut self,
        now: Timestamp,
        requester: &Requester,
        id: AllocationId,
        request: &ChannelBind,
    ) -> Result<(), Rejection> {
        let number = request.channel.ok_or(Rejection::NoChannelNumber)?;
        let peer = request.peer.ok_or(Rejection::NoPeerAddress)?;
        let channel = ChannelNumber::new(number).ok_or(Rejection::ChannelOutOfRange { number })?;
        self.check_family(id, peer.ip())?;
        self.check_peer(requester.five_tuple, peer)?;

        // ChannelBind also installs a permission: https://www.rfc-editor.org/rfc/rfc8656#section-9
        let addresses = BTreeSet::from([peer.ip()]);
        self.check_permissions(id, &addresses)?;
        let peer = PeerSocket::new(peer);
        let bound = self.allocations.bind_channel(now, id, channel, peer).map_err(|error| match error {
            BindError::ChannelInUse => Rejection::ChannelInUse,
            BindError::PeerHasAnotherChannel => Rejection::PeerInUse,
            BindError::UnknownAllocation(_) => Rejection::NoAllocation,
            BindError::TooManyChannels { limit } => Rejection::TooManyChannels { limit },
            BindError::NoChannelLeft { .. } => Rejection::NoChannelLeft,
        })?;
        self.permit(now, id, &addresses)?;
        // Before the response: data that the client sends after it must not overtake data that the state machine is still relaying.
        if bound != Bound::Refreshed {
            self.install_flows(id, channel, peer);
        }
        self.succeed(requester, Response::channel_bind_success(requester.transaction));
        let renewal = match bound {
            Bound::New => false,
            Bound::Refreshed | Bound::Rebound => true,
        };
        self.emit(Event::ChannelBound { id, channel, peer, renewal });
        Ok(())
    }
}
