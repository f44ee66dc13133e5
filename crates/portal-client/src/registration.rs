use std::{
    fmt::Write as _,
    net::{Ipv4Addr, Ipv6Addr},
};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// The characters to escape in a query: all but the unreserved ones of <https://www.rfc-editor.org/rfc/rfc3986#section-2.3>.
const QUERY_VALUE: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// What a relay tells the portal about itself when it connects.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Registration {
    /// A name to show to people.
    pub name: Option<String>,
    /// The public IPv4 address.
    pub ipv4: Option<Ipv4Addr>,
    /// The public IPv6 address.
    pub ipv6: Option<Ipv6Addr>,
    /// The UDP port that clients send to; the portal assumes 3478 if it is `None`.
    pub port: Option<u16>,
}

impl Registration {
    /// The URL query, beginning with `?`; empty if nothing is set.
    pub(crate) fn query(&self) -> String {
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

#[cfg(test)]
mod tests {
    use super::Registration;

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
}
