//! Drives a `Server` as relay-bin does, with fake sockets and a fake clock. Messages are written and read by code that is
//! independent of the relay's.
#![allow(dead_code, unused_imports, reason = "each test program uses a part of it")]

mod client;
mod credentials;
pub(crate) mod kind;
mod relay;
mod request;
mod response;
mod shards;
mod wire;

pub(crate) use client::Client;
pub(crate) use credentials::{Credentials, REALM, SECRET, password};
pub(crate) use relay::{LISTEN_PORT, RELAY_V4, RELAY_V6, Relay, Sent, Socket, UNIX_TIME, config};
pub(crate) use request::{
    Request, XorAddress, allocate, allocate_dual_stack, allocate_with, bind, binding, channel_data, delete, method,
    permit, refresh,
};
pub(crate) use response::Response;
pub(crate) use shards::Shards;
pub(crate) use wire::{append, append_fingerprint, append_integrity, append_integrity_sha256};
