//! The progress of a recording, for other threads.

use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

use packet_trace::TraceWriter;

/// What is in the file so far. The writer thread updates it, others read it.
#[derive(Debug, Default)]
pub(super) struct Progress {
    packets: AtomicU64,
    bytes: AtomicU64,
    missing: AtomicU64,
    outcome: AtomicU8,
}

/// The state of a recording.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It is being written.
    Running,
    /// The file has reached its size limit. Further packets are only counted.
    Full,
    /// The file is complete.
    Complete,
    /// A write has failed.
    Failed,
}

/// The figures of a [`Progress`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Figures {
    pub(crate) packets: u64,
    pub(crate) bytes: u64,
    /// How many packets are not in the file.
    pub(crate) missing: u64,
}

impl Progress {
    /// Publishes what `writer` has written.
    pub(super) fn count(&self, writer: &TraceWriter) {
        self.packets.store(writer.packets(), Ordering::Relaxed);
        self.bytes.store(writer.bytes(), Ordering::Relaxed);
        self.missing.store(writer.missing(), Ordering::Relaxed);
    }

    /// Corrects the figures after a write error to what is in the file.
    pub(super) fn fail(&self, packets: u64, bytes: u64) {
        let written = self.packets.swap(packets, Ordering::Relaxed);
        self.missing.fetch_add(written.saturating_sub(packets), Ordering::Relaxed);
        self.bytes.store(bytes, Ordering::Relaxed);
        self.end(Outcome::Failed);
    }

    /// Publishes the final state.
    pub(super) fn end(&self, outcome: Outcome) {
        // After the figures, so that a thread that sees the end also sees the final figures.
        self.outcome.store(outcome as u8, Ordering::Release);
    }

    pub(super) fn outcome(&self) -> Outcome {
        let outcomes = [Outcome::Running, Outcome::Full, Outcome::Complete, Outcome::Failed];
        let outcome = self.outcome.load(Ordering::Acquire);
        outcomes.into_iter().find(|known| *known as u8 == outcome).unwrap_or(Outcome::Failed)
    }

    pub(super) fn figures(&self) -> Figures {
        Figures {
            packets: self.packets.load(Ordering::Relaxed),
            bytes: self.bytes.load(Ordering::Relaxed),
            missing: self.missing.load(Ordering::Relaxed),
        }
    }
}
