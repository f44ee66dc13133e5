//! Which clients of a capture failed, and why.

mod capture;
mod cause;
mod client;
mod failure;
mod report;
mod requests;
mod tracker;

#[cfg(test)]
mod tests;

use packet_trace::ReadError;

pub use self::report::{CaptureReport, ClientReport, Problem, ProblemKind, Report, Skipped, Status, Summary, Tally};
use self::tracker::Tracker;
use crate::Session;

/// The inspection recognises the answer to a request for this many rows.
const REQUEST_ROWS: u32 = 1 << 18;

/// Finds the clients of a capture that failed, with the explanations of [`Session::explain`].
///
/// It reads the capture in pieces. It keeps state for each client and for each request of the last minute, but no packets, so memory grows with
/// the number of clients and not with the length of the capture.
///
/// ```
/// use relay_replay::{Diagnosis, Request, Status, World};
///
/// let mut world = World::new([7; 32], 1_800_000_000)?;
/// let client = world.add_client("192.0.2.10:50000".parse()?);
/// world.set_password(client, "a guess")?;
/// world.request(client, Request::Allocate(Default::default()))?;
///
/// let mut diagnosis = Diagnosis::new();
/// diagnosis.push(&world.finish());
/// let report = diagnosis.finish();
/// assert_eq!(report.clients[0].status, Status::Failed);
/// assert_eq!(report.clients[0].problems[0].title, "401: the password is wrong");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Default)]
pub struct Diagnosis {
    session: Session,
    tracker: Tracker,
    /// Requests in rows before this one are forgotten.
    first_request_row: u32,
}

impl Diagnosis {
    /// A diagnosis before the first byte of the capture.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Reads the next bytes of the capture.
    pub fn push(&mut self, bytes: &[u8]) {
        self.session.push_with(bytes, |timeline, packet| self.tracker.see(timeline, packet));
        let oldest = self.session.timeline().len().saturating_sub(REQUEST_ROWS);
        if oldest > self.first_request_row.saturating_add(REQUEST_ROWS) {
            self.first_request_row = oldest;
            self.session.forget_requests(oldest);
        }
    }

    /// The error that stopped the reading, if any. Bytes pushed after it are ignored.
    #[must_use]
    pub const fn error(&self) -> Option<&ReadError> {
        self.session.error()
    }

    /// Ends the capture.
    #[must_use]
    pub fn finish(mut self) -> Report {
        self.session.end_with(|timeline, packet| self.tracker.see(timeline, packet));
        self.tracker.finish(&self.session)
    }
}
