use relay_replay::{Row, Session};
use wasm_bindgen::prelude::wasm_bindgen;

/// All rows of a trace as one array for each property, in the order of the packet list.
#[wasm_bindgen]
#[derive(Debug)]
pub struct Columns {
    times: Vec<f64>,
    sources: Vec<u32>,
    destinations: Vec<u32>,
    peers: Vec<u32>,
    related: Vec<u32>,
    kinds: Vec<u8>,
    methods: Vec<u8>,
    flags: Vec<u8>,
    arguments: Vec<u16>,
    lengths: Vec<u16>,
}

impl Columns {
    pub(crate) fn new(session: &Session) -> Self {
        let rows = session.rows();
        let start = rows.first().map_or(0, |row| row.unix_nanos);
        Self {
            times: rows.iter().map(|row| seconds_since(start, row)).collect(),
            sources: rows.iter().map(|row| row.source).collect(),
            destinations: rows.iter().map(|row| row.destination).collect(),
            peers: rows.iter().map(|row| row.peer).collect(),
            related: rows.iter().map(|row| row.related).collect(),
            kinds: rows.iter().map(|row| row.kind as u8).collect(),
            methods: rows.iter().map(|row| row.method).collect(),
            flags: rows.iter().map(|row| row.flags.0).collect(),
            arguments: rows.iter().map(|row| row.argument).collect(),
            lengths: rows.iter().map(|row| row.payload_len).collect(),
        }
    }
}

/// Captures may go back in time by a little.
fn seconds_since(start: u64, row: &Row) -> f64 {
    if row.unix_nanos >= start {
        (row.unix_nanos - start) as f64 / 1e9
    } else {
        -((start - row.unix_nanos) as f64 / 1e9)
    }
}

macro_rules! columns {
    ($($(#[$doc:meta])* $name:ident: $kind:ty;)*) => {
        #[wasm_bindgen]
        impl Columns {
            $(
                $(#[$doc])*
                #[must_use]
                #[wasm_bindgen(getter)]
                pub fn $name(&self) -> Vec<$kind> {
                    self.$name.clone()
                }
            )*
        }
    };
}

columns! {
    /// Seconds since the first row.
    times: f64;
    /// Index of the sender among the endpoints; 0xffffffff for what is no packet.
    sources: u32;
    /// Index of the receiver, likewise.
    destinations: u32;
    /// Index of the peer that a STUN message names, likewise.
    peers: u32;
    /// The row that belongs to this one, 0xffffffff if none.
    related: u32;
    /// What it is: the numbers of `relay_replay::Kind`.
    kinds: u8;
    /// The STUN method.
    methods: u8;
    /// The bits of `relay_replay::Flags`.
    flags: u8;
    /// Error code or channel number.
    arguments: u16;
    /// Length of the UDP payload in bytes.
    lengths: u16;
}
