//! Handles CreatePermission requests, and installs permissions.

use std::{collections::BTreeSet, net::IpAddr};

use allocation::{PermitError, Permitted};
use stun_msg::{CreatePermission, Response};

use crate::{AllocationId, Event, Rejection, Server, Timestamp, requester::Requester};

impl Server {
    /// [RFC 8656, section 10.2](https://www.rfc-editor.org/rfc/rfc8656#section-10.2).
    ///
    /// Without indications, permissions have no use, as channels need none. The request is still checked and answered, since common
    /// clients send it before ChannelBind.
    pub(crate) fn handle_create_permission(
        &mut self,
        now: Timestamp,
        requester: &Requester,
        id: AllocationId,
        request: &CreatePermission,
    ) -> Result<(), Rejection> {
        if request.peers.is_empty() {
            return Err(Rejection::NoPeerAddress);
        }
        for peer in &request.peers {
            self.check_family(id, peer.ip())?;
            self.check_peer_address(requester.five_tuple, *peer)?;
        }
        let addresses = request.peers.iter().map(|peer| peer.ip()).collect();
        self.permit(now, id, &addresses)?;
        self.succeed(requester, Response::create_permission_success(requester.transaction));
        Ok(())
    }

    /// Whether [`Self::permit`] would succeed.
    pub(crate) fn check_permissions(&self, id: AllocationId, addresses: &BTreeSet<IpAddr>) -> Result<(), Rejection> {
        if !self.config.indications {
            return Ok(());
        }
        self.allocations.can_permit(id, addresses).map_err(rejection)
    }

    /// Installs or refreshes permissions for all of `addresses`, or for none of them. Does nothing if indications are off.
    pub(crate) fn permit(
        &mut self,
        now: Timestamp,
        id: AllocationId,
        addresses: &BTreeSet<IpAddr>,
    ) -> Result<(), Rejection> {
        if !self.config.indications {
            return Ok(());
        }
        let permitted = self.allocations.permit(now, id, addresses).map_err(rejection)?;
        for (address, permitted) in addresses.iter().zip(permitted) {
            let renewal = permitted == Permitted::Refreshed;
            self.emit(Event::PermissionInstalled { id, address: *address, renewal });
        }
        Ok(())
    }
}

const fn rejection(error: PermitError) -> Rejection {
    match error {
        PermitError::UnknownAllocation(_) => Rejection::NoAllocation,
        PermitError::TooManyPermissions { limit } => Rejection::TooManyPermissions { limit },
        PermitError::NoPermissionLeft { .. } => Rejection::NoPermissionLeft,
    }
}
