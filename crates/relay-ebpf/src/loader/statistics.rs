//! Reads the events of `STATS`.

use std::{
    io,
    os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd},
};

use aya::{
    maps::{
        Map, MapData, MapError, PerfEventArray,
        perf::{PerfEvent, PerfEventArrayBuffer},
    },
    util::online_cpus,
};

use super::OffloadError;
use crate::Counters;

/// The pages of each CPU's event buffer. 8 KiB hold about 200 events, and each event replaces all before it.
const PAGES: usize = 2;

/// Why counters could not be read.
#[derive(Debug, thiserror::Error)]
#[error("the kernel does not hand out its counters")]
pub struct StatisticsError(#[source] MapError);

impl StatisticsError {
    pub(super) fn read(error: MapError) -> Self {
        Self(error)
    }
}

/// The events of one CPU. Its file descriptor becomes readable when there is an event.
///
/// With tokio, use `AsyncFd::with_interest(reader, Interest::READABLE)`, and call [`read`](Self::read) on each `readable()`.
pub struct StatisticsReader {
    cpu: usize,
    buffer: PerfEventArrayBuffer<MapData>,
}

/// The result of reading a CPU's events.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reading {
    /// The counters in the latest event; `None` if there was no event.
    pub latest: Option<Counters>,
    /// How many events were lost before. The next event contains all their information.
    pub lost: u64,
}

impl StatisticsReader {
    /// The CPU whose events these are.
    #[must_use]
    pub fn cpu(&self) -> usize {
        self.cpu
    }

    /// Takes all events without waiting.
    pub fn read(&mut self) -> Reading {
        let mut reading = Reading::default();
        self.buffer.for_each(|event| match event {
            PerfEvent::Sample { head, tail } => {
                let mut bytes = [0; Counters::SIZE];
                // The kernel pads events, so there may be more bytes.
                if head.len() + tail.len() >= bytes.len() {
                    for (byte, value) in bytes.iter_mut().zip(head.iter().chain(tail)) {
                        *byte = *value;
                    }
                    reading.latest = Some(Counters::from_event(bytes));
                }
            }
            PerfEvent::Lost { count } => reading.lost += count,
        });
        reading
    }
}

impl std::fmt::Debug for StatisticsReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StatisticsReader").field("cpu", &self.cpu).finish_non_exhaustive()
    }
}

impl AsFd for StatisticsReader {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.buffer.as_fd()
    }
}

impl AsRawFd for StatisticsReader {
    fn as_raw_fd(&self) -> RawFd {
        self.buffer.as_raw_fd()
    }
}

/// Opens the buffers of all online CPUs.
pub(super) fn open(map: Map) -> Result<Vec<StatisticsReader>, OffloadError> {
    let mut events = PerfEventArray::try_from(map).map_err(OffloadError::from_map)?;
    let cpus = online_cpus().map_err(|(path, source)| {
        OffloadError::Statistics(io::Error::new(source.kind(), format!("{path}: {source}")))
    })?;
    cpus.into_iter()
        .map(|cpu| {
            let buffer = events.open(cpu, Some(PAGES)).map_err(OffloadError::from_perf)?;
            Ok(StatisticsReader { cpu: cpu as usize, buffer })
        })
        .collect()
}
