//! Waiting for what should come soon.

use std::{thread, time::Duration};

/// How long to wait for what should come at once.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// Waits until `condition` holds, which it should in a moment.
///
/// # Panics
/// When it does not within 10 s or more.
#[track_caller]
pub fn wait_until(mut condition: impl FnMut() -> bool) {
    // 10 s altogether.
    for _ in 0..1_000 {
        if condition() {
            return;
        }
        thread::sleep(Duration::from_millis(10));
    }
    panic!("it did not come true");
}
