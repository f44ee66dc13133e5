//! What is said of the file itself.

use std::fmt::Write as _;

use packet_trace::{LinkType, ReadError};
use relay_replay::{Diagnosis, Status};
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

use crate::capture::*;

const ETHERNET_CAPTURE: &[u8] = include_bytes!("../../../packet-trace/tests/captures/ethernet.pcapng");

#[test]
fn packets_that_are_not_read_are_counted_by_kind() {
    let ethernet = |ether_type: u16, packet: &[u8]| [&[0; 12][..], &ether_type.to_be_bytes(), packet].concat();
    let binding = udp(CLIENT, SERVER, &stun(BINDING, 1, &[]));
    let mut fragment = binding.clone();
    fragment[6] = 0x20;
    let mut capture = Capture::of(ETHERNET);
    capture.frame(&ethernet(0x0806, &[0; 28])).frame(&ethernet(0x0806, &[0; 28]));
    capture.frame(&ethernet(0x0800, &ipv4(6, CLIENT, SERVER, &[0; 20])));
    capture.frame(&ethernet(0x0800, &ipv4(1, CLIENT, SERVER, &[8, 0, 0, 0, 0, 0, 0, 0])));
    capture.frame(&ethernet(0x0800, &fragment));
    // Within two VLANs, it is read.
    capture.frame(&ethernet(0x88a8, &[&[0, 1, 0x81, 0, 0, 2, 8, 0], &binding[..]].concat()));
    capture.frame(&ethernet(0x0800, &udp(SERVER, CLIENT, &success(BINDING, 1, &[]))));
    let report = capture.report();
    let skipped = report.capture.skipped.iter().fold(String::new(), |mut text, skipped| {
        let _ = write!(text, "{} {}; ", skipped.packets, skipped.what);
        text
    });
    assert_eq!(skipped, "1 ICMP; 1 TCP; 1 a fragment of a larger IP packet; 2 not an IP packet (type 0x0806); ");
    assert_eq!((report.capture.packets, report.summary.succeeded, report.error), (7, 1, None));
    assert!(report.capture.notes[0].contains("1 packets are TCP"), "{:?}", report.capture.notes);
}

/// One interface of Ethernet, and one of a link type that is not read.
#[test]
fn a_second_interface_may_have_a_link_type_that_is_not_read() {
    let block = |kind: u32, body: &[u8]| {
        let length = u32::try_from(body.len() + 12).unwrap().to_le_bytes();
        [&kind.to_le_bytes()[..], &length, body, &length].concat()
    };
    let mut file = ETHERNET_CAPTURE.to_vec();
    let usb = LinkType(189);
    file.extend(block(1, &[&usb.0.to_le_bytes()[..], &[0; 6]].concat()));
    let header = [1_u32, 0, 0, 4, 4].map(u32::to_le_bytes).concat();
    file.extend(block(6, &[&header[..], &[0; 4]].concat()));
    let mut diagnosis = Diagnosis::new();
    diagnosis.push(&file);
    let report = diagnosis.finish();
    assert_eq!((report.error, report.summary.succeeded), (None, 2));
    assert_eq!(report.capture.skipped[0].what, format!("a {usb} frame, which is not read here"));
    // Nothing of a file that has nothing else can be explained.
    let section = file
        .iter()
        .skip(4)
        .take(4)
        .fold((0, 0), |(value, shift), byte| (value | usize::from(*byte) << shift, shift + 8));
    let mut usb_only = file[..section.0].to_vec();
    usb_only.extend(block(1, &[&usb.0.to_le_bytes()[..], &[0; 6]].concat()));
    usb_only.extend(block(6, &[&[0; 12][..], &header[12..], &[0; 4]].concat()));
    let mut diagnosis = Diagnosis::new();
    diagnosis.push(&usb_only);
    assert_eq!(diagnosis.finish().error, Some(ReadError::UnsupportedLinkType(usb)));
}

#[test]
fn cut_messages_are_counted_and_a_username_shows_that_they_were_signed() {
    let mut capture = Capture::new();
    capture.snap_len = 28 + 20 + 5;
    capture.up(&stun(ALLOCATE, 1, &[username(), (0x0014, b"example.org".to_vec())]));
    capture.down(&error(ALLOCATE, 1, 401, ""));
    let report = capture.report();
    assert_eq!((report.capture.cut_messages, report.clients[0].status), (2, Status::Failed));
    assert!(report.capture.notes[0].contains("tcpdump -s 0"), "{:?}", report.capture.notes);
    let refusal = &report.clients[0].problems[0];
    assert_eq!((refusal.title.as_str(), refusal.code), ("The error code is missing", None));
}

#[test]
fn a_capture_of_answers_alone_is_explained_as_far_as_it_goes() {
    let mut capture = Capture::new();
    capture.down(&error(ALLOCATE, 1, 486, "Allocation Quota Reached"));
    capture.down(&success(BINDING, 2, &[]));
    let report = capture.report();
    assert_eq!(report.clients[0].problems[0].title, "486: allocation quota reached");
    assert!(report.capture.notes[0].contains("one direction"), "{:?}", report.capture.notes);
}

#[test]
fn what_ends_the_reading_is_told_with_what_came_before() {
    let mut capture = Capture::new();
    capture.up(&stun(BINDING, 1, &[])).down(&success(BINDING, 1, &[]));
    let at = capture.file.len() as u64;
    capture.up(&stun(BINDING, 2, &[]));
    capture.file.pop();
    let report = capture.report();
    assert_eq!((report.summary.succeeded, report.capture.packets), (1, 2));
    assert_eq!(report.error, Some(ReadError::Truncated { at, missing: 1 }));
    assert_eq!(report.capture.error, report.error.map(|error| error.to_string()));
    for (file, expected) in [
        (&b""[..], ReadError::Empty),
        (b"\x1f\x8b\x08\0", ReadError::Compressed("gzip")),
        (b"GET / HTTP/1.1", ReadError::NotACapture { first: b"GET ".to_vec() }),
    ] {
        let mut diagnosis = Diagnosis::new();
        diagnosis.push(file);
        assert_eq!(diagnosis.finish().error, Some(expected));
    }
    assert_eq!(Capture::new().report().error, None, "a capture without packets is one");
}
