//! The rows, changes and endpoints of a capture, and the relay's state at each row.

use std::collections::BTreeMap;

use packet_trace::Packet;

use crate::{Change, Difference, DifferenceKind, Flags, Kind, Outcome, Role, Row, View, classify, endpoint::Endpoints};

/// The least number of rows between two snapshots.
const SNAPSHOT_ROWS: usize = 1024;
/// How many more rows for each allocation, channel and permission in the state, so that snapshots never take more memory than the
/// rows.
const SNAPSHOT_ROWS_PER_ENTRY: usize = 8;

/// Everything that is known about a capture so far. Replay and inspection write it, the playground reads it.
#[derive(Debug, Default)]
pub(crate) struct Timeline {
    pub(crate) rows: Vec<Row>,
    /// The index of the first row in [`Self::rows`]: the number of forgotten rows.
    first_row: u32,
    pub(crate) changes: Vec<Change>,
    /// The number of forgotten changes.
    first_change: u32,
    pub(crate) endpoints: Endpoints,
    pub(crate) view: View,
    /// Whether the relay is known to have indications off, and so no permissions.
    pub(crate) channels_only: bool,
    pub(crate) differences: Vec<Difference>,
    pub(crate) comments: BTreeMap<u32, String>,
    pub(crate) allocations: u32,
    /// Snapshots of the state, each with the index of the row after it.
    snapshots: Vec<(u32, View)>,
}

impl Timeline {
    /// Adds a row for `packet`.
    pub(crate) fn packet(&mut self, packet: &Packet<'_>) -> u32 {
        let row = classify::packet(packet, &mut self.endpoints);
        let index = self.push(row);
        if let Some(comment) = packet.comment {
            self.comments.insert(index, comment.to_owned());
        }
        index
    }

    /// Adds a row for an event inside the relay.
    pub(crate) fn internal(&mut self, shard: u32, unix_nanos: u64) -> u32 {
        self.push(Row {
            unix_nanos,
            file_offset: 0,
            captured: 0,
            original: 0,
            source: Row::NONE,
            destination: Row::NONE,
            peer: Row::NONE,
            related: Row::NONE,
            changes_end: 0,
            payload_at: 0,
            payload_len: 0,
            link: 0,
            argument: 0,
            shard,
            kind: Kind::Internal,
            method: 0,
            flags: Flags::default(),
        })
    }

    fn push(&mut self, mut row: Row) -> u32 {
        let index = self.len();
        let distance = SNAPSHOT_ROWS.max(self.view.size() * SNAPSHOT_ROWS_PER_ENTRY);
        let last = self.snapshots.last().map_or(0, |(last, _)| *last);
        if position(index - last) >= distance {
            self.snapshots.push((index, self.view.clone()));
        }
        row.changes_end = self.changes_len();
        self.rows.push(row);
        index
    }

    /// The number of rows so far, with forgotten ones.
    pub(crate) fn len(&self) -> u32 {
        self.first_row.saturating_add(index(self.rows.len()))
    }

    /// The index of the first row that is kept.
    pub(crate) const fn first(&self) -> u32 {
        self.first_row
    }

    /// Forgets all rows but the last, their changes, comments, differences and old snapshots. Row indexes stay valid.
    pub(crate) fn forget(&mut self) {
        let Some(forgotten) = self.rows.len().checked_sub(1) else { return };
        if let Some(end) = forgotten.checked_sub(1).and_then(|last| self.rows.get(last)).map(|row| row.changes_end) {
            self.changes.drain(..position(end - self.first_change));
            self.first_change = end;
        }
        self.rows.drain(..forgotten);
        self.first_row += index(forgotten);
        self.comments.clear();
        self.differences.clear();
        self.snapshots.drain(..self.snapshots.len().saturating_sub(1));
    }

    /// Inserts a row for an event inside the relay before the last row, whose packet must not have changed anything yet.
    pub(crate) fn internal_before_last(&mut self, unix_nanos: u64, change: Change) {
        let Some(last) = self.rows.pop() else { return };
        let comment = self.comments.remove(&self.len());
        self.internal(last.shard, unix_nanos);
        self.change(change);
        let moved = self.push(last);
        if let Some(comment) = comment {
            self.comments.insert(moved, comment);
        }
    }

    /// The number of changes so far, with forgotten ones.
    pub(crate) fn changes_len(&self) -> u32 {
        self.first_change.saturating_add(index(self.changes.len()))
    }

    /// Adds a change to the last row.
    pub(crate) fn change(&mut self, change: Change) {
        let Some(row) = self.rows.last_mut() else { return };
        self.view.apply(row.unix_nanos, &change);
        match &change {
            Change::Responded { outcome: Outcome::Success | Outcome::Challenged, .. }
            | Change::Relayed { .. }
            | Change::IcmpTold { .. } => {}
            Change::Responded { .. } => row.flags.insert(Flags::REJECTED),
            Change::Dropped { .. } => row.flags.insert(Flags::DROPPED),
            _ => row.flags.insert(Flags::STATE),
        }
        self.changes.push(change);
        row.changes_end += 1;
    }

    /// The number for a new allocation.
    pub(crate) const fn next_allocation(&mut self) -> u32 {
        self.allocations += 1;
        self.allocations - 1
    }

    pub(crate) fn row(&self, index: u32) -> Option<&Row> {
        self.rows.get(position(index.checked_sub(self.first_row)?))
    }

    pub(crate) fn row_mut(&mut self, index: u32) -> Option<&mut Row> {
        self.rows.get_mut(position(index.wrapping_sub(self.first_row)))
    }

    pub(crate) fn is_last(&self, index: u32) -> bool {
        self.len().checked_sub(1) == Some(index)
    }

    /// Relates `effect` to `cause`: a response to its request, or a forwarded packet to the received one.
    pub(crate) fn relate(&mut self, cause: u32, effect: u32) {
        if let Some(row) = self.row_mut(effect) {
            row.related = cause;
        }
        if let Some(row) = self.row_mut(cause)
            && row.related == Row::NONE
        {
            row.related = effect;
        }
    }

    pub(crate) fn difference(&mut self, row: u32, kind: DifferenceKind, text: String) {
        if let Some(row) = self.row_mut(row) {
            row.flags.insert(Flags::DIFFERENT);
        }
        self.differences.push(Difference { row, kind, text });
    }

    /// The changes by `row`.
    pub(crate) fn changes_of(&self, row: u32) -> &[Change] {
        let first = self.first_change;
        let end_of = |row: Option<&Row>| row.map_or(0, |row| position(row.changes_end - first));
        let start = end_of(row.checked_sub(1).and_then(|before| self.row(before)));
        self.changes.get(start..end_of(self.row(row))).unwrap_or_default()
    }

    /// The changes by `row`, without the first `seen` changes of the timeline.
    pub(crate) fn changes_from(&self, row: u32, seen: u32) -> &[Change] {
        let changes = self.changes_of(row);
        let start = self.row(row).map_or(0, |row| row.changes_end).saturating_sub(index(changes.len()));
        changes.get(position(seen.saturating_sub(start))..).unwrap_or_default()
    }

    /// The state after `row`, or before it.
    pub(crate) fn view_at(&self, row: u32, before: bool) -> View {
        let rows = row.saturating_add(u32::from(!before)).min(self.len());
        let snapshot = self.snapshots.partition_point(|(at, _)| *at <= rows);
        let (start, mut view) = match snapshot.checked_sub(1).and_then(|index| self.snapshots.get(index)) {
            Some((at, view)) => (*at, view.clone()),
            None => (0, View::default()),
        };
        for index in start..rows {
            let at = self.row(index).map_or(0, |row| row.unix_nanos);
            for change in self.changes_of(index) {
                view.apply(at, change);
            }
        }
        view.unix_nanos = self.row(row).map_or(0, |row| row.unix_nanos);
        view
    }

    pub(crate) fn set_role(&mut self, endpoint: u32, role: Role) {
        self.endpoints.set_role(endpoint, role);
    }
}

fn index(position: usize) -> u32 {
    u32::try_from(position).unwrap_or(Row::NONE)
}

/// Lossless on every platform that this runs on (32-bit and wider).
fn position(index: u32) -> usize {
    usize::try_from(index).unwrap_or(usize::MAX)
}
