//! Replays packet traces through the relay's state machine in the browser.
#![forbid(unsafe_code)]
