use std::time::Duration;

/// How many channels an allocation may have unless told otherwise: as many as there are numbers in
/// [RFC 8656, section 12](https://www.rfc-editor.org/rfc/rfc8656#section-12), `0x4000..=0x4FFF`.
pub const DEFAULT_CHANNEL_LIMIT: u16 = 0x1000;

/// How long a port that another program held stays out of use: 1 minute, so that such ports cost one attempt each now
/// and then rather than one per request.
pub const PORT_QUARANTINE: Duration = Duration::from_secs(60);

/// How many ports are tried for one allocation before it is given up.
pub const MAX_PORTS_TRIED: u8 = 16;
