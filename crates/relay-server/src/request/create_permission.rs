use stun_msg::{CreatePermission, Response};

use crate::{AllocationId, Rejection, Server, peer_policy, request::Asker};

impl Server {
    /// [RFC 8656, section 10.2](https://www.rfc-editor.org/rfc/rfc8656#section-10.2).
    ///
    /// Data is relayed through channels only, and a channel carries its own permission: the request is checked and answered,
    /// since stock clients send it before they bind a channel, and changes nothing.
    pub(crate) fn handle_create_permission(
        &mut self,
        asker: &Asker,
        id: AllocationId,
        request: &CreatePermission,
    ) -> Result<(), Rejection> {
        if request.peers.is_empty() {
            return Err(Rejection::NoPeerAddress);
        }
        for peer in &request.peers {
            self.check_family(id, peer.ip())?;
            peer_policy::check_permission(peer.ip())?;
        }
        self.succeed(asker, Response::create_permission_success(asker.transaction));
        Ok(())
    }
}
