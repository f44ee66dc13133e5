//! Removes application data from indications, for recordings that must not contain it.

use crate::{
    AttributeType,
    attribute::{ATTRIBUTE_HEADER_LEN, Attributes},
    fingerprint,
    header::{HEADER_LEN, MAGIC_COOKIE},
};

/// The mask of the two class bits in a message type, and their value for an indication: RFC 8489, section 5.
const CLASS: u16 = 0x0110;
const INDICATION: u16 = 0x0010;

/// Overwrites the DATA of an indication with zeros after its first `keep` bytes. Updates the FINGERPRINT if it was valid.
///
/// Lengths and all other attributes stay, so a relay treats the message like the original. Returns the length of the message without
/// the zeros at its end: less than `message.len()` if DATA is the last attribute. Leaves messages other than indications unchanged.
#[must_use]
pub fn redact_data(message: &mut [u8], keep: usize) -> usize {
    let length = message.len();
    let Some((header, _)) = message.split_first_chunk::<HEADER_LEN>() else { return length };
    if u16::from_be_bytes([header[0], header[1]]) & CLASS != INDICATION || header[4..8] != MAGIC_COOKIE {
        return length;
    }
    let mut sound_fingerprint = None;
    let mut zeros = Vec::new();
    for attribute in Attributes::new(message, HEADER_LEN) {
        let (kind, offset, value_len) = match attribute {
            Ok(attribute) => (attribute.kind, attribute.offset, attribute.value.len()),
            // It overruns the message: the whole rest is its value.
            Err(offset) => {
                let Some(&[k0, k1, _, _]) = message.get(offset..).and_then(|rest| rest.first_chunk()) else { break };
                let kind = AttributeType::new(u16::from_be_bytes([k0, k1]));
                (kind, offset, length - offset - ATTRIBUTE_HEADER_LEN)
            }
        };
        let value_at = offset + ATTRIBUTE_HEADER_LEN;
        let next = (value_at + value_len).next_multiple_of(4).min(length);
        match kind {
            AttributeType::DATA if value_len > keep => zeros.push(value_at + keep..next),
            AttributeType::FINGERPRINT => {
                let value = message.get(value_at..value_at + value_len).unwrap_or_default();
                sound_fingerprint = fingerprint::check(message, offset, value).is_ok().then_some(offset);
            }
            _ => {}
        }
    }
    let mut end = length;
    for range in zeros {
        end = if range.end == length { range.start } else { length };
        if let Some(bytes) = message.get_mut(range) {
            bytes.fill(0);
        }
    }
    if let Some(offset) = sound_fingerprint {
        fingerprint::write(message, offset);
    }
    end
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    use super::*;
    use crate::{
        SendIndication,
        testing::{message, push_fingerprint},
    };

    const SEND: u16 = 0x0016;
    const PEER: [u8; 8] = [0, 1, 0x11, 0x22, 0xe1, 0x12, 0xa6, 0x43];
    const PEER_ADDRESS: u16 = 0x0012;
    const DATA: u16 = 0x0013;

    #[test]
    fn data_at_the_end_becomes_zeros_that_need_not_be_kept() {
        let original = message(SEND, &[(PEER_ADDRESS, &PEER), (DATA, b"secret word")]);
        let mut redacted = original.clone();
        let end = redact_data(&mut redacted, 4);
        assert_eq!(end, 20 + 12 + 4 + 4);
        assert_eq!(redacted[..end], original[..end]);
        assert_eq!(redacted[end..], [0; 8]);
        assert_eq!(SendIndication::parse(&redacted), SendIndication::parse(&original));
    }

    #[test]
    fn a_fingerprint_behind_the_data_is_right_again() {
        let mut original = message(SEND, &[(PEER_ADDRESS, &PEER), (DATA, b"secret word")]);
        push_fingerprint(&mut original);
        let mut redacted = original.clone();
        assert_eq!(redact_data(&mut redacted, 0), original.len());
        assert!(!redacted.windows(6).any(|bytes| bytes == b"secret"));
        assert_ne!(redacted[redacted.len() - 4..], original[original.len() - 4..]);
        assert_eq!(SendIndication::parse(&redacted), SendIndication::parse(&original));
    }

    #[test]
    fn a_fingerprint_that_was_wrong_stays_wrong() {
        let mut original = message(SEND, &[(PEER_ADDRESS, &PEER), (DATA, b"secret word")]);
        push_fingerprint(&mut original);
        *original.last_mut().unwrap() ^= 1;
        let mut redacted = original.clone();
        let _ = redact_data(&mut redacted, 0);
        assert_eq!(SendIndication::parse(&redacted), SendIndication::parse(&original));
        assert!(SendIndication::parse(&redacted).is_err());
    }

    #[test]
    fn data_whose_length_lies_is_taken_out_to_the_end() {
        let mut lying = message(SEND, &[(PEER_ADDRESS, &PEER), (DATA, b"secret word!")]);
        lying[34] = 0xff;
        let mut redacted = lying.clone();
        assert_eq!(redact_data(&mut redacted, 0), 36);
        assert_eq!(redacted[36..], [0; 12]);
        assert_eq!(SendIndication::parse(&redacted), SendIndication::parse(&lying));
    }

    proptest! {
        #![proptest_config(test_support::property::config())]

        #[test]
        fn a_relay_treats_what_is_left_as_it_treated_the_original(
            attributes in proptest::collection::vec(
                (prop_oneof![Just(PEER_ADDRESS), Just(DATA), Just(0x001a), Just(0x8022), any::<u16>()],
                    prop_oneof![Just(PEER.to_vec()), proptest::collection::vec(1_u8.., 0..40)]),
                0..6,
            ),
            has_fingerprint in any::<bool>(),
            damage in proptest::option::of((any::<proptest::sample::Index>(), any::<u8>())),
            keep in 0..20_usize,
        ) {
            let attributes: Vec<_> = attributes.iter().map(|(kind, value)| (*kind, value.as_slice())).collect();
            let mut original = message(SEND, &attributes);
            if has_fingerprint {
                push_fingerprint(&mut original);
            }
            if let Some((at, value)) = damage {
                // After the message type: other messages are not changed.
                let at = 2 + at.index(original.len() - 2);
                original[at] = value;
            }
            let mut redacted = original.clone();
            let end = redact_data(&mut redacted, keep);
            prop_assert!(redacted[end..].iter().all(|byte| *byte == 0));
            prop_assert_eq!(SendIndication::parse(&redacted), SendIndication::parse(&original));
        }
    }

    #[test]
    fn what_is_short_or_no_indication_is_left_alone() {
        let short = message(SEND, &[(PEER_ADDRESS, &PEER), (DATA, b"word")]);
        let request = message(0x0008, &[(PEER_ADDRESS, &PEER), (DATA, b"secret word")]);
        for original in [short, request, b"\0\x16\0\0".to_vec(), Vec::new()] {
            let mut redacted = original.clone();
            assert_eq!(redact_data(&mut redacted, 4), original.len());
            assert_eq!(redacted, original);
        }
    }
}
