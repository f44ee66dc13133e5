use std::{
    fmt::Write as _,
    net::{Ipv4Addr, Ipv6Addr},
};

use http::{
    HeaderName, HeaderValue, Request, Uri,
    header::{HOST, USER_AGENT},
    uri::Scheme,
};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use tokio_tungstenite::tungstenite::handshake::client::generate_key;

use crate::Token;

const PATH: &str = "/relay/websocket";
const X_AUTHORIZATION: HeaderName = HeaderName::from_static("x-authorization");

/// Everything but the unreserved characters of <https://www.rfc-editor.org/rfc/rfc3986#section-2.3>.
const QUERY_VALUE: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// What a relay tells the portal of itself when it connects.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Registration {
    /// A name for people.
    pub name: Option<String>,
    /// The public IPv4 address.
    pub ipv4: Option<Ipv4Addr>,
    /// The public IPv6 address.
    pub ipv6: Option<Ipv6Addr>,
    /// The UDP port that clients send to; the portal takes 3478 when it is not told.
    pub port: Option<u16>,
}

/// Where the portal is, and what to ask it for.
#[derive(Clone, Debug)]
pub struct Endpoint {
    uri: Uri,
    host: String,
    port: u16,
    tls: bool,
}

impl Endpoint {
    /// The relay's end point at the portal whose base address is `api_url` (`wss`, `https`, `ws` or `http`).
    ///
    /// # Errors
    /// When `api_url` is not such a URL.
    pub fn new(api_url: &str, registration: &Registration) -> Result<Self, ApiUrlError> {
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
        let uri = format!("{scheme}://{authority}{path}{PATH}{}", registration.query());
        let uri = uri.parse().map_err(|_invalid| ApiUrlError::NotAUrl)?;
        Ok(Self { uri, host, port: port.unwrap_or(if tls { 443 } else { 80 }), tls })
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
        self.tls
    }

    /// A fresh WebSocket handshake, <https://www.rfc-editor.org/rfc/rfc6455#section-4.1>.
    pub(crate) fn request(&self, token: &Token, user_agent: &HeaderValue) -> Result<Request<()>, http::Error> {
        Request::builder()
            .uri(self.uri.clone())
            .header(HOST, self.uri.authority().map_or("", |authority| authority.as_str()))
            .header("Connection", "Upgrade")
            .header("Upgrade", "websocket")
            .header("Sec-WebSocket-Version", "13")
            .header("Sec-WebSocket-Key", generate_key())
            .header(USER_AGENT, user_agent)
            .header(X_AUTHORIZATION, token.header_value())
            .body(())
    }
}

impl Registration {
    /// The query, beginning with `?`; empty when nothing is set.
    fn query(&self) -> String {
        let mut query = String::new();
        let mut push = |key: &str, value: &str| {
            let separator = if query.is_empty() { '?' } else { '&' };
            // Writing to a string cannot fail.
            let _ = write!(query, "{separator}{key}={}", utf8_percent_encode(value, QUERY_VALUE));
        };
        if let Some(name) = &self.name {
            push("name", name);
        }
        if let Some(ipv4) = self.ipv4 {
            push("ipv4", &ipv4.to_string());
        }
        if let Some(ipv6) = self.ipv6 {
            push("ipv6", &ipv6.to_string());
        }
        if let Some(port) = self.port {
            push("port", &port.to_string());
        }
        query
    }
}

/// Why a string cannot be the portal's base address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ApiUrlError {
    /// It does not parse, or names no host.
    #[error("it is not a URL such as wss://api.firezone.dev")]
    NotAUrl,
    /// It has none of the four schemes.
    #[error("it must begin with wss://, https://, ws:// or http://")]
    Scheme,
    /// It carries a user name or a password.
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
        let endpoint = Endpoint::new(api_url, &Registration::default())?;
        Ok((endpoint.uri.to_string(), endpoint.host.clone(), endpoint.port, endpoint.tls))
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
    fn the_query_holds_what_is_set_and_is_encoded() {
        let mut registration = Registration { port: Some(3478), ..Registration::default() };
        assert_eq!(registration.query(), "?port=3478");
        registration.name = Some("Zürich & co/1".to_owned());
        registration.ipv4 = Some([203, 0, 113, 7].into());
        registration.ipv6 = Some("2001:db8::7".parse().unwrap());
        assert_eq!(
            registration.query(),
            "?name=Z%C3%BCrich%20%26%20co%2F1&ipv4=203.0.113.7&ipv6=2001%3Adb8%3A%3A7&port=3478"
        );
        assert_eq!(Registration::default().query(), "");
    }

    #[test]
    fn the_handshake_carries_token_and_user_agent() {
        let endpoint = Endpoint::new("wss://a.example:8443", &Registration::default()).unwrap();
        let token = Token::new("abc def").unwrap();
        let request = endpoint.request(&token, &HeaderValue::from_static("Debian/12 relay/1.0")).unwrap();
        let header = |name: &str| request.headers().get(name).unwrap().to_str().unwrap();
        assert_eq!(header("x-authorization"), "Bearer abcdef");
        assert_eq!(header("user-agent"), "Debian/12 relay/1.0");
        assert_eq!(header("host"), "a.example:8443");
        let again = endpoint.request(&token, &HeaderValue::from_static("x")).unwrap();
        assert_ne!(Some(header("sec-websocket-key")), again.headers()["sec-websocket-key"].to_str().ok());
    }
}
