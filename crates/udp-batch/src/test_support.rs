//! Shared by the tests of this crate.

use std::net::UdpSocket;

/// The loopback addresses that this machine has, with port 0. A missing one is reported as skipped, or fails the test where
/// `RELAY_TESTS_REQUIRE` names `ipv6`.
pub(crate) fn loopback() -> Vec<&'static str> {
    let mut addresses = vec!["127.0.0.1:0"];
    match UdpSocket::bind("[::1]:0") {
        Ok(_) => addresses.push("[::1]:0"),
        Err(error) => {
            let required = std::env::var("RELAY_TESTS_REQUIRE").unwrap_or_default();
            assert!(!required.split(',').any(|name| name == "ipv6"), "ipv6 is required here, but: {error}");
            println!("skipped: no IPv6 on loopback: {error}");
        }
    }
    addresses
}
