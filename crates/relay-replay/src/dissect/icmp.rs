use std::fmt;

/// The value of an [ICMP](https://www.rfc-editor.org/rfc/rfc8656#section-18.13) attribute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Icmp {
    kind: u8,
    code: u16,
    /// The MTU of the link that the packet was too big for, else 0.
    data: u32,
}

/// What an error means, and what to do about it.
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
    /// Reads the value of the attribute: 2 reserved bytes, 7 bits of type, 9 bits of code, 4 bytes of data.
    pub(crate) fn read(value: &[u8]) -> Option<Self> {
        let &[_, _, a, b, ref data @ ..] = value.first_chunk::<8>()?;
        let word = u16::from_be_bytes([a, b]);
        Some(Self { kind: a >> 1, code: word & 0x01ff, data: u32::from_be_bytes(*data) })
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

    /// What the error means, after "did not arrive:". The numbers of IPv6 differ from those of IPv4.
    pub(crate) fn meaning(self, is_v6: bool) -> &'static str {
        self.look_up(is_v6).text
    }

    /// What to do about it.
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
        // Type 3, code 3; type 1, code 4; type 3, code 4 with an MTU of 1,280.
        let port = Icmp::read(&[0, 0, 0x06, 0x03, 0, 0, 0, 0]).unwrap();
        let port_v6 = Icmp::read(&[0, 0, 0x02, 0x04, 0, 0, 0, 0]).unwrap();
        let big = Icmp::read(&[0, 0, 0x06, 0x04, 0, 0, 0x05, 0x00]).unwrap();
        assert_eq!(port.meaning(false), port_v6.meaning(true));
        assert_eq!(port.meaning(false), "nobody listens at the peer's port");
        assert_eq!(port.meaning(true), "it went round until its time was over");
        assert_eq!((big.to_string(), big.meaning(false)), ("ICMP type 3, code 4, MTU 1280".to_owned(), TOO_BIG.text));
        // The code has a ninth bit.
        assert_eq!(Icmp::read(&[0, 0, 0x07, 0xff, 0, 0, 0, 0]).unwrap().to_string(), "ICMP type 3, code 511");
        assert_eq!(Icmp::read(&[0; 7]), None);
    }
}
