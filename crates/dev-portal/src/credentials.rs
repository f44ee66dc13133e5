use std::{
    fmt::Write as _,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use serde::Serialize;
use turn_auth::{Credentials, UnixTime};

use crate::registry::Relay;

/// How long minted credentials are valid.
const LIFETIME: Duration = Duration::from_secs(24 * 60 * 60);

/// An [`RTCConfiguration`](https://www.w3.org/TR/webrtc/#dom-rtcconfiguration), ready for a browser.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Configuration {
    ice_servers: Vec<IceServer>,
}

#[derive(Debug, Serialize)]
struct IceServer {
    urls: Vec<String>,
    username: String,
    credential: String,
}

/// Mints credentials for every one of `relays`, each with its own secret.
///
/// # Errors
/// When the operating system has no randomness.
pub(crate) fn mint(relays: &[Relay], now: UnixTime) -> Result<Configuration, getrandom::Error> {
    let ice_servers = relays.iter().map(|relay| ice_server(relay, now)).collect::<Result<_, _>>()?;
    Ok(Configuration { ice_servers })
}

fn ice_server(relay: &Relay, now: UnixTime) -> Result<IceServer, getrandom::Error> {
    let expiry = UnixTime(now.0.saturating_add(LIFETIME.as_secs()));
    let Credentials { username, password } = Credentials::mint(&relay.secret, expiry, &random_text::<8>()?);
    let announced = &relay.announcement;
    let addresses = [announced.ipv4.map(IpAddr::V4), announced.ipv6.map(IpAddr::V6)];
    let url = |address: IpAddr| format!("turn:{}?transport=udp", SocketAddr::new(address, announced.port));
    Ok(IceServer {
        urls: addresses.into_iter().flatten().map(url).collect(),
        username,
        credential: password.to_string(),
    })
}

/// That many random bytes as hexadecimal digits.
pub(crate) fn random_text<const BYTES: usize>() -> Result<String, getrandom::Error> {
    let mut bytes = [0; BYTES];
    getrandom::fill(&mut bytes)?;
    Ok(bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    }))
}

#[cfg(test)]
mod tests {
    use turn_auth::{AuthSecret, Credentials, UnixTime};

    use super::mint;
    use crate::registry::{Announcement, Relay};

    #[test]
    fn credentials_are_made_with_each_relays_own_secret() {
        let secret = AuthSecret::from_random([9; 32]);
        let relay = Relay {
            announcement: Announcement {
                name: None,
                ipv4: Some([192, 0, 2, 1].into()),
                ipv6: Some("2001:db8::1".parse().unwrap()),
                port: 3478,
                user_agent: String::new(),
            },
            since: 0,
            heartbeats: 0,
            secret: secret.clone(),
        };
        let json = serde_json::to_value(mint(&[relay], UnixTime(1_000)).unwrap()).unwrap();
        let server = &json["iceServers"][0];
        assert_eq!(server["urls"][0], "turn:192.0.2.1:3478?transport=udp");
        assert_eq!(server["urls"][1], "turn:[2001:db8::1]:3478?transport=udp");
        let (expiry, salt) = server["username"].as_str().unwrap().split_once(':').unwrap();
        assert_eq!(expiry, "87400");
        let expected = Credentials::mint(&secret, UnixTime(87_400), salt);
        assert_eq!(server["credential"], expected.password.as_str());
    }
}
