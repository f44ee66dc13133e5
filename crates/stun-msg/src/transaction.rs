use std::fmt;

use crate::Method;

/// The [transaction ID](https://www.rfc-editor.org/rfc/rfc8489#section-5) of a request and its response, 96 bits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TransactionId(pub [u8; 12]);

impl fmt::Display for TransactionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for TransactionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TransactionId({self})")
    }
}

impl From<TransactionId> for stun_types::message::TransactionId {
    fn from(TransactionId(bytes): TransactionId) -> Self {
        bytes.iter().fold(0_u128, |id, byte| id << 8 | u128::from(*byte)).into()
    }
}

/// The fields that a [`Response`](crate::Response) copies from its request: keep them to respond later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Transaction {
    /// The method of request and response.
    pub method: Method,
    /// The transaction ID of request and response.
    pub id: TransactionId,
    /// Whether the request carried a FINGERPRINT; the response then does, too.
    pub fingerprint: bool,
}
