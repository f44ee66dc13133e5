//! The checked configuration of the portal.

use portal_client::{Endpoint, Limits, Token};

/// Where and how to register.
#[derive(Clone, Debug)]
pub(crate) struct PortalConfig {
    pub(crate) endpoint: Endpoint,
    pub(crate) token: Token,
    pub(crate) name: Option<String>,
    pub(crate) limits: Limits,
}
