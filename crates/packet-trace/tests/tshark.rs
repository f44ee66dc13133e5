//! Wireshark's own parser, and tcpdump's, are the judges of the files that are written.
#![cfg(not(target_arch = "wasm32"))]
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::{fs, process::Command};

use packet_trace::{Datagram, Direction, Input, Limits, TraceHeader, TraceWriter, format_of};
use test_support::capability::{has_tcpdump, has_tshark};

#[test]
fn tshark_reads_the_trace_without_complaint() {
    if !has_tshark() {
        return;
    }
    let mut file = Vec::new();
    let header = TraceHeader { payload_limit: Some(16), ..TraceHeader::example() };
    let mut writer = TraceWriter::new(header, Limits::default(), &mut file);
    let binding = b"\0\x01\0\0\x21\x12\xa4\x42transaction!";
    let channel_data = [&b"\x40\0\0\x20"[..], &[7; 32]].concat();
    // 20 bytes of data of which 4 are cut, and a FINGERPRINT, which must suit what is left.
    let mut send =
        b"\0\x16\0\x2c\x21\x12\xa4\x42transaction!\0\x12\0\x08\0\x01\x36\x62\xe7\x21\xc0\x4b\0\x13\0\x14".to_vec();
    send.extend([7; 20]);
    let fingerprint = crc32fast::hash(&send) ^ 0x5354_554e;
    send.extend(b"\x80\x28\0\x04");
    send.extend(fingerprint.to_be_bytes());
    writer.comment("Who am I?");
    for (source, destination, payload, direction) in [
        ("192.0.2.7:5000", "203.0.113.1:3478", &binding[..], Direction::Inbound),
        ("[2001:db8::7]:5000", "[2001:db8::1]:3478", binding, Direction::Inbound),
        ("203.0.113.1:3478", "192.0.2.7:5000", &channel_data, Direction::Outbound),
        ("192.0.2.7:5000", "203.0.113.1:3478", &send, Direction::Inbound),
    ] {
        let datagram = Datagram { source: source.parse().unwrap(), destination: destination.parse().unwrap(), payload };
        let _ = writer.packet(0, 1_500_000_000, direction, datagram, &mut file);
        let _ = writer.input(0, 1_500_000_000, Input::Timeout, &mut file);
    }
    writer.finish(&mut file);

    let path = std::env::temp_dir().join(format!("packet-trace-{}.pcapng", std::process::id()));
    fs::write(&path, &file).unwrap();
    let output = Command::new("tshark")
        .args([
            "-n",
            "-o",
            "udp.check_checksum:TRUE",
            "-o",
            "ip.check_checksum:TRUE",
            "-T",
            "fields",
            "-E",
            "separator=,",
        ])
        .args(["-e", "frame.time_epoch", "-e", "frame.packet_flags_direction", "-e", "frame.comment"])
        .args(["-e", "_ws.col.Protocol", "-e", "ip.checksum.status", "-e", "udp.checksum.status", "-e", "udp.length"])
        .args(["-e", "_ws.malformed", "-e", "_ws.expert.severity", "-r"])
        .arg(&path)
        .output()
        .unwrap();
    fs::remove_file(&path).unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    let complaints: Vec<_> = stderr.lines().filter(|line| !line.starts_with("Running as user")).collect();
    assert_eq!(complaints, Vec::<&str>::new());
    let stdout = String::from_utf8(output.stdout).unwrap();
    // Checksum status: 1 is good, 2 cannot be verified, as the payload is cut.
    // Custom blocks appear as records without fields.
    let lines: Vec<_> = stdout.lines().filter(|line| !line.contains(",PCAPNG,")).collect();
    assert_eq!(
        lines,
        [
            // 1048576 is the severity of a comment.
            "1700000001.500000000,0x00000001,Who am I?,STUN,1,1,28,,1048576",
            "1700000001.500000000,0x00000001,,STUN,,1,28,,",
            "1700000001.500000000,0x00000002,,STUN,1,2,44,,",
            "1700000001.500000000,0x00000001,,STUN,1,1,72,,",
        ]
    );
}

#[test]
fn tcpdump_reads_a_trace_of_two_shards() {
    if !has_tcpdump() {
        return;
    }
    let mut file = Vec::new();
    let shard = TraceHeader::example().shards[0].clone();
    let header = TraceHeader { format: format_of(2), shards: vec![shard; 2], ..TraceHeader::example() };
    let mut writer = TraceWriter::new(header, Limits::default(), &mut file);
    for shard in [0, 1, 0] {
        let (source, destination) = ("192.0.2.7:5000".parse().unwrap(), "203.0.113.1:3478".parse().unwrap());
        let datagram = Datagram { source, destination, payload: b"x" };
        let _ = writer.packet(shard, 0, Direction::Inbound, datagram, &mut file);
        let _ = writer.input(shard, 0, Input::Timeout, &mut file);
    }
    writer.finish(&mut file);
    let path = std::env::temp_dir().join(format!("packet-trace-two-{}.pcapng", std::process::id()));
    fs::write(&path, &file).unwrap();
    let output = Command::new("tcpdump").args(["-n", "-t", "-r"]).arg(&path).output().unwrap();
    fs::remove_file(&path).unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let stdout = String::from_utf8(output.stdout).unwrap();
    assert_eq!(stdout.lines().filter(|line| line.contains("192.0.2.7.5000 > 203.0.113.1.3478")).count(), 3, "{stdout}");
}
