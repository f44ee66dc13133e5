//! Builds captures of any server's traffic, byte by byte.

use std::net::{SocketAddr, SocketAddrV4};

use relay_replay::{ClientReport, Diagnosis, Report};

pub(crate) const CLIENT: &str = "192.0.2.10:50000";
pub(crate) const SERVER: &str = "203.0.113.1:3478";
pub(crate) const PEER: &str = "198.51.100.30:41000";
pub(crate) const RELAYED: &str = "203.0.113.1:60000";

pub(crate) const ETHERNET: u32 = 1;
pub(crate) const RAW: u32 = 101;

pub(crate) const BINDING: u16 = 0x0001;
pub(crate) const ALLOCATE: u16 = 0x0003;
pub(crate) const REFRESH: u16 = 0x0004;
pub(crate) const CREATE_PERMISSION: u16 = 0x0008;
pub(crate) const CHANNEL_BIND: u16 = 0x0009;
pub(crate) const SEND: u16 = 0x0016;
pub(crate) const DATA: u16 = 0x0017;
const SUCCESS: u16 = 0x0100;
const ERROR: u16 = 0x0110;

/// An attribute: type and value.
pub(crate) type Attribute = (u16, Vec<u8>);

pub(crate) fn username() -> Attribute {
    (0x0006, b"alice".to_vec())
}

pub(crate) fn peer(address: &str) -> Attribute {
    (0x0012, xored(address))
}

pub(crate) fn relayed() -> Attribute {
    (0x0016, xored(RELAYED))
}

pub(crate) fn lifetime(seconds: u32) -> Attribute {
    (0x000d, seconds.to_be_bytes().to_vec())
}

pub(crate) fn channel(number: u16) -> Attribute {
    (0x000c, [&number.to_be_bytes()[..], &[0, 0]].concat())
}

pub(crate) fn data() -> Attribute {
    (0x0013, b"data".to_vec())
}

fn xored(address: &str) -> Vec<u8> {
    let address: SocketAddrV4 = address.parse().unwrap();
    let ip = address.ip().to_bits() ^ 0x2112_a442;
    [&[0, 1][..], &(address.port() ^ 0x2112).to_be_bytes(), &ip.to_be_bytes()].concat()
}

/// A STUN message whose transaction ID is made of `transaction`.
pub(crate) fn stun(kind: u16, transaction: u8, attributes: &[Attribute]) -> Vec<u8> {
    let mut body = Vec::new();
    for (number, value) in attributes {
        body.extend(number.to_be_bytes());
        body.extend(u16::try_from(value.len()).unwrap().to_be_bytes());
        body.extend(value);
        body.resize(body.len().next_multiple_of(4), 0);
    }
    let length = u16::try_from(body.len()).unwrap();
    let header = [&kind.to_be_bytes()[..], &length.to_be_bytes(), b"\x21\x12\xa4\x42", &[transaction; 12]];
    [&header.concat()[..], &body].concat()
}

pub(crate) fn success(kind: u16, transaction: u8, attributes: &[Attribute]) -> Vec<u8> {
    stun(kind | SUCCESS, transaction, attributes)
}

pub(crate) fn error(kind: u16, transaction: u8, code: u16, reason: &str) -> Vec<u8> {
    let class = u8::try_from(code / 100).unwrap();
    let number = u8::try_from(code % 100).unwrap();
    stun(kind | ERROR, transaction, &[(0x0009, [&[0, 0, class, number], reason.as_bytes()].concat())])
}

pub(crate) fn channel_data(number: u16) -> Vec<u8> {
    [&number.to_be_bytes()[..], b"\0\x04data"].concat()
}

/// A classic capture file of frames of one link type, and the time in microseconds that the next one has.
pub(crate) struct Capture {
    pub(crate) file: Vec<u8>,
    pub(crate) now: u64,
    /// How many bytes of each frame are kept.
    pub(crate) snap_len: usize,
}

impl Capture {
    pub(crate) fn new() -> Self {
        Self::of(RAW)
    }

    pub(crate) fn of(link: u32) -> Self {
        let header = [0xa1b2_c3d4_u32, 0x0002_0004, 0, 0, 0xffff, link];
        Self { file: header.iter().flat_map(|word| word.to_be_bytes()).collect(), now: 0, snap_len: usize::MAX }
    }

    /// Lets time pass.
    pub(crate) fn wait(&mut self, milliseconds: u64) -> &mut Self {
        self.now += milliseconds * 1_000;
        self
    }

    /// Adds a frame, 10 ms before the next one.
    pub(crate) fn frame(&mut self, frame: &[u8]) -> &mut Self {
        let kept = &frame[..frame.len().min(self.snap_len)];
        let seconds = 1_800_000_000 + self.now / 1_000_000;
        for number in [seconds, self.now % 1_000_000, kept.len() as u64, frame.len() as u64] {
            self.file.extend(u32::try_from(number).unwrap().to_be_bytes());
        }
        self.file.extend(kept);
        self.wait(10)
    }

    pub(crate) fn packet(&mut self, source: &str, destination: &str, payload: &[u8]) -> &mut Self {
        self.frame(&udp(source, destination, payload))
    }

    pub(crate) fn up(&mut self, payload: &[u8]) -> &mut Self {
        self.packet(CLIENT, SERVER, payload)
    }

    pub(crate) fn down(&mut self, payload: &[u8]) -> &mut Self {
        self.packet(SERVER, CLIENT, payload)
    }

    /// An allocation after a challenge, with transactions 1 and 2.
    pub(crate) fn allocate(&mut self, seconds: u32) -> &mut Self {
        self.up(&stun(ALLOCATE, 1, &[])).down(&error(ALLOCATE, 1, 401, "Unauthorized"));
        self.up(&stun(ALLOCATE, 2, &[username()]));
        self.down(&success(ALLOCATE, 2, &[relayed(), lifetime(seconds)]))
    }

    /// A permission for a peer and data both ways, with this transaction.
    pub(crate) fn chat(&mut self, transaction: u8, address: &str) -> &mut Self {
        self.up(&stun(CREATE_PERMISSION, transaction, &[username(), peer(address)]));
        self.down(&success(CREATE_PERMISSION, transaction, &[]));
        self.up(&stun(SEND, 200, &[peer(address), data()])).down(&stun(DATA, 201, &[peer(address), data()]))
    }

    pub(crate) fn report(&self) -> Report {
        let mut diagnosis = Diagnosis::new();
        diagnosis.push(&self.file);
        diagnosis.finish()
    }

    /// What is said of the only client.
    #[track_caller]
    pub(crate) fn client(&self) -> ClientReport {
        let report = self.report();
        let [client] = &report.clients[..] else { panic!("{} clients", report.clients.len()) };
        client.clone()
    }
}

/// An IPv4 packet that carries `payload`.
pub(crate) fn ipv4(protocol: u8, source: &str, destination: &str, payload: &[u8]) -> Vec<u8> {
    let ip = |address: &str| match address.parse().unwrap() {
        SocketAddr::V4(address) => address.ip().octets(),
        SocketAddr::V6(_) => panic!("{address} is no IPv4 address"),
    };
    let length = u16::try_from(20 + payload.len()).unwrap().to_be_bytes();
    let start = [&[0x45, 0][..], &length, &[0, 0, 0x40, 0, 64, protocol, 0, 0]].concat();
    [&start[..], &ip(source), &ip(destination), payload].concat()
}

pub(crate) fn udp(source: &str, destination: &str, payload: &[u8]) -> Vec<u8> {
    let port = |address: &str| address.parse::<SocketAddr>().unwrap().port().to_be_bytes();
    let length = u16::try_from(8 + payload.len()).unwrap().to_be_bytes();
    let header = [port(source), port(destination), length, [0, 0]].concat();
    ipv4(17, source, destination, &[&header[..], payload].concat())
}
