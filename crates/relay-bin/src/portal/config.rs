use portal_client::{Endpoint, Limits, Token};

/// How to register with a portal.
#[derive(Clone, Debug)]
pub(crate) struct PortalConfig {
    pub(crate) endpoint: Endpoint,
    pub(crate) token: Token,
    pub(crate) name: Option<String>,
    pub(crate) limits: Limits,
}
