/// Why a request was refused; [`Self::error_code`] says what its client hears.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum Rejection {
    /// No MESSAGE-INTEGRITY.
    #[error("the request is not authenticated")]
    Unauthenticated,
}

impl Rejection {
    /// The ERROR-CODE on the wire, 300 to 699.
    #[must_use]
    pub const fn error_code(self) -> u16 {
        match self {
            Self::Unauthenticated => 401,
        }
    }
}
