//! The banner of a standalone relay: its addresses, and credentials to try it with.

use std::net::{IpAddr, SocketAddr};

use relay_server::UsernameLimit;
use turn_auth::{AuthSecret, UnixTime};

use crate::{
    addresses::Origin,
    credentials::{CredentialConfig, DEFAULT_TTL, IceServer, PRINTED_USER, PrintWhen, mint_for_about},
    option_names::PRINT_CREDENTIALS,
    options::Config,
    output::Stream,
};

/// Prints the banner: the relay's URLs, credentials, and how to mint more. Otherwise logs why not.
///
/// A service prints no credentials: more people may read its journal than may use the relay, and another program may expect only
/// JSON there.
pub(crate) fn print(config: &Config, now: UnixTime, stdout: &Stream, is_terminal: bool) {
    let CredentialConfig { print_when, is_drawn, .. } = config.credentials;
    match print_when {
        // If stdout is closed, nobody wants the banner.
        PrintWhen::Always => stdout.say(text(config, now)),
        PrintWhen::OnATerminal if is_terminal => stdout.say(text(config, now)),
        PrintWhen::OnATerminal if is_drawn => tracing::warn!(
            "nobody can use this relay: it drew its secret, and prints no credentials where stdout is no terminal; give it AUTH_SECRET or USERS, \
             or set {PRINT_CREDENTIALS} to `always`"
        ),
        PrintWhen::OnATerminal | PrintWhen::Never => {
            tracing::info!("no credentials are printed, since stdout is no terminal or {PRINT_CREDENTIALS} is `never`");
        }
    }
}

fn text(config: &Config, now: UnixTime) -> String {
    let publics: Vec<IpAddr> = config.families().map(|family| family.public).collect();
    let bound: Vec<String> =
        publics.iter().map(|public| SocketAddr::new(*public, config.listen_port).to_string()).collect();
    let note = match config.origin {
        Origin::Given => "",
        Origin::Detected => {
            "The addresses were detected. Behind a NAT, set PUBLIC_IP4_ADDR to the address that clients reach it at.\n"
        }
        Origin::Loopback => {
            "No route to a network was found, so only this machine can reach it: set PUBLIC_IP4_ADDR or PUBLIC_IP6_ADDR.\n"
        }
    };
    let credentials = match config.credentials.secret() {
        Some(secret) => minted(config, secret, urls(&publics, config.listen_port), now),
        None => format!(
            "It takes the {} users that it was given and mints no credentials: `firezone-relay credentials` needs a secret.\n\n",
            config.credentials.accepted.users.len()
        ),
    };
    format!("Relay at {} (udp).\n{note}\n{credentials}", bound.join(" and "))
}

/// An ICE server entry to paste, and how to mint more.
fn minted(config: &Config, secret: &AuthSecret, urls: Vec<String>, now: UnixTime) -> String {
    let scheme = config.credentials.minting_scheme();
    let server = IceServer::new(urls, mint_for_about(scheme, secret, PRINTED_USER, now, DEFAULT_TTL));
    let limit = match config.username_limit {
        UsernameLimit::RefuseBeyond(limit) if !config.credentials.is_drawn => format!(
            "It is one user's, and a user has up to {limit} allocations at a time: mint an entry for each of yours.\n"
        ),
        _ => String::new(),
    };
    let arguments = config.credentials.minting_arguments();
    format!(
        "An entry for iceServers, valid for 24 hours:\n\
         {}\n\n\
         The same for GStreamer:\n  \
         {}\n\
         {limit}\n\
         To mint more:\n  \
         firezone-relay credentials {arguments} --ttl 24h\n\n",
        server.to_json(),
        server.to_uris().join("\n  "),
    )
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
