//! What strangers could learn a secret from, if it took longer the more of a guess is right.

use std::{hint::black_box, net::IpAddr, time::Duration};

use stun_msg::{IntegrityKey, Message, PasswordAlgorithm, Response};
use turn_auth::{NonceIssuer, UnixTime};

/// A comparison with something that only the relay can make: the right value but for one byte, and how many bytes there are.
#[derive(Clone, Copy, Debug)]
pub struct Comparison {
    /// What it is called.
    pub name: &'static str,
    /// How many bytes are compared: each of them can be the wrong one.
    pub len: usize,
    /// Makes what is compared, wrong at one byte, and returns how to compare it. That must fail.
    pub prepare: fn(usize) -> Box<dyn Fn()>,
}

/// Every comparison with a secret that a datagram can ask for.
pub const COMPARISONS: &[Comparison] = &[
    Comparison { name: "MESSAGE-INTEGRITY", len: 20, prepare: |wrong| signed(PasswordAlgorithm::Md5, 20, wrong) },
    Comparison {
        name: "MESSAGE-INTEGRITY-SHA256",
        len: 32,
        prepare: |wrong| signed(PasswordAlgorithm::Sha256, 32, wrong),
    },
    Comparison { name: "NONCE", len: NONCE_TAG.1, prepare: nonce },
];

const NOW: UnixTime = UnixTime(1_800_000_000);
const CLIENT: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));

/// Where in a nonce, after the port, the characters lie that only the relay can make, and how many they are.
const NONCE_TAG: (usize, usize) = (3, 9);

fn signed(algorithm: PasswordAlgorithm, len: usize, wrong: usize) -> Box<dyn Fn()> {
    // A Refresh request without attributes, for its transaction.
    let request = [0x00, 0x04, 0, 0, 0x21, 0x12, 0xA4, 0x42, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12];
    let key = IntegrityKey::long_term(algorithm, "user", "realm", "pass");
    let mut bytes = Message::parse(&request).map_or_else(
        |_| Vec::new(),
        |message| Response::refresh_success(message.transaction(), Duration::ZERO).finish(Some(&key)),
    );
    let hmac = bytes.len() - len;
    bytes[hmac + wrong] ^= 1;
    Box::new(move || {
        let verified = Message::parse(black_box(&bytes)).map(|message| message.verify_integrity(&key));
        assert!(matches!(verified, Ok(Err(_))));
    })
}

fn nonce(wrong: usize) -> Box<dyn Fn()> {
    let issuer = NonceIssuer::new([7; 32]);
    let mut nonce = issuer.issue(NOW, (CLIENT, 50_000).into(), false).as_bytes().to_vec();
    let character = &mut nonce[NONCE_TAG.0 + wrong];
    *character = if *character == b'A' { b'B' } else { b'A' };
    Box::new(move || assert!(issuer.verify(black_box(&nonce), NOW, CLIENT).is_err()))
}
