//! The ICMP attribute of Data indications, and what its types and codes mean.

use std::fmt;

/// The value of an [ICMP](https://www.rfc-editor.org/rfc/rfc8656#section-18.13) attribute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Icmp {
    kind: u8,
    code: u16,
    /// The MTU of the link for which the packet was too big, otherwise 0.
    data: u32,
}

/// The meaning of an error, and advice.
struct Meaning {
    text: &'static str,
    advice: &'static str,
}

const TOO_BIG: Meaning = Meaning {
    text: "it is too big for a link on the way, and may not be fragmented",
    advice: "The client must send smaller packets to this peer; the MTU of that link is in the attribute.",
};
const NO_LISTENER: Meaning = Meaning {
    text: "nobody listens at the peer's port",
    advice: "The peer has gone away, or never was at this port: with ICE, another candidate of it may work.",
};
const FORBIDDEN: Meaning = Meaning {
    text: "a firewall forbids it",
    advice: "Let the peer's firewall pass UDP from the relay's addresses and allocation ports.",
};
const UNREACHABLE: Meaning = Meaning {
    text: "there is no way to the peer's network or machine",
    advice: "The peer's address may be one that only its own network knows: with ICE, another candidate of it may work.",
};
const LOOP: Meaning = Meaning {
    text: "it went round until its time was over",
    advice: "The way to the peer has a loop: compare the routes of the relay's network.",
};
const UNKNOWN: Meaning =
    Meaning { text: "the way to the peer is disturbed", advice: "Look up the type and the code of the error." };

impl Icmp {
    /// Parses the value: 2 reserved bytes, type and code, 4 bytes of data.
    ///
    /// The RFC's figure shows 7 bits for the type and 9 for the code. This relay, turn-types and Wireshark use a byte for each, as
    /// ICMP does. The figure's layout is used only for values that make no sense otherwise.
    pub(crate) fn read(value: &[u8], is_v6: bool) -> Option<Self> {
        let &[_, _, a, b, ref data @ ..] = value.first_chunk::<8>()?;
        let is_error = |kind: u8| if is_v6 { matches!(kind, 1..=3) } else { matches!(kind, 3 | 11) };
        let (kind, code) = if !is_error(a) && is_error(a >> 1) {
            (a >> 1, u16::from_be_bytes([a, b]) & 0x01ff)
        } else {
            (a, u16::from(b))
        };
        Some(Self { kind, code, data: u32::from_be_bytes(*data) })
    }

    /// The attribute for an error that the relay got.
    pub(crate) fn of(icmp: relay_server::Icmp) -> Self {
        Self { kind: icmp.icmp_type, code: icmp.code.into(), data: icmp.error_data }
    }

    fn look_up(self, is_v6: bool) -> &'static Meaning {
        match (is_v6, self.kind, self.code) {
            (false, 3, 4) | (true, 2, _) => &TOO_BIG,
            (false, 3, 3) | (true, 1, 4) => &NO_LISTENER,
            (false, 3, 9 | 10 | 13) | (true, 1, 1 | 5 | 6) => &FORBIDDEN,
            (false, 3, _) | (true, 1, _) => &UNREACHABLE,
            (false, 11, _) | (true, 3, _) => &LOOP,
            _ => &UNKNOWN,
        }
    }

    /// The meaning of the error, to follow "did not arrive:". IPv6 uses other numbers than IPv4.
    pub(crate) fn meaning(self, is_v6: bool) -> &'static str {
        self.look_up(is_v6).text
    }

    /// Advice about the error.
    pub(crate) fn advice(self, is_v6: bool) -> &'static str {
        self.look_up(is_v6).advice
    }
}

impl fmt::Display for Icmp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ICMP type {}, code {}", self.kind, self.code)?;
        if self.data > 0 { write!(f, ", MTU {}", self.data) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    use super::*;

    #[test]
    fn the_families_number_their_errors_differently() {
        let port = Icmp::read(&[0, 0, 3, 3, 0, 0, 0, 0], false).unwrap();
        let port_v6 = Icmp::read(&[0, 0, 1, 4, 0, 0, 0, 0], true).unwrap();
        let big = Icmp::read(&[0, 0, 3, 4, 0, 0, 0x05, 0x00], false).unwrap();
        assert_eq!(port.meaning(false), port_v6.meaning(true));
        assert_eq!(port.meaning(false), "nobody listens at the peer's port");
        assert_eq!(port.meaning(true), "it went round until its time was over");
        assert_eq!((big.to_string(), big.meaning(false)), ("ICMP type 3, code 4, MTU 1280".to_owned(), TOO_BIG.text));
        assert_eq!(Icmp::read(&[0; 7], false), None);
    }

    #[test]
    fn the_figure_of_the_rfc_is_followed_where_bytes_make_no_sense() {
        let port = Icmp::read(&[0, 0, 3, 3, 0, 0, 0, 0], false);
        assert_eq!(Icmp::read(&[0, 0, 3 << 1, 3, 0, 0, 0, 0], false), port);
        let port_v6 = Icmp::read(&[0, 0, 1, 4, 0, 0, 0, 0], true);
        assert_eq!(Icmp::read(&[0, 0, 3 << 1, 0, 0, 0, 0, 0], true).unwrap().to_string(), "ICMP type 3, code 0");
        assert_ne!(port, port_v6);
    }
}
