//! What a standalone relay prints when it is up, so that it can be tried at once.

use std::net::{IpAddr, SocketAddr};

use turn_auth::UnixTime;

use crate::{
    config::{Config, Entropy},
    credentials::{DEFAULT_TTL, IceServer},
    family::Origin,
    output::Stream,
};

/// Has printed where the relay is, credentials for it, and how to mint more.
///
/// # Errors
///
/// When credentials cannot be drawn.
pub(crate) fn print(config: &Config, now: UnixTime, entropy: &impl Entropy, stdout: &Stream) -> Result<(), String> {
    // It is a courtesy: whoever closed stdout does not want it.
    stdout.say(text(config, now, entropy)?);
    Ok(())
}

fn text(config: &Config, now: UnixTime, entropy: &impl Entropy) -> Result<String, String> {
    let publics: Vec<IpAddr> = config.families().map(|family| family.public).collect();
    let places: Vec<String> =
        publics.iter().map(|public| SocketAddr::new(*public, config.listen_port).to_string()).collect();
    let server = IceServer::mint(urls(&publics, config.listen_port), &config.secret, now, DEFAULT_TTL, None, entropy)?;
    let note = match config.origin {
        Origin::Given => "",
        Origin::Detected => {
            "The addresses were detected. Behind a NAT, set PUBLIC_IP4_ADDR to the address that clients reach it at.\n"
        }
        Origin::Loopback => {
            "No route to a network was found, so only this machine can reach it: set PUBLIC_IP4_ADDR or PUBLIC_IP6_ADDR.\n"
        }
    };
    let secret = if config.secret_is_drawn { config.secret.expose() } else { "\"$AUTH_SECRET\"" };
    Ok(format!(
        "Relay at {} (udp).\n\
         {note}\n\
         An entry for iceServers, valid for 24 hours:\n\
         {}\n\n\
         To mint more:\n  \
         firezone-relay credentials --secret {secret} --ttl 24h\n\n",
        places.join(" and "),
        server.to_json(),
    ))
}

fn urls(publics: &[IpAddr], port: u16) -> Vec<String> {
    publics.iter().map(|public| format!("turn:{}?transport=udp", SocketAddr::new(*public, port))).collect()
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use super::*;

    #[test]
    fn urls_of_both_families() {
        let publics = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];
        assert_eq!(urls(&publics, 3478), ["turn:127.0.0.1:3478?transport=udp", "turn:[::1]:3478?transport=udp"]);
    }
}
