#!/usr/bin/env bash
# serde loses the scope of a link-local IPv6 socket address in binary formats, without an error, and keeps it in JSON.
#
# Packages: crates serde 1.0.229 with postcard 1.1.3, bincode 1.3.3 and serde_json 1.0.145, on stable Rust.
# Input:    the std::net::SocketAddr [fe80::1%3]:3478, and the flow label 5 of a SocketAddrV6.
# Observed: postcard and bincode give back [fe80::1]:3478 with scope 0, which no socket can send to, and flow label 0; serde_json, which
#           takes the text form, gives back the scope (and no flow label). A format says by is_human_readable() which of the two serde
#           takes, so state that was tested as JSON changes when it is stored in a binary format.
#
# Exits with 0 as long as that is so.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
cargo init --quiet --vcs none --name scope --edition 2021
cat >>Cargo.toml <<'TOML'
serde = "=1.0.229"
postcard = { version = "=1.1.3", default-features = false, features = ["alloc"] }
bincode = "=1.3.3"
serde_json = "=1.0.145"
TOML

cat >src/main.rs <<'RUST'
use std::net::{SocketAddr, SocketAddrV6};

fn parts(address: SocketAddr) -> (u32, u32) {
    match address {
        SocketAddr::V6(v6) => (v6.scope_id(), v6.flowinfo()),
        SocketAddr::V4(_) => unreachable!(),
    }
}

fn main() {
    let address = SocketAddr::V6(SocketAddrV6::new("fe80::1".parse().unwrap(), 3478, 5, 3));
    let postcard: SocketAddr = postcard::from_bytes(&postcard::to_allocvec(&address).unwrap()).unwrap();
    let bincode: SocketAddr = bincode::deserialize(&bincode::serialize(&address).unwrap()).unwrap();
    let json = serde_json::to_string(&address).unwrap();
    let from_json: SocketAddr = serde_json::from_str(&json).unwrap();
    println!("original {address}, (scope, flow label) {:?}", parts(address));
    println!("postcard {postcard} {:?}", parts(postcard));
    println!("bincode  {bincode} {:?}", parts(bincode));
    println!("JSON     {json} {:?}", parts(from_json));
    assert_eq!(parts(postcard), (0, 0));
    assert_eq!(parts(bincode), (0, 0));
    assert_eq!(parts(from_json), (3, 0));
}
RUST
cargo run --quiet
echo "as described"
