//! A session: a capture that is read in pieces, and everything derived from it.

use packet_trace::{Packet, ReadError, Record, TraceHeader, TraceReader};

use crate::{
    Change, Difference, Endpoint, Explanation, Field, Filter, NotReplayed, Row, Trouble, View, explain,
    inspect::Inspector, replay::Replay, timeline::Timeline, trouble,
};

/// A capture, read in pieces, with everything that is known about it so far.
#[derive(Debug, Default)]
pub struct Session {
    reader: TraceReader,
    timeline: Timeline,
    brain: Brain,
    header: Option<TraceHeader>,
    warnings: Vec<String>,
    error: Option<ReadError>,
    dropped: u64,
    ended: bool,
}

/// How the packets are interpreted.
#[derive(Debug, Default)]
enum Brain {
    /// Nothing has been read yet.
    #[default]
    Undecided,
    Replay(Box<Replay>),
    Inspect(Box<Inspector>, NotReplayed),
}

/// How a session interprets its capture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Nothing has been read yet.
    Undecided,
    /// The recorded packets drive the relay's own state machine.
    Replay,
    /// Packets are decoded, and the relay's state is inferred from its responses.
    Inspection(NotReplayed),
}

impl Session {
    /// An empty session.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Reads the next bytes of the capture. Problems are in [`Self::error`] and [`Self::warnings`].
    pub fn push(&mut self, bytes: &[u8]) {
        self.push_with(bytes, nobody);
    }

    /// [`Self::push`] that also calls `seen` after each packet, and with `None` after each other record of a relay's recording.
    pub(crate) fn push_with(&mut self, bytes: &[u8], seen: impl FnMut(&mut Timeline, Option<&Packet<'_>>)) {
        if self.error.is_none() {
            self.reader.push(bytes);
            self.read(seen);
        }
    }

    /// Ends the capture.
    pub fn end(&mut self) {
        self.end_with(nobody);
    }

    /// [`Self::end`] that also calls `seen` as [`Self::push_with`] does.
    pub(crate) fn end_with(&mut self, seen: impl FnMut(&mut Timeline, Option<&Packet<'_>>)) {
        if self.ended {
            return;
        }
        self.ended = true;
        self.reader.end();
        if self.error.is_none() {
            self.read(seen);
        }
        if let Brain::Replay(replay) = &mut self.brain {
            replay.end(&mut self.timeline, self.dropped > 0);
        }
    }

    fn read(&mut self, mut seen: impl FnMut(&mut Timeline, Option<&Packet<'_>>)) {
        loop {
            match self.reader.read() {
                Ok(None) => return,
                Ok(Some(Record::Header(header))) => {
                    if matches!(self.brain, Brain::Undecided) {
                        self.brain = decide(&header);
                        self.timeline.channels_only = header.shards.iter().all(|shard| !shard.config.indications);
                        self.header = Some(*header);
                    } else {
                        self.warnings.push("The file holds a second recording; its replay data is ignored.".to_owned());
                    }
                    seen(&mut self.timeline, None);
                }
                Ok(Some(Record::Packet(packet))) => {
                    self.dropped += packet.dropped;
                    let row = self.timeline.packet(&packet);
                    if let Brain::Replay(replay) = self.brain.or_inspect()
                        && let Err(reason) = replay.packet(&mut self.timeline, row, &packet)
                    {
                        self.brain.inspect_instead(&self.timeline, self.header.as_ref(), reason);
                    }
                    if let Brain::Inspect(inspector, _) = &mut self.brain {
                        inspector.packet(&mut self.timeline, row, &packet);
                    }
                    seen(&mut self.timeline, Some(&packet));
                }
                #[cfg(feature = "snapshots")]
                Ok(Some(Record::Snapshot(snapshot))) => {
                    if let Brain::Replay(replay) = &mut self.brain
                        && let Err(reason) = replay.begin(&mut self.timeline, &snapshot)
                    {
                        self.brain.inspect_instead(&self.timeline, self.header.as_ref(), reason);
                    }
                    seen(&mut self.timeline, None);
                }
                Ok(Some(Record::Input(input))) => {
                    if let Brain::Replay(replay) = &mut self.brain
                        && let Err(reason) = replay.input(&mut self.timeline, &input)
                    {
                        self.brain.inspect_instead(&self.timeline, self.header.as_ref(), reason);
                    }
                    seen(&mut self.timeline, None);
                }
                Ok(Some(Record::Statistics { dropped, .. })) => {
                    self.dropped = self.dropped.max(dropped.unwrap_or(0));
                }
                Ok(Some(_)) => {}
                Err(error @ (ReadError::BadReplayData { .. } | ReadError::NewerFormat { .. })) => {
                    self.warnings.push(format!("{error}. The packets are shown all the same."));
                    if matches!(self.brain, Brain::Undecided) {
                        self.brain = Brain::Inspect(Box::default(), NotReplayed::BadHeader(error.to_string()));
                    }
                }
                Err(error) => {
                    self.error = Some(error);
                    return;
                }
            }
        }
    }

    /// How the capture is interpreted.
    #[must_use]
    pub fn mode(&self) -> Mode {
        match &self.brain {
            Brain::Undecided => Mode::Undecided,
            Brain::Replay(_) => Mode::Replay,
            Brain::Inspect(_, reason) => Mode::Inspection(reason.clone()),
        }
    }

    /// The error that stopped reading, if there was one. What was read before is available.
    #[must_use]
    pub const fn error(&self) -> Option<&ReadError> {
        self.error.as_ref()
    }

    /// Warnings about the capture.
    #[must_use]
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// The relay's description of itself.
    #[must_use]
    pub const fn header(&self) -> Option<&TraceHeader> {
        self.header.as_ref()
    }

    /// How many packets the capturing program has lost.
    #[must_use]
    pub const fn dropped(&self) -> u64 {
        self.dropped
    }

    /// All rows so far.
    #[must_use]
    pub fn rows(&self) -> &[Row] {
        &self.timeline.rows
    }

    /// All transport addresses so far.
    #[must_use]
    pub fn endpoints(&self) -> &[Endpoint] {
        self.timeline.endpoints.list()
    }

    /// The differences between replay and recording. Complete only after [`Self::end`].
    #[must_use]
    pub fn differences(&self) -> &[Difference] {
        &self.timeline.differences
    }

    /// The relay's refusals and drops: each kind with its first row.
    #[must_use]
    pub fn troubles(&self) -> Vec<Trouble> {
        trouble::all(&self.timeline)
    }

    /// The comment on a row.
    #[must_use]
    pub fn comment(&self, row: u32) -> Option<&str> {
        self.timeline.comments.get(&row).map(String::as_str)
    }

    /// The changes by a row.
    #[must_use]
    pub fn changes(&self, row: u32) -> &[Change] {
        self.timeline.changes_of(row)
    }

    /// The relay's state after a row.
    #[must_use]
    pub fn view_at(&self, row: u32) -> View {
        self.timeline.view_at(row, false)
    }

    /// The relay's state before a row.
    #[must_use]
    pub fn view_before(&self, row: u32) -> View {
        self.timeline.view_at(row, true)
    }

    /// Dissects the packet of a row. `frame` is the frame at the row's offset in the file.
    #[must_use]
    pub fn dissect(&self, row: u32, frame: &[u8]) -> Vec<Field> {
        self.timeline.row(row).map(|row| explain::dissect(row, frame)).unwrap_or_default()
    }

    /// Explains in plain words how the relay handled a row. `frame` is the row's frame, `related` that of the row in
    /// [`Row::related`], if there is one.
    #[must_use]
    pub fn explain(&self, row: u32, frame: &[u8], related: &[u8]) -> Vec<Explanation> {
        explain::row(&self.timeline, row, frame, related)
    }

    /// The rows that match a filter, in order.
    #[must_use]
    pub fn filter(&self, filter: &Filter) -> Vec<u32> {
        filter.select(&self.timeline)
    }

    pub(crate) const fn timeline(&self) -> &Timeline {
        &self.timeline
    }

    /// Forgets requests before row number `row`. Their answers are not recognised any more.
    pub(crate) fn forget_requests(&mut self, row: u32) {
        if let Brain::Inspect(inspector, _) = &mut self.brain {
            inspector.forget_requests(row);
        }
    }

    #[cfg(test)]
    pub(crate) fn replayed_server(&self) -> Option<&relay_server::Server> {
        match &self.brain {
            Brain::Replay(replay) => replay.server(0),
            _ => None,
        }
    }
}

impl Brain {
    /// Inspects a capture whose first packet comes before any header.
    fn or_inspect(&mut self) -> &mut Self {
        if matches!(self, Self::Undecided) {
            *self = Self::Inspect(Box::default(), NotReplayed::NoHeader);
        }
        self
    }

    /// Inspects what follows, since it cannot be replayed, with what is known up to here.
    fn inspect_instead(&mut self, timeline: &Timeline, header: Option<&TraceHeader>, reason: NotReplayed) {
        let inspector = header.map_or_else(Inspector::default, Inspector::with_header);
        *self = Self::Inspect(Box::new(inspector.with_state(timeline)), reason);
    }
}

/// Ignores what was read. A function, because each closure would compile the reader once more.
const fn nobody(_: &mut Timeline, _: Option<&Packet<'_>>) {}

fn decide(header: &TraceHeader) -> Brain {
    let inspect = |reason| Brain::Inspect(Box::new(Inspector::with_header(header)), reason);
    if header.snapshots {
        #[cfg(feature = "snapshots")]
        return Brain::Replay(Box::new(Replay::of_snapshots(header)));
        #[cfg(not(feature = "snapshots"))]
        return inspect(NotReplayed::SnapshotNotRead);
    }
    if !header.from_start {
        return inspect(NotReplayed::NotFromStart);
    }
    if header.auth_secret.is_none() && header.accepted.is_none() {
        return inspect(NotReplayed::NoSecret);
    }
    match Replay::new(header) {
        Ok(replay) => Brain::Replay(Box::new(replay)),
        Err(reason) => inspect(NotReplayed::BadHeader(reason)),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use crate::EXAMPLES;

    use super::*;

    /// The state that is derived from events, for seeking, equals the state machine's own.
    #[test]
    fn the_view_is_the_state_machine_s_state() {
        for example in EXAMPLES {
            let trace = example.record().unwrap();
            let mut session = Session::new();
            // After each byte that completes a packet or an input, so that every intermediate state is compared.
            for byte in trace {
                let rows = session.rows().len();
                session.push(&[byte]);
                if session.rows().len() > rows {
                    compare(&session, example.name);
                }
            }
            compare(&session, example.name);
        }
    }

    fn compare(session: &Session, name: &str) {
        let clock = session.header().unwrap().clock;
        let row = u32::try_from(session.rows().len() - 1).unwrap();
        let view = session.view_at(row);
        let created = |id: &str| view.allocations.values().any(|allocation| allocation.id == id);
        let server = session.replayed_server().unwrap();
        // An allocation whose socket is being opened does not count yet.
        let live: BTreeMap<_, _> = server
            .allocations()
            .map(|allocation| (allocation.id().as_u64().to_string(), allocation))
            .filter(|(id, _)| created(id))
            .collect();
        assert_eq!(live.len(), view.allocations.len(), "{name} row {row}");
        for seen in view.allocations.values() {
            let real = live[&seen.id];
            assert_eq!(seen.client, real.five_tuple().client.address());
            assert_eq!(seen.username, **real.owner().username());
            assert_eq!(seen.expires_at(), clock.to_unix(real.expires_at().as_nanos()), "{name} row {row}");
            assert_eq!(seen.channels.len(), real.channels().len(), "{name} row {row}");
            for channel in real.channels() {
                let seen = &seen.channels[&channel.number().get()];
                assert_eq!((seen.peer, seen.bound), (channel.peer().address(), channel.is_bound()));
                assert_eq!(seen.expires_at, clock.to_unix(channel.expires_at().as_nanos()), "{name} row {row}");
            }
            assert_eq!(seen.permissions.len(), real.permissions().len(), "{name} row {row}");
            for permission in real.permissions() {
                let seen = &seen.permissions[&permission.address()];
                assert_eq!(seen.expires_at, clock.to_unix(permission.expires_at().as_nanos()), "{name} row {row}");
            }
        }
    }
}
