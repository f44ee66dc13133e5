use stun_msg::Response;

use crate::{Server, request::Asker};

impl Server {
    /// [RFC 8489, section 6.3.1.1](https://www.rfc-editor.org/rfc/rfc8489#section-6.3.1.1): tells the client its address.
    pub(crate) fn handle_binding(&mut self, asker: &Asker) {
        self.succeed(asker, Response::binding_success(asker.transaction, asker.five_tuple.client.address()));
    }
}
