//! Real WebRTC and TURN clients relay through the binary: two peers in one process, with relay candidates only, exchange 1,000
//! messages each way without loss. The clients are in the directory `webrtc`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod browser;
mod page_server;
mod place;
mod programs;
mod recordings;
#[path = "../recording/trace.rs"]
mod trace;
