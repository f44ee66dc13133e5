//! The errors of a world.

use relay_server::RealmError;
use stun_types::message::StunWriteError;

/// Why a world cannot do something.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WorldError {
    /// The request cannot be written.
    #[error("the request does not fit a STUN message: {0}")]
    Unwritable(#[from] StunWriteError),
    /// The relay cannot be made.
    #[error(transparent)]
    Realm(#[from] RealmError),
    /// There is no such client.
    #[error("there is no client {0}")]
    NoClient(usize),
    /// The client knows of no allocation.
    #[error("the client has no relayed transport address yet: allocate first")]
    NotAllocated,
    /// The client has sent nothing that could be repeated.
    #[error("the client has not sent anything yet")]
    NothingSent,
}
