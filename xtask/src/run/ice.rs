//! The ICE server JSON that the relay prints.

use std::net::SocketAddr;

use serde_json::{Deserializer, Value};

/// How to use a relay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct IceServer {
    /// Where its `turn:` URLs point, with addresses instead of names.
    pub(crate) addresses: Vec<SocketAddr>,
    /// The username.
    pub(crate) username: String,
    /// The password.
    pub(crate) credential: String,
}

/// Finds the JSON among the lines of a program's output.
#[derive(Default)]
pub(crate) struct Finder {
    text: String,
}

impl Finder {
    /// The next line; the ICE server, when this line completes one.
    pub(crate) fn line(&mut self, line: &str) -> Option<IceServer> {
        if self.text.is_empty() {
            let start = line.find(['{', '['])?;
            self.text = line[start..].to_owned();
        } else {
            self.text.push('\n');
            self.text += line;
        }
        match Deserializer::from_str(&self.text).into_iter::<Value>().next() {
            Some(Ok(value)) => {
                self.text.clear();
                server_in(&value)
            }
            Some(Err(error)) if error.is_eof() => None,
            _ => {
                self.text.clear();
                None
            }
        }
    }
}

fn server_in(value: &Value) -> Option<IceServer> {
    let found = match value {
        Value::Object(object) => {
            let text = |name: &str| object.get(name).and_then(Value::as_str).map(str::to_owned);
            let server = || {
                let addresses = addresses_in(object.get("urls")?);
                Some(IceServer { addresses, username: text("username")?, credential: text("credential")? })
            };
            server().or_else(|| object.values().find_map(server_in))
        }
        Value::Array(values) => values.iter().find_map(server_in),
        _ => None,
    };
    found.filter(|server| !server.addresses.is_empty())
}

fn addresses_in(urls: &Value) -> Vec<SocketAddr> {
    let urls = match urls {
        Value::Array(urls) => urls.iter().filter_map(Value::as_str).collect(),
        Value::String(url) => vec![url.as_str()],
        _ => Vec::new(),
    };
    urls.into_iter().filter_map(address_of).collect()
}

/// The address in `turn:192.0.2.1:3478?transport=udp`; the port is 3478 if there is none.
fn address_of(url: &str) -> Option<SocketAddr> {
    let place = url.strip_prefix("turn:")?.split('?').next()?;
    let with_port = || place.parse().ok();
    let without_port = || Some(SocketAddr::new(place.trim_matches(['[', ']']).parse().ok()?, 3478));
    with_port().or_else(without_port)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Option<IceServer> {
        let mut finder = Finder::default();
        text.lines().find_map(|line| finder.line(line))
    }

    #[test]
    fn finds_the_server_on_one_line_and_on_many() {
        let expected = IceServer {
            addresses: vec!["192.0.2.1:3479".parse().unwrap(), "[2001:db8::1]:3478".parse().unwrap()],
            username: "1:a".to_owned(),
            credential: "b".to_owned(),
        };
        let compact = r#"x {y} ice {"urls":["stun:192.0.2.1","turn:192.0.2.1:3479?transport=udp","turn:[2001:db8::1]"],"username":"1:a","credential":"b"}"#;
        assert_eq!(found(&compact[6..]), Some(expected.clone()));
        let nested = "Hello {\n{\n  \"iceServers\": [\n {\"urls\": [\"turn:192.0.2.1:3479\", \"turn:[2001:db8::1]:3478\"],\n\"username\": \"1:a\",\n\"credential\": \"b\"}]\n}";
        assert_eq!(found(&nested[8..]), Some(expected));
    }

    #[test]
    fn finds_none_where_there_is_none() {
        assert_eq!(
            found("{ not json\n[1, 2]\n{\"urls\": \"turn:relay.example\", \"username\": \"a\", \"credential\": \"b\"}"),
            None
        );
    }
}
