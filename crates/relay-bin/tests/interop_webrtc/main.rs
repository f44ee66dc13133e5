//! Real WebRTC and TURN clients relay through the binary: two peers in one process, relay candidates only, 1,000 messages each way
//! and none lost. `webrtc/`, beside this folder, has the clients.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod browser;
#[path = "../interop/mod.rs"]
mod interop;
mod page_server;
mod place;
mod programs;
mod recordings;
#[path = "../support/mod.rs"]
mod support;
#[path = "../recording/trace.rs"]
mod trace;
