use std::collections::BTreeMap;

use relay_replay::{Change, Filter, Flags, Kind, Mode, NotReplayed, Row, Session, Trouble};
use serde::Serialize;
use wasm_bindgen::{JsError, prelude::wasm_bindgen};

use crate::{Columns, state::State};

/// How many differences are listed; their number is always told.
const LISTED: usize = 1_000;
/// How many kinds of trouble are listed.
const LISTED_TROUBLES: usize = 20;

/// A capture that the page looks at.
#[wasm_bindgen]
#[derive(Debug, Default)]
pub struct Trace {
    session: Session,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Summary<'a> {
    mode: &'static str,
    mode_reason: Option<String>,
    error: Option<String>,
    warnings: &'a [String],
    software: Option<&'a str>,
    payload_limit: Option<u32>,
    /// When the first row was, in seconds since the Unix epoch.
    start: f64,
    rows: usize,
    packets: usize,
    unusable: usize,
    dropped: u64,
    differences: usize,
    troubles: Vec<Trouble>,
    endpoints: Vec<End>,
    /// A line for each row that changed the relay's state or is no packet.
    headlines: BTreeMap<u32, String>,
}

#[derive(Serialize)]
struct End {
    address: String,
    role: u8,
    packets: u32,
}

#[wasm_bindgen]
impl Trace {
    /// A trace of which nothing has been read.
    #[must_use]
    #[wasm_bindgen(constructor)]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the next bytes of the file.
    pub fn push(&mut self, bytes: &[u8]) {
        self.session.push(bytes);
    }

    /// Says that the file has ended.
    pub fn end(&mut self) {
        self.session.end();
    }

    /// How many rows there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.session.rows().len()
    }

    /// Whether there is no row.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether reading stopped for good.
    #[must_use]
    pub fn has_failed(&self) -> bool {
        self.session.error().is_some()
    }

    /// What the page shows of the trace as a whole, as JSON.
    ///
    /// # Errors
    ///
    /// When it cannot be written as JSON.
    pub fn summary(&self) -> Result<String, JsError> {
        let session = &self.session;
        let (mode, mode_reason) = match session.mode() {
            Mode::Undecided => ("empty", None),
            Mode::Replay => ("replay", None),
            Mode::Inspection(NotReplayed::NoHeader) => ("inspection", None),
            Mode::Inspection(reason) => ("inspection", Some(reason.to_string())),
        };
        let rows = session.rows();
        let count = |is: fn(&Row) -> bool| rows.iter().filter(|row| is(row)).count();
        let endpoints = session.endpoints().iter().map(|endpoint| End {
            address: endpoint.address.to_string(),
            role: endpoint.role as u8,
            packets: endpoint.packets,
        });
        Ok(serde_json::to_string(&Summary {
            mode,
            mode_reason,
            error: session.error().map(ToString::to_string),
            warnings: session.warnings(),
            software: session.header().map(|header| header.software.as_str()),
            payload_limit: session.header().and_then(|header| header.payload_limit),
            start: rows.first().map_or(0.0, |row| (row.unix_nanos / 1_000) as f64 / 1e6),
            rows: rows.len(),
            packets: count(|row| row.kind != Kind::Internal),
            unusable: count(|row| row.kind == Kind::Unusable),
            dropped: session.dropped(),
            differences: session.differences().len(),
            troubles: session.troubles().into_iter().take(LISTED_TROUBLES).collect(),
            endpoints: endpoints.collect(),
            headlines: self.headlines(),
        })?)
    }

    /// All rows.
    #[must_use]
    pub fn columns(&self) -> Columns {
        Columns::new(&self.session)
    }

    /// The indexes of the rows that a filter lets through.
    ///
    /// # Errors
    ///
    /// Names the word that means nothing.
    pub fn filter(&self, text: &str) -> Result<Vec<u32>, JsError> {
        Ok(self.session.filter(&text.parse::<Filter>()?))
    }

    /// Where the frame of a row lies in the file: offset and length in bytes; the length is 0 for what is no packet.
    #[must_use]
    pub fn frame(&self, row: u32) -> Vec<f64> {
        self.row(row).map_or(vec![0.0, 0.0], |row| vec![row.file_offset as f64, f64::from(row.captured)])
    }

    /// The row that belongs to this one, 0xffffffff if none does.
    #[must_use]
    pub fn related(&self, row: u32) -> u32 {
        self.row(row).map_or(Row::NONE, |row| row.related)
    }

    /// Everything about one row, as JSON. `frame` is its bytes, `related` those of the row that belongs to it.
    ///
    /// # Errors
    ///
    /// When it cannot be written as JSON.
    pub fn detail(&self, row: u32, frame: &[u8], related: &[u8]) -> Result<String, JsError> {
        Ok(serde_json::to_string(&serde_json::json!({
            "fields": self.session.dissect(row, frame),
            "explanations": self.session.explain(row, frame, related),
            "comment": self.session.comment(row),
            "truncated": self.row(row).is_some_and(|row| row.flags.contains(Flags::TRUNCATED)),
        }))?)
    }

    /// The relay's state after a row, and what the row changed in it, as JSON.
    ///
    /// # Errors
    ///
    /// When it cannot be written as JSON.
    pub fn state(&self, row: u32) -> Result<String, JsError> {
        let (before, after) = (self.session.view_before(row), self.session.view_at(row));
        Ok(serde_json::to_string(&State::new(&before, &after))?)
    }

    /// The first differences between recording and replay, as JSON.
    ///
    /// # Errors
    ///
    /// When they cannot be written as JSON.
    pub fn differences(&self) -> Result<String, JsError> {
        let differences = self.session.differences();
        Ok(serde_json::to_string(&differences[..differences.len().min(LISTED)])?)
    }

    fn row(&self, row: u32) -> Option<&Row> {
        self.session.rows().get(usize::try_from(row).ok()?)
    }

    fn headlines(&self) -> BTreeMap<u32, String> {
        let indexes = (0_u32..).zip(self.session.rows());
        let telling = indexes.filter(|(_, row)| row.kind == Kind::Internal || row.flags.contains(Flags::STATE));
        telling
            .map(|(index, _)| {
                let lines: Vec<_> = self.session.changes(index).iter().filter_map(Change::headline).collect();
                (index, lines.join("; "))
            })
            .collect()
    }
}
