//! Real WebRTC and TURN clients relay through the binary: two peers in one process, relay candidates only, 1,000 messages each way
//! and none lost. `webrtc/`, beside this folder, has the clients.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod browser;
mod page_server;
mod place;
mod programs;
mod recordings;
#[path = "../recording/trace.rs"]
mod trace;
