//! Tests of dissected messages: values, problems, and the ranges of fields.

#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

use std::ops::Range;

use super::*;

/// A Binding request with these attributes. Adds lengths and padding.
fn message(attributes: &[(u16, &[u8])]) -> Vec<u8> {
    let mut bytes = vec![0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12];
    for (number, value) in attributes {
        bytes.extend_from_slice(&number.to_be_bytes());
        bytes.extend_from_slice(&u16::try_from(value.len()).unwrap().to_be_bytes());
        bytes.extend_from_slice(value);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
    }
    let length = u16::try_from(bytes.len() - 20).unwrap();
    bytes[2..4].copy_from_slice(&length.to_be_bytes());
    bytes
}

fn attribute(number: u16, value: &[u8]) -> Field {
    let bytes = message(&[(number, value)]);
    let mut field = dissect_payload(&bytes, bytes.len());
    field.children.pop().unwrap()
}

/// Checks that ranges nest, that siblings do not overlap, and that all lie in the packet.
fn check_ranges(field: &Field, within: &Range<usize>) {
    assert!(within.start <= field.range.start && field.range.end <= within.end, "{field:?} in {within:?}");
    let mut last = field.range.start;
    for child in &field.children {
        assert!(last <= child.range.start, "{field:?}");
        last = child.range.end;
        check_ranges(child, &field.range);
    }
}

#[test]
fn attributes_are_read_as_the_rfcs_write_them() {
    for (number, value, name, text) in [
        (0x0006, &b"1892160000:salt"[..], "USERNAME", "1892160000:salt"),
        (0x0009, &[0, 0, 4, 38, b'o', b'h'], "ERROR-CODE", "438 oh"),
        (0x000a, &[0x7f, 0xff, 0, 0x1a], "UNKNOWN-ATTRIBUTES", "attribute 0x7fff, DONT-FRAGMENT"),
        (0x000c, &[0x40, 1, 0, 0], "CHANNEL-NUMBER", "0x4001"),
        (0x000d, &[0, 0, 2, 88], "LIFETIME", "600 seconds (10 minutes)"),
        (0x0001, &[0, 1, 0x12, 0x34, 192, 0, 2, 1], "MAPPED-ADDRESS", "192.0.2.1:4660"),
        // RFC 5769, sections 2.2 and 2.3.
        (0x0020, &[0, 1, 0xa1, 0x47, 0xe1, 0x12, 0xa6, 0x43], "XOR-MAPPED-ADDRESS", "192.0.2.1:32853"),
        (0x0019, &[17, 0, 0, 0], "REQUESTED-TRANSPORT", "17: UDP"),
        (0x0017, &[2, 0, 0, 0], "REQUESTED-ADDRESS-FAMILY", "IPv6"),
        (0x0018, &[0x80], "EVEN-PORT", "an even port, and reserve the next"),
        (0x001a, &[], "DONT-FRAGMENT", "present"),
        (0x8001, &[2, 0, 4, 40], "ADDRESS-ERROR-CODE", "IPv6: 440 "),
        (0x8022, b"coturn", "SOFTWARE", "coturn"),
        (0x0024, &[0x6e, 0, 1, 0xff], "PRIORITY", "1845494271"),
        (0xc057, &[1], "attribute 0xc057", "01"),
    ] {
        let field = attribute(number, value);
        assert_eq!((&*field.name, &*field.value, &field.problem), (name, text, &None));
    }
    assert_eq!(attribute(0x0006, b"1892160000:x").note.unwrap(), "credentials valid until 2029-12-17 00:00:00 UTC");
}

#[test]
fn odd_values_are_shown_and_marked() {
    for (number, value, problem) in [
        (0x000d, &[1, 2][..], "its value is 2 bytes long, not 4"),
        (0x000c, &[0x12, 0x34, 0, 0], "channel numbers lie between"),
        (0x0020, &[0, 3, 0, 0, 1, 2, 3, 4], "address family 0x03 is unknown"),
        (0x0020, &[0, 2, 0, 0, 1, 2, 3, 4], "its address is 4 bytes long"),
        (0x0017, &[9, 0, 0, 0], "neither IPv4"),
        (0x001a, &[1], "not 0"),
        (0x0009, &[1], "at least 4"),
    ] {
        let field = attribute(number, value);
        assert!(field.problem.as_ref().is_some_and(|found| found.contains(problem)), "{field:?}");
    }
}

#[test]
fn an_attribute_that_overruns_ends_the_message() {
    let mut bytes = message(&[(0x8022, b"software")]);
    bytes[23] = 200;
    let field = dissect_payload(&bytes, bytes.len());
    let software = field.children.last().unwrap();
    assert_eq!(software.problem.as_deref(), Some("it claims 200 bytes, 8 follow"));
    assert!(field.problem.is_some());
    check_ranges(&field, &(0..bytes.len()));
}

#[test]
fn a_wrong_fingerprint_is_marked_on_the_attribute() {
    let field = attribute(0x8028, &[0; 4]);
    assert!(field.problem.unwrap().contains("damaged"));
}

#[test]
fn channel_data_shows_number_length_data_and_padding() {
    let bytes = [0x40, 1, 0, 5, b'h', b'e', b'l', b'l', b'o', 0, 0, 0];
    let field = dissect_payload(&bytes, bytes.len());
    let names: Vec<_> = field.children.iter().map(|child| (&*child.name, child.range.clone())).collect();
    assert_eq!(names, [("Channel number", 0..2), ("Length", 2..4), ("Application data", 4..9), ("Padding", 9..12)]);
    let short = dissect_payload(&bytes[..6], 6);
    assert_eq!(short.children[1].problem.as_deref(), Some("only 2 bytes follow"));
    check_ranges(&short, &(0..6));
}

#[test]
fn the_field_at_a_byte_is_the_innermost() {
    let bytes = message(&[(0x0020, &[0, 1, 0xa1, 0x47, 0xe1, 0x12, 0xa6, 0x43])]);
    let field = dissect_payload(&bytes, bytes.len());
    assert_eq!(field.at(0).unwrap().name, "Message type");
    assert_eq!(field.at(26).unwrap().name, "Port");
    assert_eq!(field.at(bytes.len()), None);
}

#[cfg(not(target_arch = "wasm32"))]
mod properties {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_bytes_are_taken_apart_in_order(
            start in 0..3_usize,
            tail in proptest::collection::vec(any::<u8>(), 0..120),
            missing in 0..50_usize,
        ) {
            let head: &[u8] = match start {
                0 => &[],
                1 => &[0, 3, 0, 40, 0x21, 0x12, 0xa4, 0x42, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12],
                _ => &[0x40, 0, 0],
            };
            let bytes = [head, &tail].concat();
            let field = dissect_payload(&bytes, bytes.len() + missing);
            check_ranges(&field, &(0..bytes.len()));
        }
    }
}

#[test]
fn a_message_is_signed_with_either_hash_and_though_it_is_cut_short() {
    let header = b"\0\x03\0\x08\x21\x12\xa4\x42transaction!";
    for (attribute, signed) in
        [(&b"\0\x08\0\x14"[..], true), (b"\0\x1c\0\x20", true), (b"\0\x06\0\x05al", true), (b"\0\x14\0\x05ex", false)]
    {
        assert_eq!(is_signed(&[&header[..], attribute].concat()), signed, "{attribute:02x?}");
    }
    assert!(!is_signed(header) && !is_signed(b""));
}
