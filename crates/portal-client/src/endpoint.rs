use std::sync::Arc;

use http::{
    HeaderName, HeaderValue, Request, Uri,
    header::{HOST, USER_AGENT},
    uri::Scheme,
};
use rustls::ClientConfig;
use tokio_tungstenite::tungstenite::handshake::client::generate_key;

use crate::{Registration, TlsError, Token, TrustedRoots};

const PATH: &str = "/relay/websocket";
const X_AUTHORIZATION: HeaderName = HeaderName::from_static("x-authorization");

/// The URL of the portal, and the TLS configuration that verifies its certificate.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// Scheme, authority and path.
    base: String,
    authority: HeaderValue,
    host: String,
    port: u16,
    /// `None` for a connection without encryption.
    tls: Option<Arc<ClientConfig>>,
}

impl Endpoint {
    /// The relay's end point at the portal whose base URL is `api_url` (`wss`, `https`, `ws` or `http`). Reads the
    /// certificate authorities if the scheme is `wss` or `https`.
    ///
    /// # Errors
    /// When `api_url` is not such a URL, or TLS is needed and cannot be set up.
    pub fn new(api_url: &str, trusted_roots: &TrustedRoots) -> Result<Self, EndpointError> {
        let mut endpoint = Self::parse(api_url)?;
        if endpoint.base.starts_with("wss:") {
            endpoint.tls = Some(trusted_roots.client_config()?);
        }
        Ok(endpoint)
    }

    fn parse(api_url: &str) -> Result<Self, ApiUrlError> {
        let base: Uri = api_url.trim().parse().map_err(|_invalid| ApiUrlError::NotAUrl)?;
        let tls = match base.scheme().map(Scheme::as_str) {
            Some("wss" | "https") => true,
            Some("ws" | "http") => false,
            Some(_) | None => return Err(ApiUrlError::Scheme),
        };
        let authority = base.authority().ok_or(ApiUrlError::NotAUrl)?;
        if authority.as_str().contains('@') {
            return Err(ApiUrlError::UserInfo);
        }
        if base.query().is_some() || api_url.contains('#') {
            return Err(ApiUrlError::Query);
        }
        let host = authority.host();
        let port = match authority.as_str().strip_prefix(host) {
            Some("") => None,
            Some(_) => Some(authority.port_u16().filter(|port| *port != 0).ok_or(ApiUrlError::Port)?),
            None => return Err(ApiUrlError::NotAUrl),
        };
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        if host.is_empty() {
            return Err(ApiUrlError::NotAUrl);
        }

        let scheme = if tls { "wss" } else { "ws" };
        let path = base.path().trim_end_matches('/');
        let base = format!("{scheme}://{authority}{path}{PATH}");
        let authority = HeaderValue::from_str(authority.as_str()).map_err(|_invalid| ApiUrlError::NotAUrl)?;
        Ok(Self { base, authority, host, port: port.unwrap_or(if tls { 443 } else { 80 }), tls: None })
    }

    /// The host name, or the address without brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The TCP port.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// Whether the connection is encrypted.
    #[must_use]
    pub const fn is_encrypted(&self) -> bool {
        self.tls.is_some()
    }

    pub(crate) fn tls(&self) -> Option<Arc<ClientConfig>> {
        self.tls.clone()
    }

    /// A fresh WebSocket handshake, <https://www.rfc-editor.org/rfc/rfc6455#section-4.1>.
    pub(crate) fn request(
        &self,
        registration: &Registration,
        token: &Token,
        user_agent: &HeaderValue,
    ) -> Result<Request<()>, http::Error> {
        Request::builder()
            .uri(format!("{}{}", self.base, registration.query()))
            .header(HOST, self.authority.clone())
            .header("Connection", "Upgrade")
            .header("Upgrade", "websocket")
            .header("Sec-WebSocket-Version", "13")
            .header("Sec-WebSocket-Key", generate_key())
            .header(USER_AGENT, user_agent)
            .header(X_AUTHORIZATION, token.header_value())
            .body(())
    }
}

/// Why an [`Endpoint`] cannot be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EndpointError {
    /// The URL is not valid.
    #[error(transparent)]
    Url(#[from] ApiUrlError),
    /// TLS is needed and cannot be set up.
    #[error(transparent)]
    Tls(#[from] TlsError),
}

/// Why a string is not a valid base URL of a portal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ApiUrlError {
    /// It does not parse, or names no host.
    #[error("it is not a URL such as wss://api.firezone.dev")]
    NotAUrl,
    /// It has none of the four schemes.
    #[error("it must begin with wss://, https://, ws:// or http://")]
    Scheme,
    /// It contains a user name or a password.
    #[error("it must not hold a user name or a password; the token goes into FIREZONE_TOKEN")]
    UserInfo,
    /// It has a query or a fragment.
    #[error("it must not have a query (?) or a fragment (#)")]
    Query,
    /// Its port is not between 1 and 65535.
    #[error("its port is not a number between 1 and 65535")]
    Port,
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::{ApiUrlError, Endpoint, Registration};
    use crate::Token;

    fn endpoint(api_url: &str) -> Result<(String, String, u16, bool), ApiUrlError> {
        let Endpoint { base, host, port, .. } = Endpoint::parse(api_url)?;
        let tls = base.starts_with("wss:");
        Ok((base, host, port, tls))
    }

    #[test]
    fn schemes_are_mapped_to_web_sockets() {
        let expected = |uri: &str, port: u16, tls: bool| Ok((uri.to_owned(), "a.example".to_owned(), port, tls));
        assert_eq!(endpoint("wss://a.example"), expected("wss://a.example/relay/websocket", 443, true));
        assert_eq!(endpoint("https://a.example/"), expected("wss://a.example/relay/websocket", 443, true));
        assert_eq!(endpoint("ws://a.example:8081"), expected("ws://a.example:8081/relay/websocket", 8081, false));
        assert_eq!(endpoint(" http://a.example/x/ "), expected("ws://a.example/x/relay/websocket", 80, false));
    }

    #[test]
    fn an_ipv6_host_loses_its_brackets() {
        let uri = "ws://[::1]:4000/relay/websocket".to_owned();
        assert_eq!(endpoint("ws://[::1]:4000"), Ok((uri, "::1".to_owned(), 4000, false)));
    }

    #[test]
    fn what_is_not_a_base_address_is_refused() {
        assert_eq!(endpoint(""), Err(ApiUrlError::NotAUrl));
        assert_eq!(endpoint("wss://"), Err(ApiUrlError::NotAUrl));
        assert_eq!(endpoint("api.firezone.dev"), Err(ApiUrlError::Scheme));
        assert_eq!(endpoint("/relay"), Err(ApiUrlError::Scheme));
        assert_eq!(endpoint("ftp://a.example"), Err(ApiUrlError::Scheme));
        assert_eq!(endpoint("wss://user:secret@a.example"), Err(ApiUrlError::UserInfo));
        assert_eq!(endpoint("wss://a.example/?token=x"), Err(ApiUrlError::Query));
        assert_eq!(endpoint("wss://a.example/#x"), Err(ApiUrlError::Query));
        for url in ["wss://a.example:0", "wss://a.example:", "wss://a.example:99999"] {
            assert!(matches!(endpoint(url), Err(ApiUrlError::Port | ApiUrlError::NotAUrl)), "{url}");
        }
    }

    #[test]
    fn the_handshake_carries_token_and_user_agent() {
        let endpoint = Endpoint::parse("wss://a.example:8443").unwrap();
        let token = Token::new("abc def").unwrap();
        let registration = Registration { port: Some(3478), ..Registration::default() };
        let request =
            endpoint.request(&registration, &token, &HeaderValue::from_static("Debian/12 relay/1.0")).unwrap();
        let header = |name: &str| request.headers().get(name).unwrap().to_str().unwrap();
        assert_eq!(request.uri(), "wss://a.example:8443/relay/websocket?port=3478");
        assert_eq!(header("x-authorization"), "Bearer abcdef");
        assert_eq!(header("user-agent"), "Debian/12 relay/1.0");
        assert_eq!(header("host"), "a.example:8443");
        let again = endpoint.request(&registration, &token, &HeaderValue::from_static("x")).unwrap();
        assert_ne!(Some(header("sec-websocket-key")), again.headers()["sec-websocket-key"].to_str().ok());
    }
}
